#!/usr/bin/env python3
"""Measures an echo server, directly and through ferry-proxy, and prints a table.

    python3 examples/demo.py BUILD_DIRECTORY [SECONDS_PER_MEASUREMENT]

Exit code 0 if and only if every byte came back as it should.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

WORKLOADS = [  # title, connections, bytes of a message, messages under way
    ('64 connections, 64 B, one at a time', 64, 64, 1),
    ('4 connections, 512 B, 64 under way', 4, 512, 64),
    ('4 connections, 64 KiB, one at a time', 4, 65536, 1),
]
COLUMNS = ['messages/s', 'MB/s', 'p50 us', 'p90 us', 'p99 us', 'p99.9 us', 'max us',
           'server us/msg', 'proxy us/msg']
WARMUP = 0.2
PATIENCE = 20


class DemoFailed(Exception):
    pass


class Progress:
    """One line on the terminal that is overwritten; plain lines where that is not possible."""

    def __init__(self):
        self.fancy = sys.stderr.isatty()

    def show(self, text):
        print(f'\r\033[K{text}' if self.fancy else text, end='' if self.fancy else '\n',
              file=sys.stderr, flush=True)

    def clear(self):
        if self.fancy:
            print('\r\033[K', end='', file=sys.stderr, flush=True)


class Server:
    """A program that says "listening on HOST:PORT", and is stopped at the end of a with block."""

    def __init__(self, *command):
        self.name = pathlib.Path(command[0]).name
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('listening on '):
            self.process.kill()
            raise DemoFailed(f'{self.name}: {self.process.communicate()[1].strip()}')
        self.address = line.removeprefix('listening on ').strip()
        self.port = self.address.rsplit(':', 1)[1]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def cpu_seconds(self):
        """CPU time of all its threads so far."""
        tasks = pathlib.Path(f'/proc/{self.process.pid}/task')
        return sum(int((task / 'schedstat').read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    def stop(self):
        """Ends it in good order; returns what it had to say."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=PATIENCE)
        if self.process.returncode != 0:
            raise DemoFailed(f'{self.name} ended with code {self.process.returncode}: {errors}')
        return errors


def measure(bench, server, proxy, workload, seconds, progress, what):
    """One row of the table, and how many messages and bytes went each way."""
    title, connections, size, depth = workload
    target = proxy or server
    with tempfile.NamedTemporaryFile(suffix='.json') as file:
        before = [program and program.cpu_seconds() for program in (server, proxy)]
        load = subprocess.Popen(
            [bench, 'load', '--port', target.port, '--connections', str(connections),
             '--size', str(size), '--depth', str(depth), '--seconds', str(seconds),
             '--warmup', str(WARMUP), '--json', file.name],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            started = time.monotonic()
            while load.poll() is None:
                if progress.fancy:
                    progress.show(f'{what} ... {time.monotonic() - started:.1f} s')
                try:
                    load.wait(0.1 if progress.fancy else None)
                except subprocess.TimeoutExpired:
                    pass
        finally:
            if load.poll() is None:
                load.kill()
        errors = load.communicate()[1]
        if load.returncode != 0:
            raise DemoFailed(errors.strip() or f'the load ended with code {load.returncode}')
        figures = json.load(file)
    total = figures['total_messages']
    spent = [program and (program.cpu_seconds() - earlier) / total * 1e6
             for program, earlier in zip((server, proxy), before)]
    row = [f'{figures["messages_per_second"]:,.0f}', f'{figures["mb_per_second"]:,.1f}']
    row += [f'{figures[name]:,.0f}' for name in ('p50_us', 'p90_us', 'p99_us', 'p999_us', 'max_us')]
    row += ['-' if cost is None else f'{cost:.2f}' for cost in spent]
    return row, total, total * size


def run(build, seconds, progress):
    bench = str(build / 'bench/ferry-bench')
    rows, messages, through = [], 0, 0
    with Server(build / 'examples/echo_server', 0) as server, \
            Server(build / 'examples/ferry-proxy', '--listen', '127.0.0.1:0',
                   '--to', server.address) as proxy:
        for number, workload in enumerate(WORKLOADS):
            rows.append((workload[0], [''] * len(COLUMNS)))
            for way, name in [(None, 'direct'), (proxy, 'through ferry-proxy')]:
                what = f'{2 * number + bool(way) + 1}/{2 * len(WORKLOADS)} {workload[0]}, {name}'
                if not progress.fancy:
                    progress.show(what)
                row, count, size = measure(bench, server, way, workload, seconds, progress, what)
                rows.append(('  ' + name, row))
                messages += count
                through += size if way else 0
        progress.clear()
        said = proxy.stop()
        server.stop()
    last = dict(figure.split('=') for figure in said.split() if '=' in figure)
    for figure, wanted in [('to_upstream', through), ('to_client', through), ('active', 0),
                           ('failed', 0), ('broken', 0)]:
        if int(last.get(figure, -1)) != wanted:
            raise DemoFailed(f'ferry-proxy counted {figure}={last.get(figure)}, not {wanted}')
    return rows, messages, through


def show(rows):
    table = [('', COLUMNS), *rows]
    widths = [max(len(row[i]) for _, row in table) for i in range(len(COLUMNS))]
    first = max(len(name) for name, _ in table)
    for name, row in table:
        print('  '.join([name.ljust(first), *map(str.rjust, row, widths)]).rstrip())


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    progress = Progress()
    try:
        rows, messages, through = run(pathlib.Path(sys.argv[1]).resolve(),
                                      float(sys.argv[2]) if len(sys.argv) > 2 else 1.6, progress)
    except (DemoFailed, OSError, subprocess.TimeoutExpired) as failure:
        progress.clear()
        sys.exit(f'demo: {failure}')
    print()
    show(rows)
    print(f'\n{messages:,} messages, every one checked byte for byte; {through / 1e9:.1f} GB each way '
          'through the proxy.\nus/msg: CPU time, user and system, of the server and of the proxy.')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
