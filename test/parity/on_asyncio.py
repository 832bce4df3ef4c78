"""Runs scenarios on CPython's asyncio and prints what happens, a line an event:

    python3 on_asyncio.py FILE...

The other side is interpreter.cpp: the two are to be read side by side.
"""

import asyncio
import gc
import sys

import script
from asyncio_streams import StreamVerbs
from asyncio_verbs import Verbs
from errors import describe, matches
from script import parse_item, substitute
from virtual_loop import VirtualLoop

LIMIT = 1_000_000  # ticks, after which a scenario is stuck


class Return:
    def __init__(self, value):
        self.value = value


class Frame:
    """One invocation of a section."""

    def __init__(self, label, args=()):
        self.label = label
        self.names = {str(place): text for place, text in enumerate(args, 1)}
        self.handling = None  # the exception of the `except` we are in


class World(Verbs, StreamVerbs):
    """A scenario while it runs."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.trace = []
        self.objects = {}  # by name: futures, locks, ...
        self.shared = {}   # texts, by `let`
        self.loop = None

    # -- the trace

    def log(self, label, text):
        self.trace.append(f'{self.loop.time():.0f} {label}: {text}')

    def handle_exception(self, loop, context):
        message = context['message']
        for part, kind in [('never retrieved', 'never retrieved'), ('in callback', 'in a callback'),
                           ('data_received', 'in data_received'),
                           ('shutdown', 'during shutdown'), ('pending', 'destroyed pending')]:
            if part in message:
                message = kind
                break
        exception = context.get('exception')
        self.log('handler', f'{message} {describe(exception) if exception else ""}'.rstrip())

    # -- the whole

    def run(self):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            self.loop = runner.get_loop()
            self.loop.set_exception_handler(self.handle_exception)
            self.loop.call_later(LIMIT, self.stuck)
            try:
                if ('main', '') in self.scenario.sections:
                    runner.run(self.body(('main', ''), [], 'main'))
                else:
                    self.plain_block(self.section('outside', ''), Frame('outside'))
            except BaseException as e:
                self.log('end', f'raises {describe(e)}')
            self.log('end', 'closing')
        self.objects.clear()
        gc.collect()
        return self.trace

    def stuck(self):
        self.log('end', 'stuck')
        self.loop.stop()
        self.loop.call_later(LIMIT, lambda: sys.exit(f'{self.scenario.name}: stuck'))

    def section(self, kind, name):
        if (kind, name) not in self.scenario.sections:
            self.wrong(f'no {kind} {name}')
        return self.scenario.sections[kind, name]

    def wrong(self, what):
        script.wrong(f'{self.scenario.file}: {self.scenario.name}: {what}')

    # -- coroutines

    async def body(self, key, args, label):
        frame = Frame(label, args)
        self.log(label, 'begins')
        try:
            flow = await self.block(self.section(*key), frame)
        except GeneratorExit:
            raise
        except BaseException as e:
            self.log(label, f'raises {describe(e)}')
            raise
        value = flow.value if flow else 'None'
        self.log(label, f'returns {value}')
        return value

    async def generate(self, name, args):
        frame = Frame(name, args)
        for statement in self.section('generator', name):
            if statement.verb == 'yield':
                yield self.expand(statement.rest, frame)
            else:
                await self.statement(statement, frame)

    async def block(self, statements, frame):
        """None, or a Return."""
        at = 0
        while at < len(statements):
            statement = statements[at]
            at += 1
            if statement.verb == 'try':
                clauses = []
                while at < len(statements) and statements[at].verb in ('except', 'else', 'finally'):
                    clauses.append(statements[at])
                    at += 1
                flow = await self.try_block(statement, clauses, frame)
            elif statement.verb in script.BLOCKS:
                flow = await getattr(self, 'block_' + statement.verb)(statement, frame)
            else:
                flow = await self.statement(statement, frame)
            if flow:
                return flow
        return None

    async def try_block(self, statement, clauses, frame):
        last = [each for each in clauses if each.verb == 'finally']
        try:
            return await self.try_except(statement, clauses, frame)
        finally:
            if last:
                await self.block(last[0].body, frame)

    async def try_except(self, statement, clauses, frame):
        try:
            flow = await self.block(statement.body, frame)
        except GeneratorExit:
            raise
        except BaseException as e:
            for clause in clauses:
                if clause.verb == 'except' and matches(e, clause.rest):
                    outer, frame.handling = frame.handling, e
                    frame.names['error'] = describe(e)
                    try:
                        return await self.block(clause.body, frame)
                    finally:
                        frame.handling = outer
            raise
        for clause in clauses:
            if clause.verb == 'else' and not flow:
                return await self.block(clause.body, frame)
        return flow

    async def block_repeat(self, statement, frame):
        for i in range(int(self.expand(statement.rest, frame))):
            frame.names['i'] = str(i)
            if flow := await self.block(statement.body, frame):
                return flow
        return None

    async def block_timeout(self, statement, frame):
        delay, _, name = self.expand(statement.rest, frame).partition(' ')
        async with asyncio.timeout(self.delay(delay)) as limit:
            if name:
                self.objects[name] = limit
            return await self.block(statement.body, frame)

    async def block_group(self, statement, frame):
        async with asyncio.TaskGroup() as group:
            self.objects[statement.rest] = group
            return await self.block(statement.body, frame)

    async def block_with(self, statement, frame):
        async with self.object(self.expand(statement.rest, frame)):
            return await self.block(statement.body, frame)

    async def block_completed(self, statement, frame):
        limit, items = self.limit_and_items(self.expand(statement.rest, frame))
        for future in asyncio.as_completed([self.awaitable(item) for item in items], timeout=limit):
            frame.names['item'] = await future
            if flow := await self.block(statement.body, frame):
                return flow
        return None

    async def block_for(self, statement, frame):
        name, args = parse_item(self.expand(statement.rest, frame))
        async for frame.names['item'] in self.generate(name, args):
            if flow := await self.block(statement.body, frame):
                return flow
        return None

    # -- statements

    async def statement(self, statement, frame):
        if statement.verb in ('show', 'check'):
            inner = script.parse_statement(statement.line, self.expand(statement.rest, frame))
            try:
                value = await self.evaluate(inner, frame)
            except GeneratorExit:
                raise
            except BaseException as e:
                self.log(frame.label, f'{inner} !! {describe(e)}')
                if statement.verb == 'show':
                    raise
                return None
            self.log(frame.label, f'{inner} -> {value}')
            return None
        if statement.verb == 'return':
            return Return(self.expand(statement.rest, frame) or 'None')
        value = await self.evaluate(statement, frame)
        if statement.target:
            frame.names[statement.target] = value
        return None

    async def evaluate(self, statement, frame):
        waiting = getattr(self, 'await_' + statement.verb, None)
        if not waiting:
            return self.evaluate_plain(statement, frame)
        return await waiting(frame, self.expand(statement.rest, frame))

    def evaluate_plain(self, statement, frame):
        verb = getattr(self, 'do_' + statement.verb, None)
        if not verb:
            self.wrong(f'{statement.line}: {statement.verb}')
        value = verb(frame, self.expand(statement.rest, frame))
        if isinstance(value, (str, int, type(None))):
            return str(value)
        self.objects[statement.target] = value
        return 'None'

    def plain_block(self, statements, frame):
        """Where nothing can be awaited: callbacks, and outside of the loop."""
        for statement in statements:
            if statement.verb in ('show', 'check'):
                inner = script.parse_statement(statement.line, self.expand(statement.rest, frame))
                try:
                    value = self.evaluate_plain(inner, frame)
                except BaseException as e:
                    self.log(frame.label, f'{inner} !! {describe(e)}')
                    if statement.verb == 'show':
                        raise
                    continue
                self.log(frame.label, f'{inner} -> {value}')
                continue
            value = self.evaluate_plain(statement, frame)
            if statement.target:
                frame.names[statement.target] = value

    def callback(self, text):
        """A function that runs the callback `text`, its label."""
        name, args = parse_item(text)
        statements = self.section('callback', name)
        return lambda *_: self.plain_block(statements, Frame(text, args or ()))

    def run_handler(self, name, event, names):
        """What stands below `on NAME EVENT`, if there is anything."""
        frame = Frame(name)
        frame.names.update(names)
        self.plain_block(self.scenario.sections.get(('on', f'{name} {event}'), []), frame)

    # -- names

    describe = staticmethod(describe)

    def expand(self, text, frame):
        return substitute(text, {**self.shared, **frame.names})

    def object(self, name):
        if name == 'self':
            return asyncio.current_task()
        if name not in self.objects:
            self.wrong(f'no object {name}')
        return self.objects[name]

    def awaitable(self, text, label=None):
        """'worker(a)' is a coroutine, 'task' an object."""
        name, args = parse_item(text)
        if args is None:
            return self.object(name)
        return self.body(('coro', name), args, label or text)

    @staticmethod
    def delay(text):
        return None if text == 'none' else int(text)

    def limit_and_items(self, text):
        items = text.split()
        limit = None
        if items and items[0].startswith('timeout='):
            limit = self.delay(items.pop(0)[len('timeout='):])
        return limit, items


def main():
    for path in sys.argv[1:]:
        for scenario in script.parse_file(path):
            print('==', scenario.name)
            gc.collect()
            for line in World(scenario).run():
                print(line)


if __name__ == '__main__':
    main()
