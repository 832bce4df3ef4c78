#!/usr/bin/env python3
"""Measures ferry-proxy beside HAProxy in TCP mode and nginx's stream module; see compare.sh.

For each workload and round every relay is started afresh between `ferry-bench load` and a bare
epoll echo server, and ended. The order rotates from round to round. The relay is pinned to one
CPU; the load and the echo server share another.

Relay CPU is read as measuring.py says, and divided by the messages that went there and back, or by
the bytes (each is relayed twice: to the server, and back).
"""

import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

from measuring import (Comparison, Failed, Program, ROOT, figures, list_workloads, make_parser,
                       names, table)

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


class Relays(Comparison):
    about = 'relay, '

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
            with Program(command, self.cpu, self.directory) as relay:
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
        answer, spent = self.drive(
            relay, ['load', '--port', port, '--connections', workload['connections'],
                    '--size', workload['size'], '--depth', workload['depth'],
                    '--warmup', self.options.warmup])
        if answer['total_messages'] == 0:
            raise Failed('nothing was measured')
        result = {'p50': answer.get('p50_us'), 'p99': answer.get('p99_us')}
        if workload['unit'] == 'message':
            result['rate'] = answer['messages_per_second']
            result['cost'] = spent / 1000 / answer['total_messages']
        else:
            result['rate'] = 2 * answer['mb_per_second']
            result['cost'] = spent / 1e6 / (2 * answer['total_messages'] * workload['size'] / 1e9)
        return result


def report(workload, results):
    small = workload['unit'] == 'message'
    head = ['relay', 'messages/s' if small else 'MB/s', f'/ {BASELINE}',
            'relay CPU us/message' if small else 'relay CPU ms/GB', f'/ {BASELINE}',
            'p50 us', 'p99 us']
    baseline = results.get(BASELINE, [])
    return table(head, [[name, *figures(rounds, baseline)] for name, rounds in results.items()])


def parse_options():
    parser = make_parser('compare.sh relay', 'Compares TCP relays; prints tables of medians.',
                         WORKLOADS)
    parser.add_argument('--relays', type=names(RELAYS), default=DEFAULT_RELAYS,
                        metavar='RELAY[,..]', help=f'of {", ".join(RELAYS)}')
    options = parser.parse_args()
    options.only = options.only or list(WORKLOADS)
    return options


def main():
    options = parse_options()
    if options.list:
        list_workloads(WORKLOADS)
        return
    with tempfile.TemporaryDirectory(prefix='ferry-compare-') as directory:
        comparison = Relays(options, directory)
        relays = [name for name in options.relays if comparison.available(name)]
        for name in options.relays:
            if name not in relays:
                print(f'compare: {name} is not installed and left out', file=sys.stderr)
        comparison.headline('relay', 'load and echo server')
        for name in options.only:
            title, workload = WORKLOADS[name]
            results = comparison.run(name, workload, relays)
            print(f'\nrelay, {name}: {title}\n\n{report(workload, results)}', flush=True)
    comparison.end()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
