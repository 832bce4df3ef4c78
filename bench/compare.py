#!/usr/bin/env python3
"""Measures ferry's echo server beside those of other libraries; started by compare.sh.

For each workload and round every server is started afresh, driven by `ferry-bench`, and ended.
The order rotates from round to round. The server is pinned to one CPU, the load to another;
measuring.py says what is read.
"""

import functools
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import (Comparison, Failed, Program, ROOT, figures, list_workloads, make_parser,
                       names, ratio, spread, table)

SERVERS = {  # transport: name: program, arguments
    'tcp': {
        'ferry': ('ferry-bench', ['serve']),
        'ferry-buffered': ('ferry-bench', ['serve', '--api', 'buffered']),
        'ferry-streams': ('ferry-bench', ['serve', '--api', 'streams']),
        'epoll': ('peers/epoll_echo', []),
        'libuv': ('peers/uv_echo', []),
        'asio-callbacks': ('peers/asio_callbacks_echo', []),
        'asio-coroutines': ('peers/asio_coroutines_echo', []),
        'libevent': ('peers/libevent_echo', []),
        'uvloop-protocol': ('python_echo.py', ['--api', 'protocol']),
        'uvloop-streams': ('python_echo.py', ['--api', 'streams']),
        'go': ('peers/go_echo', []),
        'node': ('node_echo.js', []),
    },
    'tls': {  # all are given the same certificate
        'ferry': ('ferry-bench', ['serve', '--tls']),
        'openssl': ('peers/openssl_echo', []),
        'asio-callbacks': ('peers/asio_tls_echo', []),
    },
    'udp': {
        'ferry': ('ferry-bench', ['serve', '--transport', 'udp']),
        'ferry-unsegmented': ('ferry-bench',
                              ['serve', '--transport', 'udp', '--segmentation', 0]),
        'epoll': ('peers/epoll_udp_echo', []),
        'epoll-segmented': ('peers/epoll_udp_echo', ['--segmentation', 1]),
        'libuv': ('peers/uv_udp_echo', []),
        'asio-callbacks': ('peers/asio_udp_echo', []),
    },
}
BASELINES = {'tcp': 'epoll', 'tls': 'openssl', 'udp': 'epoll'}  # what the ratios are to
SERVER_NAMES = list(dict.fromkeys(name for known in SERVERS.values() for name in known))
# --api streams: the same server on ferry's callbacks, then what is written in the straight way.
STREAM_SERVERS = ['ferry', 'ferry-streams', 'asio-coroutines', 'uvloop-protocol', 'uvloop-streams',
                  'go', 'node']
STREAM_BASELINE = 'ferry'
STREAM_WORKLOADS = ['pingpong', 'framed', 'chunks', 'large', 'churn', 'idle']
DEFAULT_SERVERS = [name for name in SERVER_NAMES
                   if name not in {'ferry-buffered', *STREAM_SERVERS} - {'ferry', 'asio-coroutines'}]
INTERPRETERS = {'.py': ['python3', '/usr/bin/python3'], '.js': ['node', 'nodejs']}
# Beside what is measured: starting and ending both programs, waiting for the server to be idle.
SECONDS_BESIDE = 0.5


def load(connections, size, depth, message=0, transport='tcp', options=()):
    return {'kind': 'load', 'connections': connections, 'size': size, 'depth': depth,
            'message': message, 'unit': 'datagram' if transport == 'udp' else 'message',
            'transport': transport, 'options': options}


def churn(transport):
    return {'kind': 'churn', 'connections': 16, 'message': 0, 'unit': 'connection',
            'transport': transport}


def idle(connections, transport):
    return {'kind': 'idle', 'connections': connections, 'message': 0, 'transport': transport}


WORKLOADS = {  # name: title, how
    'pingpong': ('64 connections x 64 B, one message at a time', load(64, 64, 1)),
    'framed': ('4 connections x 512 B, 64 deep, each message answered by its own write',
               load(4, 512, 64, message=512)),
    'chunks': ('4 connections x 512 B, 64 deep, echo of whole chunks', load(4, 512, 64)),
    'large': ('4 connections x 64 KiB, one message at a time', load(4, 65536, 1)),
    'thousand': ('1,000 connections x 64 B, one message at a time', load(1000, 64, 1)),
    'churn': ('connect, one 64 B round trip, close; 16 at a time', churn('tcp')),
    'idle': ('memory of idle connections', idle(10000, 'tcp')),
    'tls': ('TLS: 64 connections x 1 KiB, one message at a time',
            load(64, 1024, 1, transport='tls')),
    'tls-large': ('TLS: 4 connections x 64 KiB, one message at a time',
                  load(4, 65536, 1, transport='tls')),
    'tls-churn': ('TLS: connect, one 64 B round trip, close; 16 at a time', churn('tls')),
    'tls-idle': ('TLS: memory of idle connections', idle(2000, 'tls')),
    'udp': ('UDP: 64 sockets x 64 B, one datagram at a time', load(64, 64, 1, transport='udp')),
    'udp-deep': ('UDP: 4 sockets x 64 B, 32 deep', load(4, 64, 32, transport='udp')),
    'udp-deep-unsegmented': ('UDP: 4 sockets x 64 B, 32 deep, sent and received one by one',
                             load(4, 64, 32, transport='udp',
                                  options=('--segmentation', 0))),
}


def works(command):
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@functools.cache
def interpreter(suffix):
    """The first one that there is; of Python's the one that has uvloop. None: none."""
    check = ['-c', 'import uvloop'] if suffix == '.py' else ['--version']
    return next((name for name in INTERPRETERS[suffix] if works([name, *check])), None)


def transport_arguments(workload):
    """What the load is told."""
    return {'tcp': [], 'tls': ['--tls'], 'udp': ['--transport', 'udp']}[workload['transport']]


def make_certificate(directory):
    """A self-signed one for the servers (P-256, as ferry-bench makes): the files' names."""
    certificate, key = f'{directory}/certificate.pem', f'{directory}/key.pem'
    command = ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
               'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
               '-keyout', key, '-out', certificate]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if made.returncode != 0:
        raise Failed('openssl req: ' + made.stderr.decode(errors='replace').strip())
    return certificate, key


class Servers(Comparison):
    certificate = None

    def command(self, name, transport):
        """How a server is started; None if it is not built, or what runs it not installed."""
        file, arguments = SERVERS[transport][name]
        suffix = Path(file).suffix
        if suffix in INTERPRETERS:
            runs_it = interpreter(suffix)
            return runs_it and [runs_it, ROOT / 'bench/peers' / file, *arguments]
        program = self.build / 'bench' / file
        return [program, *arguments] if program.exists() else None

    def present(self, workload):
        """The chosen servers that this workload is for and that can be started."""
        transport = workload['transport']
        return [name for name in self.options.servers
                if name in SERVERS[transport] and self.command(name, transport)]

    def missing(self, workloads):
        """Those that cannot be."""
        return sorted({name for workload in workloads for name in self.options.servers
                       for transport in [WORKLOADS[workload][1]['transport']]
                       if name in SERVERS[transport] and not self.command(name, transport)})

    def certificate_arguments(self):
        if self.certificate is None:
            self.certificate = make_certificate(self.directory)
        return ['--tls-cert', self.certificate[0], '--tls-key', self.certificate[1]]

    def measure(self, server_name, workload):
        transport = workload['transport']
        command = [*self.command(server_name, transport), '--port', 0]
        if workload['message']:
            command += ['--message', workload['message']]
        if transport == 'tls':
            command += self.certificate_arguments()
        with Program(command, self.cpu, self.directory) as server:
            port = server.line_starting('listening on', 20).rsplit(':', 1)[1]
            run = self.idle if workload['kind'] == 'idle' else self.traffic
            result = run(server, port, workload)
            server.terminate()
            return result

    def traffic(self, server, port, workload):
        kind = workload['kind']
        arguments = [kind, '--host', '127.0.0.1', '--port', port,
                     '--connections', workload['connections'], *transport_arguments(workload)]
        if kind == 'load':
            arguments += ['--size', workload['size'], '--depth', workload['depth'],
                          '--warmup', self.options.warmup, *workload['options']]
        answer, spent = self.drive(server, arguments)
        total = answer['total_messages' if kind == 'load' else 'total_connections']
        if total == 0:
            raise Failed('nothing was measured')
        rate = answer['messages_per_second' if kind == 'load' else 'connections_per_second']
        return {'rate': rate, 'cost': spent / 1000 / total, 'p50': answer.get('p50_us'),
                'p99': answer.get('p99_us'), 'lost': answer.get('lost')}

    def idle(self, server, port, workload):
        count = workload['connections']
        server.cpu_ns()
        files = server.open_files()
        memory = server.private_bytes()
        command = [self.bench, 'idle', '--port', port, '--connections', count,
                   *transport_arguments(workload)]
        with Program(command, self.load_cpu, self.directory) as client:
            client.line_starting('idle', 60)
            # The kernel connects before the server accepts.
            deadline = time.monotonic() + 60
            while server.open_files() < files + count:
                if time.monotonic() > deadline:
                    raise Failed(f'only {server.open_files() - files} of {count} were accepted')
                time.sleep(0.02)
            server.cpu_ns()
            result = {'cost': (server.private_bytes() - memory) / count}
            client.finish(60)  # which closes its input: that ends it
        return result


def report(workload, results, beside):
    baseline = results.get(beside, [])
    if workload['kind'] == 'idle':
        return table(['server', 'bytes/connection', f'/ {beside}'],
                     [[name, spread(rounds, 'cost'), ratio(rounds, baseline, 'cost')]
                      for name, rounds in results.items()])
    unit = workload['unit']
    head = ['server', f'{unit}s/s', f'/ {beside}', f'server CPU us/{unit}', f'/ {beside}',
            'p50 us', 'p99 us']
    rows = [[name, *figures(rounds, baseline)] for name, rounds in results.items()]
    if workload['transport'] == 'udp':
        head.append('lost')
        for row, rounds in zip(rows, results.values()):
            row.append(spread(rounds, 'lost'))
    return table(head, rows)


def raise_file_limit(wanted):
    """Raises the limit on descriptors, which children inherit; returns what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((max(soft, wanted), max(hard, wanted)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def parse_options():
    parser = make_parser('compare.sh', 'Compares echo servers; prints tables of medians.',
                         WORKLOADS)
    parser.add_argument('--api', choices=['callbacks', 'streams'], default='callbacks',
                        help='streams: ferry\'s StreamReader and StreamWriter beside its callbacks,'
                        ' uvloop, Go and Node; of TCP')
    parser.add_argument('--servers', type=names(SERVER_NAMES),
                        metavar='SERVER[,..]', help=', '.join(SERVER_NAMES))
    options = parser.parse_args()
    streams = options.api == 'streams'
    options.only = options.only or (STREAM_WORKLOADS if streams else list(WORKLOADS))
    options.servers = options.servers or (STREAM_SERVERS if streams else DEFAULT_SERVERS)
    options.baselines = {**BASELINES, 'tcp': STREAM_BASELINE} if streams else BASELINES
    return options


def main():
    options = parse_options()
    if options.list:
        list_workloads(WORKLOADS)
        return
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    files = raise_file_limit(10500)
    with tempfile.TemporaryDirectory(prefix='ferry-compare-') as directory:
        comparison = Servers(options, directory)
        if not comparison.bench.exists():
            sys.exit(f'compare: {comparison.bench} is not built')
        planned = {name: comparison.present(WORKLOADS[name][1]) for name in options.only}
        if missing := comparison.missing(options.only):
            print(f'compare: not built or not installed, and left out: {", ".join(missing)}',
                  file=sys.stderr)

        comparison.headline('server', 'load')
        runs = options.rounds * sum(len(chosen) for chosen in planned.values())
        print(f'compare: {runs} measurements, about '
              f'{runs * (options.seconds + options.warmup + SECONDS_BESIDE) / 60:.0f} minutes',
              file=sys.stderr)
        for name, chosen in planned.items():
            title, workload = WORKLOADS[name]
            if not chosen:
                continue
            if workload['connections'] > files - 200:
                workload['connections'] = files - 200
                title += f' (only {files - 200}: the limit on descriptors is {files})'
            elif workload['kind'] == 'idle':
                title += f' ({workload["connections"]:,})'
            results = comparison.run(name, workload, chosen)
            beside = options.baselines[workload['transport']]
            print(f'\n{name}: {title}\n\n{report(workload, results, beside)}', flush=True)
    comparison.end()


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
