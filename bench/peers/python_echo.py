#!/usr/bin/env python3
"""TCP echo on Python's asyncio: its own event loop or uvloop, on protocols or on streams.

With --message one write for each message. Options and output as the other peers', and --loop, --api.
"""

import argparse
import asyncio
import signal

CHUNK = 64 * 1024


class Chunks(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    # What the peer does not take must not pile up here.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Messages(Chunks):
    def __init__(self, size):
        self.size = size
        self.begun = b''  # the first bytes of a message whose end has not come

    def data_received(self, data):
        if self.begun:
            data = self.begun + data
        write, size = self.transport.write, self.size
        whole = len(data) - len(data) % size
        for begin in range(0, whole, size):
            write(data[begin:begin + size])
        self.begun = data[whole:]


async def echo_chunks(reader, writer):
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def echo_messages(reader, writer, size):
    try:
        while True:
            writer.write(await reader.readexactly(size))
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass  # the peer has said all it had to say


def stream_handler(message):
    async def serve(reader, writer):
        try:
            if message:
                await echo_messages(reader, writer, message)
            else:
                await echo_chunks(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
    return serve


async def main(options):
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in [signal.SIGTERM, signal.SIGINT]:
        loop.add_signal_handler(number, stopped.set)
    where = {'host': '127.0.0.1', 'port': options.port, 'backlog': 1024}
    if options.api == 'streams':
        server = await asyncio.start_server(stream_handler(options.message), **where)
    else:
        factory = (lambda: Messages(options.message)) if options.message else Chunks
        server = await loop.create_server(factory, **where)
    print(f'listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}', flush=True)
    await stopped.wait()


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument('--message', type=int, default=0)
    parser.add_argument('--loop', choices=['asyncio', 'uvloop'], default='uvloop')
    parser.add_argument('--api', choices=['protocol', 'streams'], default='protocol')
    return parser.parse_args()


if __name__ == '__main__':
    chosen = parse_options()
    if chosen.loop == 'uvloop':
        import uvloop
        uvloop.install()
    asyncio.run(main(chosen))
