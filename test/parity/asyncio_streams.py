"""The statements about streams, servers and transports, on asyncio."""

import asyncio


def unescape(text):
    return text.replace('\\n', '\n').encode()


def quoted(data):
    """What was read, so that it is one short line."""
    if len(data) > 60:
        return f'{len(data)} bytes'
    return '"' + data.decode().replace('\n', '\\n') + '"'


class ScriptProtocol(asyncio.Protocol):
    """Runs `on NAME EVENT` for each event."""

    def __init__(self, world, name):
        self.world = world
        self.name = name

    def has(self, mark):
        return ('on', f'{self.name} {mark}') in self.world.scenario.sections

    def run(self, event, **names):
        if event != 'data' or not self.has('quiet'):
            self.world.log(self.name, ' '.join([event, *names.values()]))
        self.world.run_handler(self.name, event, names)

    def connection_made(self, transport):
        self.world.objects[self.name] = transport
        self.run('made')

    def data_received(self, data):
        self.run('data', data=quoted(data))

    def eof_received(self):
        self.run('eof')
        return self.has('keep_open')

    def connection_lost(self, exc):
        self.run('lost', error=self.world.describe(exc) if exc else 'None')

    def pause_writing(self):
        self.run('pause')

    def resume_writing(self):
        self.run('resume')


class StreamVerbs:
    # -- readers fed by hand

    def do_reader(self, frame, rest):
        return asyncio.StreamReader(limit=int(rest or 65536), loop=self.loop)

    def do_feed(self, frame, rest):
        name, _, text = rest.partition(' ')
        self.object(name).feed_data(unescape(text))

    def do_feed_eof(self, frame, rest):
        self.object(rest).feed_eof()

    def do_at_eof(self, frame, rest):
        return self.object(rest).at_eof()

    async def await_read(self, frame, rest):
        name, _, count = rest.partition(' ')
        return quoted(await self.object(name).read(int(count or -1)))

    async def await_readexactly(self, frame, rest):
        name, count = rest.split()
        return quoted(await self.object(name).readexactly(int(count)))

    async def await_readline(self, frame, rest):
        return quoted(await self.object(rest).readline())

    async def await_readuntil(self, frame, rest):
        name, separator = rest.split()
        return quoted(await self.object(name).readuntil(unescape(separator)))

    # -- connections

    async def await_serve(self, frame, rest):
        """`serve s handler()`: each connection is s.r and s.w, and runs the handler."""
        name, item = rest.split()

        async def handle(reader, writer):
            self.objects[name + '.r'] = reader
            self.objects[name + '.w'] = writer
            await self.awaitable(item)

        self.objects[name] = await asyncio.start_server(handle, '127.0.0.1', 0)

    async def await_connect(self, frame, rest):
        """`connect c s`: c.r and c.w, connected to the server s."""
        name, server = rest.split()
        port = self.object(server).sockets[0].getsockname()[1]
        self.objects[name + '.r'], self.objects[name + '.w'] = await asyncio.open_connection(
            '127.0.0.1', port)

    async def await_connect_port(self, frame, rest):
        await asyncio.open_connection('127.0.0.1', int(rest))

    def do_port(self, frame, rest):
        return self.object(rest).sockets[0].getsockname()[1]

    async def await_listen(self, frame, rest):
        """`listen s echo`: connections get the protocol `echo`, and are objects of that name."""
        name, protocol = rest.split()
        self.objects[name] = await self.loop.create_server(lambda: ScriptProtocol(self, protocol),
                                                           '127.0.0.1', 0)

    async def await_dial(self, frame, rest):
        """`dial client s`: a connection to the server s with the protocol `client`."""
        protocol, server = rest.split()
        port = self.object(server).sockets[0].getsockname()[1]
        await self.loop.create_connection(lambda: ScriptProtocol(self, protocol), '127.0.0.1', port)

    def do_write(self, frame, rest):
        name, _, text = rest.partition(' ')
        self.object(name).write(unescape(text))

    def do_write_many(self, frame, rest):
        name, kib = rest.split()
        self.object(name).write(b'x' * 1024 * int(kib))

    def do_write_eof(self, frame, rest):
        self.object(rest).write_eof()

    def do_close(self, frame, rest):
        self.object(rest).close()

    def do_abort_now(self, frame, rest):
        self.object(rest).abort()

    def do_is_closing(self, frame, rest):
        return self.object(rest).is_closing()

    def do_pause_reading(self, frame, rest):
        self.object(rest).pause_reading()

    def do_resume_reading(self, frame, rest):
        self.object(rest).resume_reading()

    def do_limits(self, frame, rest):
        name, high, low = rest.split()
        self.object(name).set_write_buffer_limits(high=int(high), low=int(low))

    async def await_drain(self, frame, rest):
        await self.object(rest).drain()

    async def await_wait_closed(self, frame, rest):
        await self.object(rest).wait_closed()
