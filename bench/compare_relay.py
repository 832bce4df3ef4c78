#!/usr/bin/env python3
"""Measures ferry-proxy beside HAProxy in TCP mode and nginx's stream module; see compare.sh.

For each workload and round every relay is started afresh between `ferry-bench load` and a bare
epoll echo server, and ended. The order rotates from round to round. The relay is pinned to one
CPU; the load and the echo server share another.

Relay CPU is measured as in compare.py: user + system time of all its threads, opening and closing
of the connections included; divided by the messages that went there and back, or by the bytes
(each is relayed twice: to the server, and back).
"""

import argparse
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from compare import (Failed, Program, ROOT, cpu_model, latency, names, positive, progress,
                     ratio, spread)

PEERS = ROOT / 'bench' / 'peers'
NGINX_MODULES = '/usr/lib/nginx/modules'
BASELINE = 'ferry'
RELAYS = {  # name: program, what the configuration or the command line says
    'ferry': ('ferry-proxy', []),
    'ferry-copy': ('ferry-proxy', ['--splice', 'never']),
    'ferry-splice': ('ferry-proxy', ['--splice', 'always']),
    'haproxy': ('haproxy', {'SPLICE': ''}),
    'haproxy-splice': ('haproxy', {'SPLICE': 'option splice-auto'}),
    'nginx': ('nginx', {'BUFFER': '16k'}),
    'nginx-256k': ('nginx', {'BUFFER': '256k'}),
}
DEFAULT_RELAYS = [name for name in RELAYS if name not in ('ferry-copy', 'ferry-splice')]


def load(connections, size, depth, unit):
    return {'connections': connections, 'size': size, 'depth': depth, 'unit': unit}


WORKLOADS = {  # name: title, how
    'pingpong': ('64 connections x 64 B, one message at a time', load(64, 64, 1, 'message')),
    'bulk': ('4 connections x 1 MiB, 4 under way', load(4, 1 << 20, 4, 'GB')),
    'medium': ('4 connections x 32 KiB, one message at a time', load(4, 32768, 1, 'GB')),
}


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


def wait_for_listener(program, port):
    """Those that do not say so are asked; the connection that asks is closed at once."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(('127.0.0.1', port)).close()
            return
        except OSError:
            if program.process.poll() is not None:
                break
            time.sleep(0.02)
    program.fail('does not listen')


class Comparison:
    def __init__(self, options, directory):
        self.options = options
        self.directory = Path(directory)
        self.build = Path(options.build)
        cpus = sorted(os.sched_getaffinity(0))
        self.relay_cpu, self.load_cpu = cpus[:2] if len(cpus) > 1 else (None, None)
        self.failures = 0

    def available(self, name):
        program = RELAYS[name][0]
        if program == 'nginx' and not Path(NGINX_MODULES, 'ngx_stream_module.so').exists():
            return False
        if program == 'ferry-proxy':
            return (self.build / 'examples' / program).exists()
        return shutil.which(program, path=f'{os.environ["PATH"]}:/usr/sbin') is not None

    def command(self, name, upstream):
        """The command, and the port it listens on; None: it will say."""
        program, how = RELAYS[name]
        if program == 'ferry-proxy':
            return [self.build / 'examples' / program, '--listen', '127.0.0.1:0', '--to',
                    f'127.0.0.1:{upstream}', *how], None
        port = free_port()
        words = {'PORT': port, 'UPSTREAM': upstream, 'DIRECTORY': self.directory,
                 'MODULES': NGINX_MODULES, **how}
        template = 'haproxy.cfg' if program == 'haproxy' else 'nginx.conf'
        lines = [line for line in (PEERS / template).read_text().splitlines()
                 if not line.startswith('#')]
        text = '\n'.join(lines)
        for word, value in words.items():
            text = text.replace(f'@{word}@', str(value))
        file = self.directory / template
        file.write_text(text + '\n')
        path = shutil.which(program, path=f'{os.environ["PATH"]}:/usr/sbin')
        if program == 'haproxy':
            return [path, '-db', '-q', '-f', file], port
        return [path, '-p', self.directory, '-c', file], port

    def measure(self, name, workload):
        echo = [self.build / 'bench' / 'peers' / 'epoll_echo', '--port', 0]
        with Program(echo, self.load_cpu, self.directory) as server:
            upstream = server.line_starting('listening on', 20).rsplit(':', 1)[1]
            command, port = self.command(name, upstream)
            with Program(command, self.relay_cpu, self.directory) as relay:
                if port is None:
                    port = relay.line_starting('listening on', 20).rsplit(':', 1)[1]
                else:
                    wait_for_listener(relay, port)
                result = self.traffic(relay, port, workload)
                relay.process.kill()  # how it ends is not compared, and some take their time
                relay.process.wait()
                server.terminate()
                return result

    def traffic(self, relay, port, workload):
        report = self.directory / 'report.json'
        report.unlink(missing_ok=True)
        seconds = self.options.seconds
        command = [self.build / 'bench' / 'ferry-bench', 'load', '--port', port,
                   '--connections', workload['connections'], '--size', workload['size'],
                   '--depth', workload['depth'], '--seconds', seconds,
                   '--warmup', self.options.warmup, '--json', report]
        before = relay.cpu_ns()
        with Program(command, self.load_cpu, self.directory) as client:
            client.finish(seconds + self.options.warmup + 60)
        spent = relay.cpu_ns() - before
        answer = json.loads(report.read_text())
        if answer.get('errors'):
            raise Failed(f'{answer["errors"]} errors')
        if answer['total_messages'] == 0 or spent == 0:
            raise Failed('nothing was measured')
        result = {'p50': answer.get('p50_us'), 'p99': answer.get('p99_us')}
        if workload['unit'] == 'message':
            result['rate'] = answer['messages_per_second']
            result['cost'] = spent / 1000 / answer['total_messages']
        else:
            result['rate'] = 2 * answer['mb_per_second']
            result['cost'] = spent / 1e6 / (2 * answer['total_messages'] * workload['size'] / 1e9)
        return result

    def run(self, name, workload, relays):
        """{relay: [result or None of each round]}"""
        results = {relay: [] for relay in relays}
        for index in range(self.options.rounds):
            turn = index % len(relays)
            progress(f'relay, {name}: round {index + 1} of {self.options.rounds}')
            for relay in relays[turn:] + relays[:turn]:
                try:
                    results[relay].append(self.measure(relay, workload))
                except (Failed, OSError, ValueError, KeyError) as error:
                    self.failures += 1
                    results[relay].append(None)
                    progress('')
                    print(f'compare: relay, {name}: {relay}: {error!s}', file=sys.stderr)
        progress('')
        return results


def table(workload, results):
    baseline = results.get(BASELINE, [])
    small = workload['unit'] == 'message'
    head = ['relay', 'messages/s' if small else 'MB/s', f'/ {BASELINE}',
            'relay CPU us/message' if small else 'relay CPU ms/GB', f'/ {BASELINE}',
            'p50 us', 'p99 us']
    rows = [[name, spread(rounds, 'rate'), ratio(rounds, baseline, 'rate'),
             spread(rounds, 'cost'), ratio(rounds, baseline, 'cost'),
             latency(rounds, 'p50'), latency(rounds, 'p99')] for name, rounds in results.items()]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ['-' * width for width in widths], *rows]
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths)) +
                     ' |' for line in lines)


def parse_options():
    parser = argparse.ArgumentParser(
        prog='compare.sh relay', description='Compares TCP relays; prints tables of medians.')
    parser.add_argument('seconds', nargs='?', type=positive(float), default=2.0,
                        help='of each measurement (2)')
    parser.add_argument('--rounds', type=positive(int), default=os.environ.get('ROUNDS', '5'),
                        help='each relay is measured so often (ROUNDS, or 5)')
    parser.add_argument('--warmup', type=positive(float), default=0.3,
                        help='seconds before each measurement (0.3)')
    parser.add_argument('--only', type=names(WORKLOADS), default=list(WORKLOADS),
                        metavar='NAME,..', help=f'workloads: {", ".join(WORKLOADS)}')
    parser.add_argument('--list', action='store_true', help='tell what the workloads are')
    parser.add_argument('--relays', type=names(RELAYS), default=DEFAULT_RELAYS, metavar='NAME,..',
                        help=f'of {", ".join(RELAYS)}')
    parser.add_argument('--json', metavar='FILE', help='write all figures there')
    parser.add_argument('--build', default=ROOT / 'build-release', help='the build directory')
    return parser.parse_args()


def main():
    options = parse_options()
    if options.list:
        for name, (title, _) in WORKLOADS.items():
            print(f'{name}: {title}')
        return
    collected = {}
    with tempfile.TemporaryDirectory() as directory:
        comparison = Comparison(options, directory)
        relays = [name for name in options.relays if comparison.available(name)]
        for name in options.relays:
            if name not in relays:
                print(f'compare: {name} is not installed and left out', file=sys.stderr)
        print(f'{cpu_model()}, {os.cpu_count()} CPUs, Linux {platform.release()}')
        pinned = ('nothing is pinned: there is one CPU only' if comparison.relay_cpu is None else
                  f'relay on CPU {comparison.relay_cpu}, load and echo server on CPU '
                  f'{comparison.load_cpu}')
        print(f'{options.rounds} rounds of {options.seconds:g} s each: median (min - max); '
              f'ratios are medians of the ratios within a round; {pinned}')
        for name in options.only:
            title, workload = WORKLOADS[name]
            results = comparison.run(name, workload, relays)
            collected[name] = results
            print(f'\nrelay, {name}: {title}\n\n{table(workload, results)}', flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(collected, indent=1) + '\n')
    if comparison.failures:
        sys.exit(f'compare: {comparison.failures} measurements failed')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
