"""ferry-bench: its servers under its load, and its load against servers that get it wrong."""

import json
import signal
import socket
import subprocess

import harness
from harness import receive, receive_all, wait_until


class BenchTest(harness.ProgramTest):
    def serve(self, *arguments):
        server = self.start('ferry-bench', 'serve', '--port', 0, *arguments)
        return server, server.port()

    def load(self, port, *arguments, connections=1, size=64, depth=1, seconds=0.2):
        """(exit code, figures, standard error)"""
        file = self.directory() / 'figures.json'
        arguments = [*(['--port', port] if port else []), *arguments]
        code, output, errors = self.run_program(
            'ferry-bench', 'load', '--connections', connections, '--size', size,
            '--depth', depth, '--seconds', seconds, '--json', file, *arguments)
        return code, json.loads(file.read_text() or 'null'), errors

    def end(self, server):
        self.assertEqual(server.terminate(), 0)
        self.assertEqual(server.stderr(), '')


class Serving(BenchTest):
    def test_EveryServerAnswersEveryLoadByteForByte(self):
        for api in ['callbacks', 'buffered', 'streams']:
            for message in [0, 64, 1000, 100_000]:
                server, port = self.serve('--api', api, *(['--message', message] if message else []))
                for connections, size, depth in [(8, message or 64, 1), (2, message or 512, 64),
                                                 (3, message or 70_001, 2), (1, message or 1, 1000)]:
                    with self.subTest(api=api, message=message, size=size, depth=depth):
                        code, figures, errors = self.load(port, connections=connections, size=size,
                                                          depth=depth, seconds=0.1)
                        self.assertEqual((code, errors), (0, ''))
                        self.assertGreaterEqual(figures['total_messages'], connections * depth)
                self.end(server)

    def test_DatagramsAreAnsweredByteForByte(self):
        server, port = self.serve('--transport', 'udp')
        for connections, size, depth in [(64, 64, 1), (4, 512, 32), (1, 8, 16), (1, 65507, 1)]:
            with self.subTest(size=size, depth=depth):
                code, figures, errors = self.load(port, '--transport', 'udp', size=size, depth=depth,
                                                  connections=connections)
                self.assertEqual((code, errors), (0, ''))
                self.assertGreaterEqual(figures['total_messages'], connections * depth)
                self.assertEqual(figures['lost'], 0)
        self.end(server)

    def test_ManyLoopsAnswerAndAskByteForByte(self):
        for spread in ['least_loaded', 'reuse_port']:
            for tls, api in [([], []), (['--tls'], []), ([], ['--api', 'streams'])]:
                server, port = self.serve('--loops', 3, '--spread', spread, *tls, *api)
                with self.subTest(spread=spread, tls=tls, api=api):
                    code, figures, errors = self.load(port, '--loops', 3, *tls, connections=16,
                                                      size=1000, depth=4)
                    self.assertEqual((code, errors), (0, ''))
                    self.assertGreaterEqual(figures['total_messages'], 16 * 4)
                    self.assertEqual(figures['errors'], 0)
                self.end(server)

    def test_ManyLoopsAnswerOnUnixSockets(self):
        path = self.directory() / 's'
        server = self.start('ferry-bench', 'serve', '--transport', 'unix', '--path', path,
                            '--loops', 2)
        self.assertEqual(server.line(), f'listening on unix:{path}')
        code, figures, errors = self.load(None, '--transport', 'unix', '--path', path, '--loops', 2,
                                          connections=8)
        self.assertEqual((code, errors), (0, ''))
        self.assertGreaterEqual(figures['total_messages'], 8)
        self.end(server)

    def test_NoLoopWaitsForOneThatCannotConnect(self):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            code, _, errors = self.load(unused.getsockname()[1], '--loops', 2, connections=4)
        self.assertEqual(code, 1)
        self.assertIn('refused', errors)

    LOADS = [(8, 64, 1), (2, 512, 64), (3, 70_001, 2), (1, 1, 1000)]

    def check_loads(self, port, *arguments):
        for connections, size, depth in self.LOADS:
            code, figures, errors = self.load(port, *arguments, connections=connections, size=size,
                                              depth=depth, seconds=0.1)
            self.assertEqual((code, errors), (0, ''))
            self.assertGreaterEqual(figures['total_messages'], connections * depth)
        return figures

    def test_UnixSocketsAreAnsweredByteForByte(self):
        path = self.directory() / 's'
        for tls in [[], ['--tls']]:
            server = self.start('ferry-bench', 'serve', '--transport', 'unix', '--path', path, *tls)
            self.assertEqual(server.line(), f'listening on unix:{path}')
            self.check_loads(None, '--transport', 'unix', '--path', path, *tls)
            code, _, errors = self.run_program(
                'ferry-bench', 'churn', '--transport', 'unix', '--path', path, *tls,
                '--connections', 4, '--seconds', 0.2)
            self.assertEqual((code, errors), (0, ''))
            idler = self.start('ferry-bench', 'idle', '--transport', 'unix', '--path', path, *tls,
                               '--connections', 20)
            self.assertEqual(idler.line(), 'idle 20')
            self.assertEqual(idler.terminate(), 0)
            self.end(server)
            self.assertFalse(path.exists())

    def test_PipesAreAnsweredByteForByte(self):
        figures = self.check_loads(None, '--transport', 'pipe')
        self.assertGreater(figures['server_cpu_us_per_message'], 0)

    def test_ThePipesOfAServerMayBeItsStandardStreams(self):
        for arguments in [[], ['--api', 'buffered'], ['--message', 7], ['--pipes', '0:1']]:
            server = self.start('ferry-bench', 'serve', '--transport', 'pipe', *arguments,
                                stdin=subprocess.PIPE)
            data = bytes(range(256)) * 70_007  # of whole messages, more than a pipe holds
            writing = self.in_thread(server.process.stdin.write, data)
            self.assertEqual(server.process.stdout.read(len(data)), data)
            writing()
            server.process.stdin.close()
            self.assertEqual((server.rest(), server.process.returncode, server.stderr()),
                             ('', 0, ''))

    def test_WhenNobodyReadsAPipeAnyMoreTheServerEnds(self):
        server = self.start('ferry-bench', 'serve', '--transport', 'pipe', stdin=subprocess.PIPE)
        server.process.stdout.close()
        server.process.stdin.write(b'for nobody')
        server.process.stdin.flush()
        self.assertEqual(server.process.wait(harness.PATIENCE), 0)
        server.process.stdin.close()

    def test_OverTlsWithACertificateOfItsOwnOrAGivenOne(self):
        folder = self.directory()
        files = folder / 'c', folder / 'k'
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                        'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=mine', '-keyout',
                        files[1], '-out', files[0]], check=True, stderr=subprocess.DEVNULL)
        for arguments, name in [([], 'localhost'),
                                (['--tls-cert', files[0], '--tls-key', files[1]], 'mine')]:
            for api in ['callbacks', 'buffered', 'streams']:
                server, port = self.serve('--tls', '--api', api, *arguments)
                self.check_loads(port, '--tls')
                shown = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{port}'],
                                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
                self.assertIn(f'CN = {name}', shown.stdout)
                self.end(server)

    def test_TlsAgainstNoneIsAnError(self):
        server, port = self.serve()
        code, _, errors = self.run_program('ferry-bench', 'load', '--port', port, '--tls',
                                           '--connections', 1, '--size', 1, '--depth', 1,
                                           '--seconds', 1)
        self.assertEqual((code, errors.count('\n')), (1, 1), errors)
        self.assertIn('TLS', errors)
        self.end(server)

    def test_WrongDatagramsAreNoticed(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
            wrong.bind(('127.0.0.1', 0))
            wrong.settimeout(harness.PATIENCE)

            def answer():
                data, peer = wrong.recvfrom(65536)
                wrong.sendto(data[:-1] + bytes([data[-1] ^ 1]), peer)
            answering = self.in_thread(answer)
            code, figures, errors = self.load(wrong.getsockname()[1], '--transport', 'udp')
            answering()
        self.assertEqual((code, figures['errors']), (1, 1))
        self.assertIn('wrong bytes', errors)

    def test_MessagesAreAnsweredWhateverTheSplits(self):
        for api in ['callbacks', 'buffered', 'streams']:
            server, port = self.serve('--api', api, '--message', 10)
            peer = self.connect(port)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in [b'0', b'123456789', b'abcdefghijABCDE', b'FGHIJ012345678', b'9rest']:
                peer.sendall(piece)
            self.assertEqual(receive(peer, 40), b'0123456789abcdefghijABCDEFGHIJ0123456789')
            # What is no whole message is not answered.
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(receive_all(peer), b'')
            self.end(server)

    def test_APeerThatDoesNotReadIsNotReadFrom(self):
        for arguments in [[], ['--message', 1000], ['--api', 'buffered'], ['--api', 'streams'],
                          ['--api', 'streams', '--message', 1000]]:
            server, port = self.serve(*arguments)
            peer = self.connect(port)
            peer.settimeout(1)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < 256 << 20:
                    sent += peer.send(bytes(1 << 20))
            # Full are the buffers of the kernel, not the memory of the server; nothing is lost.
            peer.settimeout(harness.PATIENCE)
            peer.shutdown(socket.SHUT_WR)
            whole = sent - sent % 1000 if '--message' in arguments else sent
            self.assertEqual(len(receive_all(peer)), whole)
            self.end(server)

    def test_SignalsEndItWithConnectionsOpen(self):
        for number, arguments in [(signal.SIGTERM, []), (signal.SIGINT, []),
                                  (signal.SIGTERM, ['--api', 'streams']),
                                  (signal.SIGINT, ['--api', 'streams', '--loops', 2])]:
            server, port = self.serve(*arguments)
            peer = self.connect(port)
            peer.sendall(b'x')
            self.assertEqual(receive(peer, 1), b'x')
            server.signal(number)
            self.assertEqual((server.wait(), server.stderr()), (0, ''))
            self.assertEqual(receive_all(peer), b'')


class Loading(BenchTest):
    def test_FiguresAreConsistent(self):
        server, port = self.serve()
        code, figures, _ = self.load(port, '--warmup', 0.2, connections=4, size=1000, depth=3,
                                     seconds=0.3)
        self.end(server)
        self.assertEqual(code, 0)
        self.assertEqual(list(figures), ['messages', 'total_messages', 'seconds',
                                         'messages_per_second', 'mb_per_second', 'p50_us', 'p90_us',
                                         'p99_us', 'p999_us', 'max_us', 'errors'])
        self.assertGreater(figures['messages'], 0)
        self.assertGreater(figures['total_messages'], figures['messages'])
        self.assertGreaterEqual(figures['seconds'], 0.3)
        self.assertAlmostEqual(figures['messages_per_second'] * figures['seconds'],
                               figures['messages'], delta=figures['messages'] * 0.01)
        self.assertAlmostEqual(figures['mb_per_second'] * 1000, figures['messages_per_second'],
                               delta=1)
        latencies = [figures[name] for name in ['p50_us', 'p90_us', 'p99_us', 'p999_us', 'max_us']]
        self.assertEqual(latencies, sorted(latencies))
        self.assertGreater(latencies[0], 0)
        self.assertEqual(figures['errors'], 0)

    def test_TheSameFiguresAreShown(self):
        server, port = self.serve()
        code, output, _ = self.run_program('ferry-bench', 'load', '--port', port, '--connections',
                                           2, '--size', 64, '--depth', 1, '--seconds', 0.1)
        self.end(server)
        self.assertEqual(code, 0)
        shown = dict(line.split() for line in output.splitlines())
        self.assertGreater(float(shown['messages_per_second']), 0)
        self.assertIn('p999_us', shown)

    def test_AHundredConnectionsAtOnce(self):
        server, port = self.serve()
        code, figures, errors = self.load(port, connections=100, depth=2)
        self.assertEqual((code, errors), (0, ''))
        self.assertGreaterEqual(figures['total_messages'], 200)
        self.end(server)

    def against(self, serve_one, **how):
        """Runs the load against `serve_one(socket)` on each connection."""
        listener = self.listener()

        def server():
            try:
                while True:
                    sock = self.accept(listener)
                    self.in_thread(serve_one, sock)
            except OSError:
                pass

        self.in_thread(server)
        result = self.load(listener.getsockname()[1], **how)
        listener.close()
        return result

    def check_found(self, serve_one, *mentioned, **how):
        code, figures, errors = self.against(serve_one, **how)
        self.assertEqual((code, figures['errors']), (1, 1), errors)
        self.assertEqual(errors.count('\n'), 1, errors)
        for text in ['connection 0', *mentioned]:
            self.assertIn(text, errors)

    def echo(self, alter):
        """An echo server whose answers go through alter(stream offset, bytes)."""
        def serve_one(sock):
            offset = 0
            with sock:
                while data := sock.recv(1 << 16):
                    if (answer := alter(offset, data)) is None:
                        return
                    sock.sendall(answer)
                    offset += len(data)
        return serve_one

    def test_AWrongByteIsFoundWithItsOffset(self):
        def alter(offset, data):
            at = 1000 - offset
            if 0 <= at < len(data):
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
            return data
        self.check_found(self.echo(alter), 'wrong byte', 'offset 1000,', seconds=20)
        self.check_found(self.echo(alter), 'wrong byte', 'offset 1000,', seconds=20, size=512,
                         depth=64)

    def test_ALostByteIsFoundWhereItWas(self):
        def alter(offset, data):
            at = 640 - offset
            return data[:at] + data[at + 1:] if 0 <= at < len(data) else data
        code, _, errors = self.against(self.echo(alter), seconds=20, depth=10)
        self.assertEqual(code, 1)
        # By chance the byte may equal the one after it.
        offset = int(errors.split('offset ')[1].split(',')[0])
        self.assertIn(offset, range(640, 644))

    def test_AStreamCutShortIsFoundWithItsOffset(self):
        self.check_found(self.echo(lambda offset, data: data if offset < 640 else None),
                         'missing', 'offset 640,', seconds=20)

    def test_AResetIsFoundWithItsOffset(self):
        def serve_one(sock):
            sock.sendall(sock.recv(64)[:10])
            harness.reset(sock)
        code, _, errors = self.against(serve_one, seconds=20)
        self.assertEqual(code, 1)
        self.assertIn('connection 0', errors)
        self.assertIn('offset ', errors)

    def test_ABytesTooManyIsFound(self):
        def serve_one(sock):
            sock.sendall(sock.recv(64) + b'!')
            receive_all(sock)
        self.check_found(serve_one, 'too many', 'offset 64,', seconds=20)

    def test_AMissingAnswerIsFoundAtTheEnd(self):
        def serve_one(sock):
            sock.sendall(receive(sock, 64)[:63])
            receive_all(sock)
        self.check_found(serve_one, 'missing', 'offset 63,', seconds=0.1)

    def test_AnswersOfAnotherConnectionDoNotFit(self):
        socks = []

        def serve_one(sock):
            socks.append(sock)
            wait_until(lambda: len(socks) == 2)
            data = receive(sock, 64)
            (socks[0] if sock is socks[1] else socks[1]).sendall(data)
        code, _, errors = self.against(serve_one, connections=2, seconds=20)
        self.assertEqual(code, 1)
        self.assertIn('offset 0,', errors)


class Churning(BenchTest):
    def test_ConnectionsComeAndGo(self):
        server, port = self.serve()
        file = self.directory() / 'figures.json'
        code, output, errors = self.run_program('ferry-bench', 'churn', '--port', port,
                                                '--connections', 4, '--seconds', 0.3,
                                                '--json', file)
        self.assertEqual((code, errors), (0, ''))
        figures = json.loads(file.read_text())
        self.assertGreater(figures['connections_per_second'], 0)
        self.assertGreater(figures['total_connections'], 4)
        self.assertGreater(figures['p50_us'], 0)
        self.assertGreaterEqual(figures['max_us'], figures['p999_us'])
        self.assertEqual(figures['errors'], 0)
        self.assertIn('connections_per_second', output)
        self.end(server)

    def test_AServerThatClosesAtOnceIsAnError(self):
        listener = self.listener()

        def server():
            try:
                while True:
                    self.accept(listener).close()
            except OSError:
                pass
        self.in_thread(server)
        code, _, errors = self.run_program('ferry-bench', 'churn', '--port',
                                           listener.getsockname()[1], '--connections', 2,
                                           '--seconds', 20)
        listener.close()
        self.assertEqual((code, errors.count('\n')), (1, 1), errors)


class Idling(BenchTest):
    def idle(self, port, connections, **how):
        idler = self.start('ferry-bench', 'idle', '--port', port, '--connections', connections,
                           **how)
        self.assertEqual(idler.line(), f'idle {connections}')
        return idler

    def test_ConnectionsStayOpenUntilStdinEnds(self):
        server, port = self.serve()
        before = server.descriptors()
        idler = self.idle(port, 300, stdin=subprocess.PIPE)
        wait_until(lambda: server.descriptors() == before + 300)
        idler.process.stdin.write(b'not the end\n')
        idler.process.stdin.flush()
        idler.process.stdin.close()
        self.assertEqual(idler.wait(), 0)
        wait_until(lambda: server.descriptors() == before)
        self.end(server)

    def test_ItEndsBySigtermAlsoWithoutStdin(self):
        server, port = self.serve()
        idler = self.idle(port, 3)  # stdin is /dev/null
        self.assertEqual(idler.terminate(), 0)
        self.end(server)

    def test_AServerThatGoesIsAnError(self):
        server, port = self.serve()
        idler = self.idle(port, 3, stdin=subprocess.PIPE)
        self.end(server)
        self.assertEqual(idler.wait(), 1)
        self.assertIn('idle connections', idler.stderr())
        idler.process.stdin.close()


if __name__ == '__main__':
    harness.main()
