"""Each scenario happens on ferry as it does on CPython's asyncio.

    python3 parity_test.py PARITY_FERRY [WORD...]    prints TAP; only scenarios with WORD in the name

Runs both sides on all of scenarios/ and compares what they print, line by line. Where they differ
on purpose, differences.txt says how and why; whatever it says must be so.
"""

import dataclasses
import difflib
import pathlib
import re
import subprocess
import sys
import tempfile

import random_scenarios
import script

HERE = pathlib.Path(__file__).resolve().parent
SCENARIOS_AT_LEAST = 60
DIFFERENCES_AT_MOST = 10
RANDOM_SCENARIOS = 100


@dataclasses.dataclass
class Difference:
    """One that is meant to be."""
    scenario: str
    reason: str = ''
    lines: list = dataclasses.field(default_factory=list)


def read_differences(text):
    table = []
    for line in text.splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        if line.startswith('scenario '):
            table.append(Difference(line.removeprefix('scenario ')))
        elif line.startswith('  reason: '):
            table[-1].reason = line.removeprefix('  reason: ')
        elif re.match(r'  [-+] ', line):
            table[-1].lines.append(line.strip())
        else:
            script.wrong(f'differences.txt: {line}')
    return table


def compare(asyncio, ferry):
    """The lines that differ: '- ' asyncio's, '+ ' ferry's."""
    return [line for line in difflib.ndiff(asyncio, ferry) if line[:1] in '-+']


def without_messages(traces):
    """asyncio loses the message of a cancellation here and there, and that is in the table."""
    return {name: [re.sub(r'CancelledError: \w+', 'CancelledError', line) for line in lines]
            for name, lines in traces.items()}


def check_random(report, program):
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / 'random.txt'
        file.write_text(random_scenarios.text(RANDOM_SCENARIOS))
        asyncio, wrong = traces(sys.executable, '-B', HERE / 'on_asyncio.py', file)
        ferry, also_wrong = traces(program, file)
    problems = [each for each in (wrong, also_wrong) if each]
    asyncio, ferry = without_messages(asyncio), without_messages(ferry)
    for name in asyncio:
        if asyncio[name] != ferry.get(name):
            problems += [f'{name}: random_scenarios.py 1 {name.split()[1]}',
                         *compare(asyncio[name], ferry.get(name, []))[:10]]
    if len(asyncio) != RANDOM_SCENARIOS:
        problems.append(f'{len(asyncio)} scenarios in place of {RANDOM_SCENARIOS}')
    report.result(f'{RANDOM_SCENARIOS} random scenarios', problems)


def apart(lines):
    """Of two ends of a connection: their order at one moment is the network's, each one's is not."""
    return sorted(lines, key=lambda line: (int(line.split()[0]), line.split()[1]))


def traces(*command):
    """{scenario: lines}, and what went wrong."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=240)
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith('== '):
            lines = found.setdefault(line[3:], [])
        else:
            lines.append(line)
    wrong = done.stderr.strip()
    if done.returncode != 0:
        wrong += f'\nexit code {done.returncode}, in "{list(found)[-1] if found else "nothing"}"'
    return found, wrong


class Report:
    """TAP."""

    def __init__(self):
        self.count = 0
        self.failed = False

    def result(self, name, problems):
        self.count += 1
        print('not ok' if problems else 'ok', self.count, '-', name.replace('#', ''))
        for problem in problems:
            for line in problem.splitlines():
                print('#  ', line)
        self.failed |= bool(problems)


def check_comparison(report, asyncio):
    """A comparison that could not fail would prove nothing."""
    lines = max(asyncio.values(), key=len)
    middle = len(lines) // 2
    other = next(at for at in range(middle, len(lines)) if lines[at] != lines[middle])
    swapped = list(lines)
    swapped[middle], swapped[other] = lines[other], lines[middle]
    wrong = {
        'a line is missing': lines[:middle] + lines[middle + 1:],
        'a line too many': lines[:middle] + ['0 nobody: was here'] + lines[middle:],
        'a line twice': lines[:middle] + [lines[middle]] + lines[middle:],
        'two lines have changed places': swapped,
        'another time': lines[:middle] + ['9' + lines[middle]] + lines[middle + 1:],
        'nothing at all': [],
    }
    report.result('a wrong trace is noticed',
                  [f'not noticed: {what}' for what, trace in wrong.items()
                   if not compare(lines, trace)]
                  + (['a right one is not right'] if compare(lines, list(lines)) else []))
    table = read_differences('scenario one\n  reason: none\n  - 0 a: b\n  + 0 a: c\n')
    report.result('a difference that is not as the table says is noticed', [
        what for what, noticed in [
            ('the traces are equal', problems_of(['0 a: b'], ['0 a: b'], table[0])),
            ('they differ in another way', problems_of(['0 a: b'], ['0 a: d'], table[0])),
        ] if not noticed] + problems_of(['0 a: b'], ['0 a: c'], table[0]))


def problems_of(asyncio, ferry, expected):
    found = compare(asyncio, ferry)
    if expected is None:
        if not found:
            return []
        return ['- asyncio, + ferry:'] + list(difflib.ndiff(asyncio, ferry))
    if not found:
        return ['differences.txt says that they differ, but they are equal']
    if found != expected.lines:
        return ['differences.txt says:'] + expected.lines + ['but the difference is:'] + found
    return []


def main():
    program, words = sys.argv[1], sys.argv[2:]
    files = sorted((HERE / 'scenarios').glob('*.txt'))
    scenarios = [each for file in files for each in script.parse_file(file)]
    names = [each.name for each in scenarios]
    table = read_differences((HERE / 'differences.txt').read_text())
    expected = {each.scenario: each for each in table}
    report = Report()

    asyncio, wrong = traces(sys.executable, '-B', HERE / 'on_asyncio.py', *files)
    report.result('asyncio runs all scenarios', [wrong] if wrong else [])
    ferry, wrong = traces(program, *files)
    report.result('ferry runs all scenarios', [wrong] if wrong else [])
    for each in scenarios:
        if ('apart', '') in each.sections:
            for trace in (asyncio, ferry):
                trace[each.name] = apart(trace.get(each.name, []))
    report.result('the scenarios are as promised', [
        *[f'the same name twice: {name}' for name in sorted(set(names)) if names.count(name) > 1],
        *([f'only {len(names)} scenarios'] if len(names) < SCENARIOS_AT_LEAST else []),
        *[f'nothing happens, or it gets stuck: {name}' for name, lines in asyncio.items()
          if len(lines) < 2 or any('end: stuck' in line for line in lines)],
    ])
    report.result('the table of differences is short, and each has its reason', [
        *([f'{len(table)} entries'] if len(table) > DIFFERENCES_AT_MOST else []),
        *[f'no such scenario: {each.scenario}' for each in table if each.scenario not in names],
        *[f'no reason, or no difference: {each.scenario}' for each in table
          if not each.reason or not each.lines],
        *(['the same scenario twice'] if len(expected) < len(table) else []),
    ])
    check_comparison(report, asyncio)
    if not words:
        check_random(report, program)
    for each in scenarios:
        if words and not any(word in each.name for word in words):
            continue
        problems = problems_of(asyncio.get(each.name, []), ferry.get(each.name, []),
                               expected.get(each.name))
        if problems:
            problems.insert(0, f'{each.file}:{each.line}')
        report.result(each.name, problems)
    print(f'1..{report.count}')
    return 1 if report.failed else 0


if __name__ == '__main__':
    sys.exit(main())
