"""Scenarios out of a random generator: tasks that lock, wait, put, get and cancel each other.

    python3 random_scenarios.py COUNT [SEED] > FILE

Written so that asyncio itself leaves nothing open: all sleeps and timeouts end at times of their own,
nobody awaits in a circle, and main cancels what is left one by one. Not all kinds of statements do the
same in older versions of Python. Before 3.13 a condition forgets a notification whose task is
cancelled, gather takes a turn for what is done, and a task group loses cancellations; before 3.12 a
timeout does not know those that were swallowed before it began.
"""

import random
import sys

TASKS = 5
KINDS = ['sleep', 'sleep', 'turn', 'turn', 'lock', 'lock', 'event', 'set', 'clear', 'put', 'get',
         'semaphore', 'permit', 'cancel', 'await', 'try', 'try', 'raise', 'shield', 'barrier',
         'handover', 'cancelling']
if sys.version_info >= (3, 12):
    KINDS += ['timeout']
if sys.version_info >= (3, 13):
    KINDS += ['condition', 'notify', 'gather', 'group']


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = []

    def moment(self, most):
        """A duration that hardly any sum of others equals."""
        return self.random.randrange(1, most) * 1000 + self.random.randrange(1000)

    def emit(self, depth, text):
        self.lines.append('  ' * depth + text)

    def statement(self, me, depth):
        pick = self.random.random
        other = self.random.randrange(TASKS)
        kind = self.random.choice(KINDS)
        emit = self.emit
        if kind == 'sleep':
            emit(depth, f'show sleep {self.moment(6)}')
        elif kind == 'turn':
            emit(depth, 'sleep 0')
        elif kind == 'lock':
            emit(depth, f'with l{self.random.randrange(2)}')
            self.block(me, depth + 1)
        elif kind == 'event':
            emit(depth, 'show wait e')
        elif kind in ('set', 'clear'):
            emit(depth, f'show {kind} e')
        elif kind == 'put':
            emit(depth, f'show put q {me}{self.random.randrange(100)}')
        elif kind == 'get':
            emit(depth, 'show get q')
        elif kind == 'semaphore':
            emit(depth, 'with s')
            self.block(me, depth + 1)
        elif kind == 'permit':
            emit(depth, self.random.choice(['show acquire s', 'release s']))
        elif kind == 'cancel':
            emit(depth, f'show cancel t{other} by_{me}')
        elif kind == 'await' and me > 0:
            emit(depth, f'show await t{self.random.randrange(me)}')
        elif kind == 'try' and depth < 5:
            emit(depth, 'try')
            self.block(me, depth + 1)
            clause = self.random.choice(['except CancelledError', 'except TimeoutError', 'except any',
                                         'finally', 'except CancelledError Boom'])
            emit(depth, clause)
            self.block(me, depth + 1)
            if clause == 'except CancelledError' and pick() < 0.5:
                emit(depth + 1, 'raise')
        elif kind == 'timeout':
            emit(depth, f'timeout {self.moment(4)}')
            self.block(me, depth + 1)
        elif kind == 'condition':
            emit(depth, 'with c')
            emit(depth + 1, 'show wait c')
        elif kind == 'notify':
            emit(depth, 'with c')
            emit(depth + 1, self.random.choice(['notify c', 'notify c 2', 'notify_all c']))
        elif kind == 'raise' and pick() < 0.4:
            emit(depth, f'raise Boom by_{me}')
        elif kind == 'shield' and me > 0:
            emit(depth, f'u{me} = shield t{self.random.randrange(me)}')
            emit(depth, f'check await u{me}')
        elif kind == 'barrier':
            emit(depth, 'check wait b')
        elif kind == 'gather' and me > 1:
            emit(depth, f'show gather exceptions t{me - 1} t{me - 2}')
        elif kind == 'group' and depth < 4:
            emit(depth, f'group g{me}')
            emit(depth + 1, f'start g{me} k{me}_{len(self.lines)} child({me})')
            self.block(me, depth + 1)
        elif kind == 'handover':
            emit(depth, 'release s')
            emit(depth, f'cancel t{other}')
        else:
            emit(depth, 'show cancelling self')

    def block(self, me, depth):
        for _ in range(self.random.randrange(1, 3 if depth > 2 else 4)):
            self.statement(me, depth)

    def scenario(self, name):
        self.emit(0, f'scenario {name}')
        self.emit(0, 'coro child')
        for _ in range(2):  # nothing that begins another child
            self.emit(1, self.random.choice([f'show sleep {self.moment(6)}', 'show wait e', 'show get q',
                                             'raise Boom child', 'show acquire s', 'release s']))
        for me in range(TASKS):
            self.emit(0, f'coro body{me}')
            for _ in range(self.random.randrange(2, 6)):
                self.statement(me, 1)
        self.emit(0, 'main')
        for line in ['l0 = lock', 'l1 = lock', 'e = event', f'q = queue {self.random.randrange(3)}',
                     f's = semaphore {self.random.randrange(3)}', 'c = condition',
                     f'b = barrier {self.random.randrange(2, 4)}',
                     *[f'spawn t{me} body{me}()' for me in range(TASKS)]]:
            self.emit(1, line)
        for _ in range(6):
            self.emit(1, f'sleep {self.moment(3)}')
            self.emit(1, self.random.choice(
                ['set e', 'clear e', 'release s', 'check put_nowait q main', 'check get_nowait q',
                 f'show cancel t{self.random.randrange(TASKS)} main',
                 f'show cancel t{self.random.randrange(TASKS)}']))
        for _ in range(12):
            for me in range(TASKS):
                self.emit(1, f'cancel t{me} end')
                self.emit(1, f'sleep {self.moment(20)}')
        for me in range(TASKS):
            self.emit(1, f'check result t{me}')


def text(count, seed=0):
    lines = []
    for number in range(seed, seed + count):
        generator = Generator(number)
        generator.scenario(f'Random {number}')
        lines += generator.lines
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    sys.stdout.write(text(*[int(each) for each in sys.argv[1:]]))
