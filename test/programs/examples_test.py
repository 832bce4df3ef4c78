"""The examples do what their first lines say."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import harness
from harness import receive, receive_all, wait_until


class ExampleTest(harness.ProgramTest):
    def serve(self, name):
        server = self.start(name, 0)
        return server, server.port()

    def check_echo(self, port):
        peer = self.connect(port)
        data = bytes(range(256)) * 4096
        sending = self.in_thread(peer.sendall, data)
        self.assertEqual(receive(peer, len(data)), data)
        sending()
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(peer), b'')

    def lines_of(self, sock):
        stream = sock.makefile('rb')
        self.addCleanup(stream.close)
        return lambda: stream.readline().decode()


class Echo(ExampleTest):
    def test_TheReadmeShowsTheServerAsItIs(self):
        root = pathlib.Path(__file__).parents[2]
        source = (root / 'examples/echo_server.cpp').read_text()
        self.assertIn(f'```cpp\n{source}```\n', (root / 'README.md').read_text())

    def test_TheServerSendsBackWhatItGets(self):
        server, port = self.serve('echo_server')
        self.check_echo(port)
        self.assertEqual(server.terminate(), 0)

    def test_TheClientPrintsTheAnswer(self):
        server, port = self.serve('echo_server')
        self.assertEqual(self.run_program('echo_client', port), (0, 'hello, ferry\n', ''))
        self.assertEqual(self.run_program('echo_client', port, 'na\u00efve'), (0, 'na\u00efve\n', ''))
        self.assertEqual(server.terminate(), 0)

    def test_TheClientSaysWhyItFailed(self):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            code, output, errors = self.run_program('echo_client', unused.getsockname()[1])
        self.assertEqual((code, output), (1, ''))
        self.assertIn('refused', errors)

    def test_AnInterruptEndsTheServer(self):
        server, _ = self.serve('echo_server')
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)


class CoroutineEcho(ExampleTest):
    def test_TheReadmeShowsItsCoroutineAsItIs(self):
        root = pathlib.Path(__file__).parents[2]
        source = (root / 'examples/coroutine_echo.cpp').read_text()
        coroutine = source[source.index('ferry::Coro<> echo('):source.index('int main')]
        self.assertIn(f'```cpp\n{coroutine.rstrip()}\n```\n', (root / 'README.md').read_text())

    def test_TheServerSendsBackWhatItGets(self):
        server, port = self.serve('coroutine_echo')
        self.check_echo(port)
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)


class UdpEcho(ExampleTest):
    def test_TheServerSendsDatagramsBack(self):
        self.send_there_and_back('udp_echo')

    def test_SoDoesTheCoroutine(self):
        self.send_there_and_back('udp_coroutine_echo')

    def send_there_and_back(self, program):
        server, port = self.serve(program)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(harness.PATIENCE)
            peer.connect(('127.0.0.1', port))
            for datagram in [b'hello', b'', bytes(range(256)) * 255]:
                peer.send(datagram)
                self.assertEqual(peer.recv(65536), datagram)
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)


class Pipe(ExampleTest):
    def run_with(self, data):
        ran = subprocess.run([harness.programs['pipe']], input=data, capture_output=True,
                             timeout=harness.PATIENCE, check=False)
        return ran.returncode, ran.stdout, ran.stderr

    def test_LinesAreNumbered(self):
        self.assertEqual(self.run_with(b'one\n\nthree'), (0, b'1\tone\n2\t\n3\tthree', b''))
        lines = [b'x' * (i % 100) for i in range(20000)]
        numbered = b''.join(b'%d\t%s\n' % (i + 1, line) for i, line in enumerate(lines))
        self.assertEqual(self.run_with(b'\n'.join(lines) + b'\n'), (0, numbered, b''))

    def test_AFileIsRefused(self):
        with open(__file__, 'rb') as file:
            ran = subprocess.run([harness.programs['pipe']], stdin=file, capture_output=True,
                                 timeout=harness.PATIENCE, check=False)
        self.assertEqual(ran.returncode, 1)
        self.assertIn(b'no pipe', ran.stderr)


class FileServer(ExampleTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.shared = self.root / 'shared'
        (self.shared / 'folder').mkdir(parents=True)
        self.files = {'small': b'hello', 'empty': b'', 'large': bytes(range(256)) * 40000,
                      'name with spaces': b'\n\0\n'}
        for name, content in self.files.items():
            (self.shared / name).write_bytes(content)
        (self.root / 'secret').write_bytes(b'secret')
        (self.shared / 'link').symlink_to(self.root / 'secret')
        os.mkfifo(self.shared / 'fifo')
        self.server = self.start('file_server', self.shared, 0)
        self.port = self.server.port()

    def test_FilesArriveWhole(self):
        peer = self.connect(self.port)
        for name, content in self.files.items():
            peer.sendall(f'{name}\n'.encode())
            head = f'+ {len(content)}\n'.encode()
            self.assertEqual(receive(peer, len(head) + len(content)), head + content)
        self.assertEqual(self.server.terminate(), 0)

    def test_RequestsMayComeTogetherAndTheEndWithThem(self):
        peer = self.connect(self.port)
        names = ['large', 'small', 'none', 'large', 'empty', 'small']
        answer = b''.join(f'+ {len(self.files[n])}\n'.encode() + self.files[n] if n in self.files
                          else b'- No such file or directory\n' for n in names)
        peer.sendall(''.join(n + '\n' for n in names).encode())
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(peer), answer)
        self.assertEqual(self.server.terminate(), 0)

    def test_NothingElseIsServed(self):
        peer = self.connect(self.port)
        hear = self.lines_of(peer)
        for name in ['../secret', '/etc/passwd', 'folder/../small', './small', '.', '..', '',
                     'folder', 'link', 'fifo', 'small\0.txt', '\0', 'none']:
            peer.sendall(f'{name}\n'.encode())
            self.assertRegex(hear(), '^- ', name)
        peer.sendall(b'x' * 10000)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(receive_all(peer), b'')
        self.assertEqual(self.server.terminate(), 0)

    def test_APeerThatGoesInTheMiddleHarmsNobody(self):
        before = self.server.descriptors()
        for _ in range(20):
            peer = self.connect(self.port)
            peer.sendall(b'large\n' * 10)
            receive(peer, 1000)
            harness.reset(peer)
        peer = self.connect(self.port)
        peer.sendall(b'small\n')
        self.assertEqual(receive(peer, 9), b'+ 5\nhello'[:9])
        peer.close()
        wait_until(lambda: self.server.descriptors() == before)
        self.assertEqual(self.server.terminate(), 0)

    def test_AMissingDirectoryIsAnError(self):
        code, output, errors = self.run_program('file_server', '/nonexistent')
        self.assertEqual((code, output), (1, ''))
        self.assertIn('/nonexistent: No such file', errors)


class Subprocess(ExampleTest):
    def test_OutputAndEndAreTold(self):
        self.assertEqual(self.run_program('subprocess', 60, 'sh', '-c', 'echo hello; exit 3'),
                         (0, 'output: 6 bytes, errors: 0 bytes, exit code 3\n', ''))
        self.assertEqual(self.run_program('subprocess', 0, 'sleep', 600),
                         (0, 'output: 0 bytes, errors: 0 bytes, ended by signal 9\n', ''))

    def test_AMissingProgramIsAnError(self):
        code, output, errors = self.run_program('subprocess', 60, '/nonexistent')
        self.assertEqual((code, output), (1, ''))
        self.assertIn('/nonexistent: No such file', errors)


class Chat(ExampleTest):
    def join(self, port):
        member = self.connect(port)
        name = f'guest-{member.getsockname()[1]}'
        hear = self.lines_of(member)
        self.assertEqual(hear(), f'{name} joined\n')
        return member, name, hear

    def test_EverybodyElseHearsALine(self):
        server, port = self.serve('chat')
        ann, ann_name, ann_hears = self.join(port)
        bob, bob_name, bob_hears = self.join(port)
        self.assertEqual(ann_hears(), f'{bob_name} joined\n')
        ann.sendall(b'hel')
        ann.sendall(b'lo\nhow are you?\n')
        self.assertEqual(bob_hears(), f'{ann_name}: hello\n')
        self.assertEqual(bob_hears(), f'{ann_name}: how are you?\n')
        bob.sendall(b'fine\n')
        self.assertEqual(ann_hears(), f'{bob_name}: fine\n')
        bob.shutdown(socket.SHUT_WR)
        self.assertEqual(ann_hears(), f'{bob_name} left\n')
        self.assertEqual(server.terminate(), 0)

    def test_ATooLongLineEndsItsSender(self):
        server, port = self.serve('chat')
        ann, _, ann_hears = self.join(port)
        bob, bob_name, _ = self.join(port)
        ann_hears()
        bob.sendall(b'x' * 5000)
        self.assertTrue(receive_all(bob).endswith(b'too long a line\n'))
        self.assertEqual(ann_hears(), f'{bob_name} left\n')
        ann.sendall(b'x' * 1024 + b'\n')
        self.assertEqual(server.terminate(), 0)

    def test_AMemberThatDoesNotReadIsDropped(self):
        server, port = self.serve('chat')
        ann, _, ann_hears = self.join(port)
        deaf, deaf_name, _ = self.join(port)
        ann_hears()

        def flood():
            with contextlib.suppress(OSError):
                while True:
                    ann.sendall(b'x' * 1000 + b'\n')
        self.in_thread(flood)
        self.assertEqual(ann_hears(), f'{deaf_name} left\n')
        ann.shutdown(socket.SHUT_RDWR)
        self.assertEqual(server.terminate(), 0)


class Loop(ExampleTest):
    def test_TimersFireInOrder(self):
        self.assertEqual(self.run_program('timers'), (0, 'soon\nfirst\nsecond\ntick 1\ntick 2\n'
                                                      'tick 3\nwatchdog: nobody fed me\n', ''))

    def test_AsioAndFerryShareAnIoContext(self):
        code, output, errors = self.run_program('asio_on_ferry')
        self.assertEqual((code, errors), (0, ''))
        lines = output.splitlines()
        self.assertIn("a handler of Asio's", lines)
        lines.remove("a handler of Asio's")
        self.assertEqual(lines, ['one: ONE', 'two: TWO', 'three: THREE', 'silence', 'closed: yes'])

    def test_SignalsAreCounted(self):
        program = self.start('signals')
        self.assertEqual(program.line(), f'pid {program.pid}')
        program.signal(signal.SIGUSR2)
        self.assertEqual(program.line(), '0')
        counted = 0
        while counted < 3:  # signals that come before the last one was taken become one
            program.signal(signal.SIGUSR1)
            program.signal(signal.SIGUSR2)
            now = int(program.line())
            self.assertIn(now, [counted, counted + 1])
            counted = now
        self.assertEqual(program.terminate(), 0)
        self.assertEqual(program.rest(), 'goodbye\n')


class GracefulShutdown(ExampleTest):
    def test_WorkUnderWayIsFinished(self):
        server, port = self.serve('graceful_shutdown')
        peer = self.connect(port)
        peer.sendall(b'dig\n')
        wait_until(lambda: server.descriptors() > 0)
        # The job has been taken once the server has read it.
        wait_until(lambda: unread_bytes(peer) == 0)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.line(), 'finishing 1 connections')
        self.assertEqual(receive_all(peer), b'done: dig\n')
        self.assertEqual(server.line(), 'all done, 0 aborted')
        self.assertEqual(server.wait(), 0)

    def test_NoNewConnectionIsTaken(self):
        server, port = self.serve('graceful_shutdown')
        waiting = self.connect(port)
        waiting.sendall(b'half a j')
        wait_until(lambda: unread_bytes(waiting) == 0)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.line(), 'finishing 1 connections')
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(('127.0.0.1', port), harness.PATIENCE)
        waiting.sendall(b'ob\n')
        self.assertEqual(receive_all(waiting), b'done: half a job\n')
        self.assertEqual(server.wait(), 0)

    def test_ASecondSignalAborts(self):
        server, port = self.serve('graceful_shutdown')
        peer = self.connect(port)
        peer.sendall(b'no end of line')
        wait_until(lambda: unread_bytes(peer) == 0)
        server.signal(signal.SIGTERM)
        server.line()
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(receive_all(peer), b'')


def unread_bytes(sock):
    """What the peer's program has not read yet of what `sock` sent: ss(8) shows it, /proc has it."""
    local, remote = sock.getsockname()[1], sock.getpeername()[1]
    with open('/proc/net/tcp', encoding='ascii') as table:
        for row in table.read().splitlines()[1:]:
            fields = row.split()
            if fields[1].endswith(f':{remote:04X}') and fields[2].endswith(f':{local:04X}'):
                return int(fields[4].split(':')[1], 16)
    return None


class FramedProtocol(ExampleTest):
    def frame(self, kind, payload):
        return struct.pack('>IB', len(payload), kind) + payload

    def test_TheClientPrintsTheAnswers(self):
        server, port = self.serve('framed_server')
        self.assertEqual(self.run_program('framed_client', port, 'ferry', '', 'x' * 60000),
                         (0, 'yrref\n\n' + 'x' * 60000 + '\n', ''))
        self.assertEqual(server.terminate(), 0)

    def test_FramesAreAnsweredWhateverTheSplits(self):
        server, port = self.serve('framed_server')
        wire = self.frame(1, b'abc') + self.frame(1, b'') + self.frame(9, b'?') + self.frame(1, b'de')
        answer = (self.frame(2, b'cba') + self.frame(2, b'') + self.frame(3, b'what is that?') +
                  self.frame(2, b'ed'))
        for split in range(len(wire) + 1):
            peer = self.connect(port)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sendall(wire[:split])
            peer.sendall(wire[split:])
            self.assertEqual(receive(peer, len(answer)), answer)
            peer.close()
        self.assertEqual(server.terminate(), 0)

    def test_ATooLongFrameEndsTheConnectionAtOnce(self):
        server, port = self.serve('framed_server')
        peer = self.connect(port)
        peer.sendall(struct.pack('>IB', 65537, 1))
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(receive_all(peer), b'')
        self.assertEqual(server.terminate(), 0)

    def test_TheClientSaysWhyItFailed(self):
        code, _, errors = self.run_program('framed_client')
        self.assertEqual(code, 2)
        listener = self.listener()
        closing = self.in_thread(lambda: harness.reset(self.accept(listener)))
        code, _, errors = self.run_program('framed_client', listener.getsockname()[1], 'text')
        closing()
        self.assertEqual(code, 1)
        self.assertIn('framed_client: ', errors)


class MultiCoreEcho(ExampleTest):
    def test_ConnectionsAreSpreadOverTheLoops(self):
        for spread in ('least_loaded', 'reuse_port'):
            server = self.start('multi_core_echo', 0, 3, spread)
            port = server.port()
            peers = [self.connect(port) for _ in range(30)]
            for number, peer in enumerate(peers):
                peer.sendall(b'%d' % number)
            for number, peer in enumerate(peers):
                self.assertEqual(receive(peer, len(str(number))), b'%d' % number)
            server.signal(signal.SIGTERM)
            loads = [int(re.fullmatch(rf'loop {i} has (\d+) connections', server.line())[1])
                     for i in range(3)]
            self.assertEqual(sum(loads), 30)
            if spread == 'least_loaded':
                self.assertEqual(loads, [10, 10, 10])
            for peer in peers:
                peer.sendall(b'still')
                self.assertEqual(receive(peer, 5), b'still')
                peer.close()
            self.assertEqual(server.wait(), 0)


class HotRestart(ExampleTest):
    def setUp(self):
        self.path = self.directory() / 'restart.sock'

    def test_ThreeRestartsUnderLoadLoseNoConnection(self):
        server = self.start('hot_restart', self.path, 0)
        port = server.port()
        done = [0] * 4
        ending = threading.Event()

        def load(number):
            while not ending.is_set():
                message = b'%d-%d' % (number, done[number])
                with socket.create_connection(('127.0.0.1', port), harness.PATIENCE) as peer:
                    peer.settimeout(harness.PATIENCE)
                    peer.sendall(message)
                    peer.shutdown(socket.SHUT_WR)
                    answer = receive_all(peer)
                if answer != message:
                    raise AssertionError(f'{answer!r} instead of {message!r}')
                done[number] += 1

        loads = [self.in_thread(load, number) for number in range(len(done))]
        self.addCleanup(ending.set)
        long_lived = []
        started = time.monotonic()
        for _ in range(3):
            before = sum(done)
            wait_until(lambda: sum(done) >= before + 1000, lambda: f'requests: {done}')
            long_lived.append((server, self.connect(port)))
            long_lived[-1][1].sendall(b'a')
            self.assertEqual(receive(long_lived[-1][1], 1), b'a')
            successor = self.start('hot_restart', self.path, 0)
            self.assertEqual(successor.port(), port)
            self.assertEqual(server.line(), f'process {successor.pid} goes on')
            server = successor
        before = sum(done)
        wait_until(lambda: sum(done) >= before + 1000, lambda: f'requests: {done}')
        seconds = time.monotonic() - started
        ending.set()
        for join in loads:
            join()  # raises what went wrong
        print(f'# {sum(done)} requests, {sum(done) / seconds:.0f} a second')
        # Each old process ends when its last connection has.
        for old, peer in long_lived:
            self.assertIsNone(old.process.poll())
            peer.sendall(b'b')
            self.assertEqual(receive(peer, 1), b'b')
            peer.close()
            self.assertEqual(old.wait(), 0)
        self.assertEqual(server.terminate(), 0)
        self.assertFalse(self.path.exists())

    def test_ASuccessorThatDiesChangesNothing(self):
        server = self.start('hot_restart', self.path, 0)
        port = server.port()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.path))
            _, descriptors, _, _ = socket.recv_fds(peer, 1000, 10)
            self.assertEqual(len(descriptors), 1)
            os.close(descriptors[0])
        server.wait_for_stderr('did not take the sockets')
        peer = self.connect(port)
        peer.sendall(b'x')
        self.assertEqual(receive(peer, 1), b'x')
        successor = self.start('hot_restart', self.path, 0)
        self.assertEqual(successor.port(), port)
        peer.close()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(successor.terminate(), 0)

    def test_ItTakesASocketFromTheServiceManager(self):
        listener = self.listener()
        # What systemd does: descriptor 3, and the variables.
        command = ('exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=echo; '
                   'exec "$0" "$@"')
        harness.programs['sh'] = '/bin/sh'
        server = self.start('sh', '-c', command, harness.programs['hot_restart'], self.path,
                            stdin=listener)
        self.assertEqual(server.port(), listener.getsockname()[1])
        peer = self.connect(listener.getsockname()[1])
        peer.sendall(b'x')
        self.assertEqual(receive(peer, 1), b'x')
        peer.close()
        self.assertEqual(server.terminate(), 0)


if __name__ == '__main__':
    harness.main()
