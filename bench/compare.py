#!/usr/bin/env python3
"""Measures ferry's echo server beside those of other libraries; started by compare.sh.

For each workload and round every server is started afresh, driven by `ferry-bench`, and ended.
The order rotates from round to round. The server is pinned to one CPU, the load to another.

Server CPU is user + system time of all threads of the server from /proc/PID/task/*/schedstat (the
scheduler's clock in ns, from which getrusage is derived), read while the server is idle before and
after the load, and divided by all messages sent meanwhile, warm-up included. So it also holds the
cost of opening and closing the connections. Memory is Private_Dirty of /proc/PID/smaps_rollup:
what the process itself has written to, without the kernel's socket buffers.
"""

import argparse
import functools
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


class Failed(Exception):
    """One measurement that did not work; the others go on."""


class Program:
    """A child process, pinned to a CPU, that is gone when the block ends."""

    def __init__(self, command, cpu, directory):
        self.command = [str(word) for word in command]
        self.errors = tempfile.TemporaryFile(dir=directory)
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def fail(self, what):
        self.errors.seek(0)
        said = self.errors.read().decode(errors='replace').strip().splitlines()
        raise Failed(f'{" ".join(self.command)}: {what}' + (f': {said[-1]}' if said else ''))

    def line_starting(self, prefix, seconds):
        """The rest of the first output line that starts with `prefix`."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            for line in self.process.stdout:
                text = line.decode(errors='replace').strip()
                if text.startswith(prefix):
                    return text[len(prefix):].strip()
        finally:
            timer.cancel()
        self.fail(f'ended or was silent for {seconds} s without printing "{prefix}"')

    def finish(self, seconds):
        """Waits for its end, which must be a success."""
        try:
            self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.fail(f'still running after {seconds:.0f} s')
        if self.process.returncode != 0:
            self.fail(f'ended with {self.process.returncode}')

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        self.finish(20)

    def cpu_ns(self):
        """CPU time of all threads, once it stands still (the process has become idle)."""
        before = -1
        for _ in range(200):
            if self.process.poll() is not None:
                self.fail(f'ended with {self.process.returncode} during the measurement')
            now = 0
            for task in Path(f'/proc/{self.process.pid}/task').iterdir():
                now += int((task / 'schedstat').read_text().split()[0])
            if now == before:
                break
            before = now
            time.sleep(0.01)
        return now

    def open_files(self):
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def private_bytes(self):
        for line in Path(f'/proc/{self.process.pid}/smaps_rollup').read_text().splitlines():
            if line.startswith('Private_Dirty:'):
                return int(line.split()[1]) * 1024
        raise Failed('no Private_Dirty in smaps_rollup')


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


class Comparison:
    def __init__(self, options, directory):
        self.options = options
        self.directory = directory
        self.bench = Path(options.build) / 'bench'
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = cpus[:2] if len(cpus) > 1 else (None, None)
        self.failures = 0
        self.certificate = None

    def command(self, name, transport):
        """How a server is started; None if it is not built, or what runs it not installed."""
        file, arguments = SERVERS[transport][name]
        suffix = Path(file).suffix
        if suffix in INTERPRETERS:
            runs_it = interpreter(suffix)
            return runs_it and [runs_it, ROOT / 'bench/peers' / file, *arguments]
        return [self.bench / file, *arguments] if (self.bench / file).exists() else None

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
        with Program(command, self.server_cpu, self.directory) as server:
            port = server.line_starting('listening on', 20).rsplit(':', 1)[1]
            run = self.idle if workload['kind'] == 'idle' else self.traffic
            result = run(server, port, workload)
            server.terminate()
            return result

    def traffic(self, server, port, workload):
        report = Path(self.directory) / 'report.json'
        report.unlink(missing_ok=True)
        kind = workload['kind']
        seconds = self.options.seconds
        command = [self.bench / 'ferry-bench', kind, '--host', '127.0.0.1', '--port', port,
                   '--connections', workload['connections'], '--seconds', seconds, '--json', report]
        if kind == 'load':
            command += ['--size', workload['size'], '--depth', workload['depth'],
                        '--warmup', self.options.warmup, *workload['options']]
        command += transport_arguments(workload)
        before = server.cpu_ns()
        with Program(command, self.load_cpu, self.directory) as client:
            client.finish(seconds + self.options.warmup + 60)
        spent = server.cpu_ns() - before

        answer = json.loads(report.read_text())
        if answer.get('errors'):
            raise Failed(f'{answer["errors"]} errors')
        total = answer['total_messages' if kind == 'load' else 'total_connections']
        if total == 0 or spent == 0:
            raise Failed('nothing was measured')
        rate = answer['messages_per_second' if kind == 'load' else 'connections_per_second']
        return {'rate': rate, 'cost': spent / 1000 / total, 'p50': answer.get('p50_us'),
                'p99': answer.get('p99_us'), 'lost': answer.get('lost')}

    def idle(self, server, port, workload):
        count = workload['connections']
        server.cpu_ns()
        files = server.open_files()
        memory = server.private_bytes()
        command = [self.bench / 'ferry-bench', 'idle', '--port', port, '--connections', count,
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

    def run(self, name, workload, servers):
        """{server: [result or None of each round]}"""
        results = {server: [] for server in servers}
        for index in range(self.options.rounds):
            turn = index % len(servers)
            progress(f'{name}: round {index + 1} of {self.options.rounds}')
            for server in servers[turn:] + servers[:turn]:
                try:
                    results[server].append(self.measure(server, workload))
                except (Failed, OSError, ValueError, KeyError) as error:
                    self.failures += 1
                    results[server].append(None)
                    progress('')
                    print(f'compare: {name}: {server}: {error!s}', file=sys.stderr)
        progress('')
        return results


def progress(text):
    if sys.stderr.isatty():
        print(f'\r\033[K{text}', end='', file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.2f}'


def spread(rounds, key):
    """Median (min - max) of a figure."""
    values = [r[key] for r in rounds if r]
    if not values:
        return 'failed'
    return f'{number(statistics.median(values))} ({number(min(values))} - {number(max(values))})'


def ratio(rounds, baseline, key):
    """Median of the ratios to the baseline within each round."""
    pairs = [r[key] / b[key] for r, b in zip(rounds, baseline) if r and b and b[key] > 0]
    return f'{statistics.median(pairs):.2f}' if pairs else '-'


def latency(rounds, key):
    values = [r[key] for r in rounds if r and r.get(key) is not None]
    return number(statistics.median(values)) if values else '-'


def table(workload, results, beside):
    baseline = results.get(beside, [])
    if workload['kind'] == 'idle':
        head = ['server', 'bytes/connection', f'/ {beside}']
        rows = [[name, spread(rounds, 'cost'), ratio(rounds, baseline, 'cost')]
                for name, rounds in results.items()]
    else:
        unit = workload['unit']
        head = ['server', f'{unit}s/s', f'/ {beside}', f'server CPU us/{unit}', f'/ {beside}',
                'p50 us', 'p99 us']
        rows = [[name, spread(rounds, 'rate'), ratio(rounds, baseline, 'rate'),
                 spread(rounds, 'cost'), ratio(rounds, baseline, 'cost'),
                 latency(rounds, 'p50'), latency(rounds, 'p99')]
                for name, rounds in results.items()]
        if workload['transport'] == 'udp':
            head.append('lost')
            for row, rounds in zip(rows, results.values()):
                row.append(spread(rounds, 'lost'))
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ['-' * width for width in widths], *rows]
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths)) +
                     ' |' for line in lines)


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


def cpu_model():
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


def names(known):
    def parse(text):
        chosen = [name for name in text.split(',') if name]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f'{text!r}: names are {", ".join(known)}')
        return chosen
    return parse


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value < 100000:
            raise ValueError
        return value
    parse.__name__ = 'positive number'
    return parse


def parse_options():
    parser = argparse.ArgumentParser(
        prog='compare.sh', description='Compares echo servers; prints tables of medians.')
    parser.add_argument('seconds', nargs='?', type=positive(float), default=2.0,
                        help='of each measurement (2)')
    parser.add_argument('--rounds', type=positive(int), default=os.environ.get('ROUNDS', '5'),
                        help='each server is measured so often (ROUNDS, or 5)')
    parser.add_argument('--warmup', type=positive(float), default=0.3,
                        help='seconds before each measurement (0.3)')
    parser.add_argument('--api', choices=['callbacks', 'streams'], default='callbacks',
                        help='streams: ferry\'s StreamReader and StreamWriter beside its callbacks,'
                        ' uvloop, Go and Node; of TCP')
    parser.add_argument('--only', type=names(WORKLOADS),
                        metavar='WORKLOAD[,..]', help=', '.join(WORKLOADS))
    parser.add_argument('--list', action='store_true', help='tell what the workloads are')
    parser.add_argument('--servers', type=names(SERVER_NAMES),
                        metavar='SERVER[,..]', help=', '.join(SERVER_NAMES))
    parser.add_argument('--json', metavar='FILE', help='write every single result there')
    parser.add_argument('--build', default=ROOT / 'build-release', help=argparse.SUPPRESS)
    options = parser.parse_args()
    streams = options.api == 'streams'
    options.only = options.only or (STREAM_WORKLOADS if streams else list(WORKLOADS))
    options.servers = options.servers or (STREAM_SERVERS if streams else DEFAULT_SERVERS)
    options.baselines = {**BASELINES, 'tcp': STREAM_BASELINE} if streams else BASELINES
    return options


def main():
    options = parse_options()
    if options.list:
        for name, (title, _) in WORKLOADS.items():
            print(f'{name:22}{title}')
        return
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    files = raise_file_limit(10500)
    collected = {}
    with tempfile.TemporaryDirectory(prefix='ferry-compare-') as directory:
        comparison = Comparison(options, directory)
        if not (comparison.bench / 'ferry-bench').exists():
            sys.exit(f'compare: {comparison.bench / "ferry-bench"} is not built')
        planned = {name: comparison.present(WORKLOADS[name][1]) for name in options.only}
        if missing := comparison.missing(options.only):
            print(f'compare: not built or not installed, and left out: {", ".join(missing)}',
                  file=sys.stderr)

        print(f'{cpu_model()}, {os.cpu_count()} CPUs, Linux {platform.release()}')
        pinned = ('nothing is pinned: there is one CPU only' if comparison.server_cpu is None else
                  f'server on CPU {comparison.server_cpu}, load on CPU {comparison.load_cpu}')
        print(f'{options.rounds} rounds of {options.seconds:g} s each: median (min - max); '
              f'ratios are medians of the ratios within a round; {pinned}')
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
            collected[name] = results
            beside = options.baselines[workload['transport']]
            print(f'\n{name}: {title}\n\n{table(workload, results, beside)}', flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(collected, indent=1) + '\n')
    if comparison.failures:
        sys.exit(f'compare: {comparison.failures} measurements failed')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
