"""The scenarios' language: from text to statements. README.md beside this says what they mean."""

import dataclasses
import os
import pathlib
import re
import sys

# Statements with a block of statements below them.
BLOCKS = {'try', 'except', 'else', 'finally', 'repeat', 'timeout', 'group', 'with', 'completed',
          'for'}
SECTIONS = {'main', 'outside', 'coro', 'callback', 'generator', 'on', 'apart'}


def wrong(what):
    """The script itself is wrong: no exception, which it might catch."""
    sys.stdout.flush()
    print(what, file=sys.stderr, flush=True)
    os._exit(1)


@dataclasses.dataclass
class Statement:
    line: int
    target: str  # what the result is called, or ''
    verb: str
    rest: str
    body: list = dataclasses.field(default_factory=list)

    def __str__(self):
        words = [self.verb, self.rest] if self.rest else [self.verb]
        return ' '.join(words)


@dataclasses.dataclass
class Scenario:
    name: str
    file: str
    line: int
    # (kind, name) -> statements: ('main', ''), ('coro', 'worker'), ('on', 'echo data'), ...
    sections: dict = dataclasses.field(default_factory=dict)


def parse_statement(line, text):
    words = text.split(' ', 1)
    target = ''
    if len(words) > 1 and words[1].startswith('= '):
        target = words[0]
        words = words[1][2:].split(' ', 1)
    return Statement(line, target, words[0], words[1].strip() if len(words) > 1 else '')


def parse_file(path):
    """The scenarios of one file, in order."""
    scenarios = []
    stack = []  # the open blocks' lists of statements, by depth
    for number, raw in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        text = raw.strip()
        if not text or text.startswith('#'):
            continue
        indent = len(raw) - len(raw.lstrip(' '))
        where = f'{path}:{number}'
        if indent % 2:
            wrong(f'{where}: indentation is two spaces')
        depth = indent // 2
        if depth == 0:
            kind, _, name = text.partition(' ')
            if kind == 'scenario':
                scenarios.append(Scenario(name.strip(), pathlib.Path(path).name, number))
                stack = []
            elif kind in SECTIONS and scenarios:
                key = (kind, name.strip())
                if key in scenarios[-1].sections:
                    wrong(f'{where}: a second {text}')
                stack = [scenarios[-1].sections.setdefault(key, [])]
            else:
                wrong(f'{where}: {text}')
            continue
        if depth > len(stack):
            wrong(f'{where}: indented too far')
        statement = parse_statement(number, text)
        del stack[depth:]
        stack[-1].append(statement)
        if statement.verb in BLOCKS:
            stack.append(statement.body)
    return scenarios


def parse_item(text):
    """'worker(a,3)' is ('worker', ['a', '3']); 'future' is ('future', None)."""
    found = re.fullmatch(r'(\w+)\((.*)\)', text)
    if not found:
        return text, None
    return found[1], found[2].split(',') if found[2] else []


def substitute(text, names):
    """Each $name by what it stands for."""
    return re.sub(r'\$(\w+)', lambda found: names.get(found[1], found[0]), text)
