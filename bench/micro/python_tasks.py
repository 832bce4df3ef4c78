#!/usr/bin/env python3
"""Python's side of tasks.cpp: asyncio's own event loop, or uvloop.

    python3 bench/micro/python_tasks.py asyncio|uvloop [FILTER] > FILE

Prints what Google Benchmark would (as much of it as table.py reads). REPETITIONS as in micro.sh.
"""

import asyncio
import gc
import json
import os
import re
import statistics
import sys
import time

COUNT = 20_000
QUEUE_SIZE = 128


async def callbacks(count):
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def hop(left):
        if left > 0:
            loop.call_soon(hop, left - 1)
        else:
            done.set_result(None)

    loop.call_soon(hop, count)
    await done


async def futures(count):
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    left = count

    def step(_=None):
        nonlocal left
        left -= 1
        if left <= 0:
            done.set_result(None)
            return
        future = loop.create_future()
        future.add_done_callback(step)
        future.set_result(left)

    step()
    await done


async def same(value):
    return value


async def await_each(count):
    for i in range(count):
        await same(i)


async def join_each(count):
    for i in range(count):
        await asyncio.create_task(same(i))


async def yield_each(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def pass_to_and_fro(count):
    there = asyncio.Queue(1)
    back = asyncio.Queue(1)
    rounds = count // 2

    async def return_each():
        for _ in range(rounds):
            await back.put(await there.get())

    other = asyncio.create_task(return_each())
    for i in range(rounds):
        await there.put(i)
        await back.get()
    await other


async def get_all(count):
    queue = asyncio.Queue(QUEUE_SIZE)

    async def put_each():
        for i in range(count):
            await queue.put(i)

    putter = asyncio.create_task(put_each())
    for _ in range(count):
        await queue.get()
    await putter


ROWS = {
    'callback to callback': callbacks,
    'future: result to callback': futures,
    'await of a coroutine': await_each,
    'task: create, run, join': join_each,
    'task: let others run': yield_each,
    'queue: hand-over, one by one': pass_to_and_fro,
    'queue: hand-over, up to 128 wait': get_all,
}


async def measure(work, repetitions):
    """Nanoseconds of CPU time for one, of each repetition."""
    ends = os.pipe()
    asyncio.get_running_loop().add_reader(ends[0], lambda: None)  # so that there is one to poll
    await work(COUNT)
    times = []
    for _ in range(repetitions):
        gc.collect()
        begin = time.process_time_ns()
        await work(COUNT)
        times.append((time.process_time_ns() - begin) / COUNT)
    asyncio.get_running_loop().remove_reader(ends[0])
    for end in ends:
        os.close(end)
    return times


def main():
    who = sys.argv[1]
    if who == 'uvloop':
        import uvloop
        uvloop.install()
    chosen = re.compile(sys.argv[2] if len(sys.argv) > 2 else '.')
    repetitions = int(os.environ.get('REPETITIONS', '5'))
    results = []
    for row, work in ROWS.items():
        name = f'{row}/{who}'
        if not chosen.search(name):
            continue
        times = asyncio.run(measure(work, repetitions))
        spread = statistics.stdev(times) / statistics.mean(times) if len(times) > 1 else 0
        for aggregate, value in [('median', statistics.median(times)), ('cv', spread)]:
            results.append({'run_name': name, 'aggregate_name': aggregate, 'cpu_time': value,
                            'time_unit': 'ns'})
    json.dump({'benchmarks': results}, sys.stdout, indent=1)


if __name__ == '__main__':
    main()
