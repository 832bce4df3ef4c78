"""Times compiling (not linking) an echo server on ferry and on Asio; started by compile_time.sh."""

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = ['-std=c++20', '-O2', '-c']
PROGRAMS = {  # name: source, flags
    'ferry': ('examples/echo_server.cpp', [f'-Ilib/{layer}/include'
                                           for layer in ('base', 'loop', 'net')]),
    'asio': ('bench/compile_time/asio_echo.cpp', ['-DASIO_STANDALONE']),
}


def compile_once(command):
    """(elapsed, CPU) seconds."""
    def cpu():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    cpu_before, before = cpu(), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, 'CCACHE_DISABLE': '1'})
    if done.returncode != 0:
        sys.exit(f'compile_time: failed: {shlex.join(command)}')
    return time.monotonic() - before, cpu() - cpu_before


def main():
    text = sys.argv[1] if len(sys.argv) == 2 else ''
    if not text.isdigit() or int(text) == 0:
        sys.exit('usage: compile_time.sh [rounds]')
    rounds = int(text)
    compiler = shlex.split(os.environ.get('CXX', 'g++'))
    version = subprocess.run([*compiler, '--version'], capture_output=True, text=True, check=True)
    print(f'{version.stdout.splitlines()[0]}, {" ".join(FLAGS)}, median of {rounds}')

    times = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory(prefix='ferry-compile-') as directory:
        for index in range(rounds + 1):
            for name, (source, flags) in PROGRAMS.items():
                took = compile_once([*compiler, *FLAGS, *flags, source, '-o', f'{directory}/o'])
                if index > 0:  # the first only brings the headers into memory
                    times[name].append(took)

    medians = {}
    for name, (source, _) in PROGRAMS.items():
        elapsed = [took[0] for took in times[name]]
        cpu = statistics.median(took[1] for took in times[name])
        medians[name] = (statistics.median(elapsed), cpu)
        print(f'{name:6} {medians[name][0]:.2f} s ({min(elapsed):.2f} - {max(elapsed):.2f}), '
              f'CPU {cpu:.2f} s   {source}')
    print('ferry / asio: ' + ', '.join(
        f'{label} {medians["ferry"][i] / medians["asio"][i]:.2f}'
        for i, label in enumerate(('elapsed', 'CPU'))))


if __name__ == '__main__':
    main()
