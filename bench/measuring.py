"""What the comparisons share: programs pinned to a CPU, rounds in rotation, tables of medians.

CPU is user + system time of all threads of a program from /proc/PID/task/*/schedstat (the
scheduler's clock in ns, from which getrusage is derived), read while the program is idle before
and after the load, and divided by all that was done meanwhile, warm-up included. So it also holds
the cost of opening and closing the connections. Memory is Private_Dirty of /proc/PID/smaps_rollup:
what the process itself has written to, without the kernel's socket buffers.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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


class Comparison:
    """Rounds of measurements: each thing that is compared on one CPU, its load on another."""

    about = ''  # stands before the names of workloads

    def __init__(self, options, directory):
        self.options = options
        self.directory = Path(directory)
        self.build = Path(options.build)
        self.bench = self.build / 'bench' / 'ferry-bench'
        cpus = sorted(os.sched_getaffinity(0))
        self.cpu, self.load_cpu = cpus[:2] if len(cpus) > 1 else (None, None)
        self.failures = 0
        self.collected = {}

    def headline(self, measured, load):
        print(f'{cpu_model()}, {os.cpu_count()} CPUs, Linux {platform.release()}')
        pinned = ('nothing is pinned: there is one CPU only' if self.cpu is None else
                  f'{measured} on CPU {self.cpu}, {load} on CPU {self.load_cpu}')
        print(f'{self.options.rounds} rounds of {self.options.seconds:g} s each: median '
              f'(min - max); ratios are medians of the ratios within a round; {pinned}')

    def measure(self, name, workload):
        """One measurement: its figures by name."""
        raise NotImplementedError

    def run(self, title, workload, names):
        """Measures each so often: {name: [result or None of each round]}."""
        results = self.collected[title] = {name: [] for name in names}
        for index in range(self.options.rounds):
            turn = index % len(names)
            progress(f'{self.about}{title}: round {index + 1} of {self.options.rounds}')
            for name in names[turn:] + names[:turn]:
                try:
                    results[name].append(self.measure(name, workload))
                except (Failed, OSError, ValueError, KeyError) as error:
                    self.failures += 1
                    results[name].append(None)
                    progress('')
                    print(f'compare: {self.about}{title}: {name}: {error!s}', file=sys.stderr)
        progress('')
        return results

    def drive(self, program, arguments):
        """The report of `ferry-bench` with these arguments, and the CPU time in ns that it took
        `program`."""
        report = self.directory / 'report.json'
        report.unlink(missing_ok=True)
        seconds = self.options.seconds
        command = [self.bench, *arguments, '--seconds', seconds, '--json', report]
        before = program.cpu_ns()
        with Program(command, self.load_cpu, self.directory) as client:
            client.finish(seconds + self.options.warmup + 60)
        spent = program.cpu_ns() - before
        answer = json.loads(report.read_text())
        if answer.get('errors'):
            raise Failed(f'{answer["errors"]} errors')
        if spent == 0:
            raise Failed('nothing was measured')
        return answer, spent

    def end(self):
        """Writes what --json asks for; ends the program if anything failed."""
        if self.options.json:
            Path(self.options.json).write_text(json.dumps(self.collected, indent=1) + '\n')
        if self.failures:
            sys.exit(f'compare: {self.failures} measurements failed')


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


def figures(rounds, baseline):
    """The cells of rate and cost, each with its ratio to the baseline, and of the latencies."""
    return [spread(rounds, 'rate'), ratio(rounds, baseline, 'rate'),
            spread(rounds, 'cost'), ratio(rounds, baseline, 'cost'),
            latency(rounds, 'p50'), latency(rounds, 'p99')]


def table(head, rows):
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ['-' * width for width in widths], *rows]
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths)) +
                     ' |' for line in lines)


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


def make_parser(program, description, workloads):
    """What all comparisons are told."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument('seconds', nargs='?', type=positive(float), default=2.0,
                        help='of each measurement (2)')
    parser.add_argument('--rounds', type=positive(int), default=os.environ.get('ROUNDS', '5'),
                        help='each is measured so often (ROUNDS, or 5)')
    parser.add_argument('--warmup', type=positive(float), default=0.3,
                        help='seconds before each measurement (0.3)')
    parser.add_argument('--only', type=names(workloads),
                        metavar='WORKLOAD[,..]', help=', '.join(workloads))
    parser.add_argument('--list', action='store_true', help='tell what the workloads are')
    parser.add_argument('--json', metavar='FILE', help='write every single result there')
    parser.add_argument('--build', default=ROOT / 'build-release', help=argparse.SUPPRESS)
    return parser


def list_workloads(workloads):
    for name, (title, _) in workloads.items():
        print(f'{name:22}{title}')
