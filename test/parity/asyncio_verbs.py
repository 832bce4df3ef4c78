"""The statements that are one call of asyncio each."""

import asyncio
import gc
from asyncio import FIRST_COMPLETED, FIRST_EXCEPTION

from errors import describe, make
from script import parse_item


class Verbs:
    """do_VERB is called, await_VERB awaited, with what stands behind the verb. A text, a number or
    None is a value; anything else becomes an object with the name it is assigned to."""

    # -- the script itself

    def do_log(self, frame, rest):
        self.log(frame.label, rest)

    def do_let(self, frame, rest):
        name, _, self.shared[name] = rest.partition(' ')

    def do_drop(self, frame, rest):
        del self.objects[rest]
        gc.collect()

    def do_raise(self, frame, rest):
        if not rest:
            raise frame.handling
        kind, _, text = rest.partition(' ')
        raise make(kind, text)

    # -- the loop

    def do_soon(self, frame, rest):
        return self.loop.call_soon(self.callback(rest))

    def do_later(self, frame, rest):
        delay, callback = rest.split()
        return self.loop.call_later(int(delay), self.callback(callback))

    def do_at(self, frame, rest):
        when, callback = rest.split()
        return self.loop.call_at(int(when), self.callback(callback))

    def do_stop(self, frame, rest):
        self.loop.stop()

    def do_run_forever(self, frame, rest):
        self.loop.run_forever()

    def do_run_until(self, frame, rest):
        return self.text(self.loop.run_until_complete(self.awaitable(rest)))

    def do_running(self, frame, rest):
        return self.loop.is_running()

    # -- futures and tasks

    def do_future(self, frame, rest):
        return self.loop.create_future()

    def do_spawn(self, frame, rest):
        label, _, item = rest.partition(' ')
        self.objects[label] = self.loop.create_task(self.awaitable(item, label), name=label)

    def do_start(self, frame, rest):
        group, label, item = rest.split()
        body = self.awaitable(item, label)
        try:
            self.objects[label] = self.object(group).create_task(body, name=label)
        except RuntimeError:
            body.close()  # as TaskGroup does itself from 3.13 on
            raise

    def do_name(self, frame, rest):
        return self.object(rest).get_name()

    def do_rename(self, frame, rest):
        name, text = rest.split()
        self.object(name).set_name(text)

    def do_set(self, frame, rest):
        name, _, value = rest.partition(' ')
        thing = self.object(name)
        if isinstance(thing, asyncio.Event):
            thing.set()
        else:
            thing.set_result(value or 'None')

    def do_fail(self, frame, rest):
        name, kind, *text = rest.split(' ', 2)
        self.object(name).set_exception(make(kind, text[0] if text else ''))

    def do_cancel(self, frame, rest):
        name, _, message = rest.partition(' ')
        return self.object(name).cancel(*([message] if message else []))

    def do_uncancel(self, frame, rest):
        return self.object(rest).uncancel()

    def do_cancelling(self, frame, rest):
        return self.object(rest).cancelling()

    def do_done(self, frame, rest):
        return self.object(rest).done()

    def do_cancelled(self, frame, rest):
        return self.object(rest).cancelled()

    def do_result(self, frame, rest):
        return self.text(self.object(rest).result())

    def do_exception(self, frame, rest):
        exception = self.object(rest).exception()
        return describe(exception) if exception else None

    def do_on_done(self, frame, rest):
        name, callback = rest.split()
        function = self.callback(callback)
        self.objects[f'{name} {callback}'] = function
        self.object(name).add_done_callback(function)

    def do_remove_on_done(self, frame, rest):
        name, callback = rest.split()
        return self.object(name).remove_done_callback(self.objects[f'{name} {callback}'])

    def do_gathering(self, frame, rest):
        items = rest.split()
        exceptions = items[:1] == ['exceptions']
        return asyncio.gather(*[self.awaitable(item) for item in items[exceptions:]],
                              return_exceptions=exceptions)

    def do_shield(self, frame, rest):
        return asyncio.shield(self.awaitable(rest))

    def do_tasks(self, frame, rest):
        return len(asyncio.all_tasks(self.loop))

    async def await_sleep(self, frame, rest):
        await asyncio.sleep(int(rest))

    async def await_await(self, frame, rest):
        return self.text(await self.object(rest))

    async def await_call(self, frame, rest):
        return await self.awaitable(rest)

    async def await_gather(self, frame, rest):
        items = rest.split()
        exceptions = items[:1] == ['exceptions']
        return self.text(await asyncio.gather(*[self.awaitable(item) for item in items[exceptions:]],
                                              return_exceptions=exceptions))

    async def await_wait_for(self, frame, rest):
        limit, item = rest.split()
        return self.text(await asyncio.wait_for(self.awaitable(item), self.delay(limit)))

    async def await_wait_all(self, frame, rest):
        return await self.wait(rest, asyncio.ALL_COMPLETED)

    async def await_wait_first(self, frame, rest):
        return await self.wait(rest, FIRST_COMPLETED)

    async def await_wait_exception(self, frame, rest):
        return await self.wait(rest, FIRST_EXCEPTION)

    async def wait(self, rest, return_when):
        limit, names = self.limit_and_items(rest)
        done, _ = await asyncio.wait([self.object(name) for name in names], timeout=limit,
                                     return_when=return_when)
        parts = ['done'] + [name for name in names if self.object(name) in done]
        parts += ['pending'] + [name for name in names if self.object(name) not in done]
        return ' '.join(parts)

    @classmethod
    def text(cls, value):
        if isinstance(value, list):
            return f'[{", ".join(cls.text(each) for each in value)}]'
        return describe(value) if isinstance(value, BaseException) else str(value)

    # -- timeouts

    def do_reschedule(self, frame, rest):
        name, delay = rest.split()
        limit = self.delay(delay)
        self.object(name).reschedule(None if limit is None else self.loop.time() + limit)

    def do_expired(self, frame, rest):
        return self.object(rest).expired()

    def do_when(self, frame, rest):
        return self.object(rest).when()

    # -- sync primitives and queues

    def do_lock(self, frame, rest):
        return asyncio.Lock()

    def do_event(self, frame, rest):
        return asyncio.Event()

    def do_condition(self, frame, rest):
        return asyncio.Condition(self.object(rest)) if rest else asyncio.Condition()

    def do_semaphore(self, frame, rest):
        return asyncio.Semaphore(int(rest))

    def do_bounded(self, frame, rest):
        return asyncio.BoundedSemaphore(int(rest))

    def do_barrier(self, frame, rest):
        return asyncio.Barrier(int(rest))

    def do_queue(self, frame, rest):
        return asyncio.Queue(int(rest or 0))

    def do_lifo(self, frame, rest):
        return asyncio.LifoQueue(int(rest or 0))

    def do_priority(self, frame, rest):
        return asyncio.PriorityQueue(int(rest or 0))

    def do_release(self, frame, rest):
        self.object(rest).release()

    def do_locked(self, frame, rest):
        return self.object(rest).locked()

    def do_clear(self, frame, rest):
        self.object(rest).clear()

    def do_is_set(self, frame, rest):
        return self.object(rest).is_set()

    def do_notify(self, frame, rest):
        name, _, count = rest.partition(' ')
        self.object(name).notify(int(count or 1))

    def do_notify_all(self, frame, rest):
        self.object(rest).notify_all()

    def do_waiting(self, frame, rest):
        return self.object(rest).n_waiting

    def do_broken(self, frame, rest):
        return self.object(rest).broken

    def do_put_nowait(self, frame, rest):
        name, value = rest.split()
        self.object(name).put_nowait(value)

    def do_get_nowait(self, frame, rest):
        return self.object(rest).get_nowait()

    def do_task_done(self, frame, rest):
        self.object(rest).task_done()

    def do_qsize(self, frame, rest):
        return self.object(rest).qsize()

    def do_empty(self, frame, rest):
        return self.object(rest).empty()

    def do_full(self, frame, rest):
        return self.object(rest).full()

    async def await_acquire(self, frame, rest):
        await self.object(rest).acquire()

    async def await_wait(self, frame, rest):
        """Of an event, a condition or a barrier, which gives a number."""
        value = await self.object(rest).wait()
        return str(value) if isinstance(self.object(rest), asyncio.Barrier) else 'None'

    async def await_until(self, frame, rest):
        condition, name, value = rest.split()
        await self.object(condition).wait_for(lambda: self.shared.get(name) == value)

    async def await_reset(self, frame, rest):
        await self.object(rest).reset()

    async def await_abort(self, frame, rest):
        await self.object(rest).abort()

    async def await_put(self, frame, rest):
        name, value = rest.split()
        await self.object(name).put(value)

    async def await_get(self, frame, rest):
        return await self.object(rest).get()

    async def await_join(self, frame, rest):
        await self.object(rest).join()
