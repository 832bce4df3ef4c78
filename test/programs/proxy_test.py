"""ferry-proxy between real sockets."""

import contextlib
import json
import os
import random
import resource
import signal
import socket

import harness
from harness import receive, receive_all, reset, wait_until
from proxy_harness import ProxyTest


class Addresses(ProxyTest):
    def check(self, listen, to, connect):
        proxy, port = self.proxy(to, listen=listen)
        client = connect(port)
        self.check_echo(client, b'x' * 1000)
        client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=1, failed=0, broken=0, to_upstream=1000, to_client=1000)

    def unix_connect(self, path):
        sock = self.keep(socket.socket(socket.AF_UNIX))
        sock.connect(path)
        return sock

    def test_TcpToTcp(self):
        self.check('127.0.0.1:0', self.echo_server(), self.connect)

    def test_NamesAreLookedUp(self):
        port = self.echo_server().rsplit(':', 1)[1]
        proxy, port = self.proxy(f'localhost:{port}', listen='localhost:0')
        self.check_echo(self.connect(port, 'localhost'))

    def test_AllInterfaces(self):
        self.check(':0', self.echo_server(), self.connect)

    def test_IPv6(self):
        try:
            socket.create_server(('::1', 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f'no IPv6: {error}')
        server = self.start('ferry-bench', 'serve', '--host', '::1', '--port', 0)
        self.check('[::1]:0', f'[::1]:{server.port()}', lambda port: self.connect(port, '::1'))

    def test_UnixOnBothSides(self):
        inner = str(self.directory() / 'inner')
        outer = str(self.directory() / 'outer')
        middle, _ = self.proxy(self.echo_server(), listen=f'unix:{inner}')
        self.check(f'unix:{outer}', f'unix:{inner}', lambda _: self.unix_connect(outer))
        self.assertFalse(os.path.exists(outer))
        self.end(middle, accepted=1)
        self.assertFalse(os.path.exists(inner))

    def test_AbstractUnixNames(self):
        name = f'ferry-test-{os.getpid()}'
        self.check(f'unix:@{name}', self.echo_server(), lambda _: self.unix_connect('\0' + name))


class Endings(ProxyTest):
    def test_TheClientMayEndFirst(self):
        proxy, client, upstream = self.pair()
        client.sendall(b'question')
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(upstream), b'question')
        upstream.sendall(b'answer')
        upstream.close()
        self.assertEqual(receive_all(client), b'answer')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, to_upstream=8, to_client=6, broken=0)

    def test_UpstreamMayEndFirst(self):
        proxy, client, upstream = self.pair()
        upstream.sendall(b'welcome')
        upstream.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(client), b'welcome')
        client.sendall(b'thanks')
        client.close()
        self.assertEqual(receive_all(upstream), b'thanks')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, to_upstream=6, to_client=7, broken=0)

    def test_AClientThatEndsAtOnceStillGetsItsAnswer(self):
        listener = self.listener()
        proxy, port = self.proxy(listener)
        for data in [b'', b'question']:
            client = self.connect(port)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)  # most likely before upstream is connected
            upstream = self.accept(listener)
            self.assertEqual(receive_all(upstream), data)
            upstream.sendall(b'answer')
            upstream.close()
            self.assertEqual(receive_all(client), b'answer')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=2, broken=0, gone=0, to_upstream=8, to_client=12)

    def test_AResetReachesTheOtherSide(self):
        for first in ['client', 'upstream']:
            proxy, client, upstream = self.pair()
            self.check_through(client, upstream)
            near, far = (client, upstream) if first == 'client' else (upstream, client)
            reset(near)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(receive_all(far), b'')
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, broken=1)

    def check_through(self, client, upstream):
        for source, sink in [(client, upstream), (upstream, client)]:
            source.sendall(b'ping')
            self.assertEqual(receive(sink, 4), b'ping')

    def test_SilenceIsLimited(self):
        proxy, client, upstream = self.pair('--idle-timeout', '0.2')
        self.check_through(client, upstream)
        for sock in [client, upstream]:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(receive_all(sock), b'')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, broken=1)

    def test_SilenceAfterAHalfCloseIsLimited(self):
        proxy, client, upstream = self.pair('--half-close-linger', '0.2')
        self.check_through(client, upstream)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(upstream), b'')
        self.assertEqual(receive_all(client), b'')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=1)

    def test_ASideThatDoesNotReadStopsTheOther(self):
        proxy, client, upstream = self.pair()
        for source, sink in [(client, upstream), (upstream, client)]:
            source.settimeout(1)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < 256 << 20:
                    sent += source.send(bytes(1 << 20))
            source.settimeout(harness.PATIENCE)
            self.assertEqual(len(receive(sink, sent)), sent)
        client.close()
        upstream.close()
        self.wait_for(proxy, 'active', 0)


class UpstreamTrouble(ProxyTest):
    def test_UpstreamDownClosesTheClientAndNothingElse(self):
        with socket.socket() as reserved:
            reserved.bind(('127.0.0.1', 0))
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            proxy, port = self.proxy(reserved)
            for attempt in [1, 2]:
                client = self.connect(port)
                client.sendall(b'anybody there?')
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(receive_all(client), b'')
                wait_until(lambda: proxy.stderr().count('\n') == attempt, proxy.stderr)
            self.assertIn('refused', proxy.stderr())
            self.assertIn(f'127.0.0.1:{client.getsockname()[1]}', proxy.stderr())
            # Now it comes up.
            reserved.listen()
            client = self.connect(port)
            upstream = self.accept(reserved)
            client.sendall(b'x')
            self.assertEqual(receive(upstream, 1), b'x')
            client.close()
            upstream.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=3, failed=2)

    def test_ConnectingIsLimited(self):
        proxy, port = self.proxy(self.silent_upstream(), '--connect-timeout', '0.2')
        client = self.connect(port)
        client.sendall(b'hello?')
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(receive_all(client), b'')
        proxy.wait_for_stderr('imed out')
        self.end(proxy, accepted=1, failed=1)

    def test_AClientThatGoesCancelsTheConnecting(self):
        proxy, port = self.proxy(self.silent_upstream(), '--connect-timeout', '1000')
        idle = proxy.descriptors()
        client = self.connect(port)
        self.wait_for(proxy, 'active', 1)
        reset(client)
        self.wait_for(proxy, 'active', 0)
        client = self.connect(port)
        self.wait_for(proxy, 'active', 1)
        client.close()
        self.wait_for(proxy, 'active', 0)
        self.assertEqual(proxy.descriptors(), idle)
        self.end(proxy, accepted=2, gone=2, failed=0)

    def test_WhatAClientSaysTooEarlyIsKeptWithinLimits(self):
        upstream = self.silent_upstream()
        proxy, port = self.proxy(upstream, '--connect-timeout', '1000')
        client = self.connect(port)
        client.settimeout(1)
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < 256 << 20:
                sent += client.send(bytes(1 << 20))
        # Room in the backlog: the connecting goes on by itself when the kernel tries again.
        for sock in self.waiting:
            sock.close()
        while not (received := receive(self.accept(upstream), sent)):
            pass
        self.assertEqual(len(received), sent)


class Limits(ProxyTest):
    def test_MoreThanMaxConnectionsWait(self):
        proxy, port = self.proxy(self.echo_server(), '--max-connections', 2)
        clients = [self.connect(port) for _ in range(3)]
        self.check_echo(clients[0])
        self.check_echo(clients[1])
        clients[2].sendall(b'waiting')
        self.assertEqual(self.ask(proxy)['accepted'], 2)
        clients[0].close()
        self.assertEqual(receive(clients[2], 7), b'waiting')
        for client in clients:
            client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=3, failed=0)

    def test_ClientsItHasNoDescriptorsForWaitTheirTurn(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
        proxy, port = self.proxy(self.echo_server(), preexec_fn=limit)
        clients = [self.connect(port) for _ in range(40)]
        for client in clients:
            client.sendall(b'x')
        for client in clients:
            self.assertEqual(receive(client, 1), b'x')
            client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=40, failed=0)

    def test_OutOfDescriptorsItWaitsAndGoesOn(self):
        if harness.settings.get('sanitized'):
            self.skipTest('without a descriptor for a pipe UBSan takes every object for a bad one')
        proxy, port = self.proxy(self.echo_server())
        # Its limit is lowered behind its back: not even what it counts on is there.
        hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (proxy.descriptors() + 5, hard))
        clients = [self.connect(port) for _ in range(5)]
        for client in clients:
            client.sendall(b'x')
        proxy.wait_for_stderr('Too many open files')
        for client in clients:
            client.close()
        self.wait_for(proxy, 'active', 0)
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (hard, hard))
        client = self.connect(port)
        self.check_echo(client)
        client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy)

    def test_StatisticsComeAtSigusr1(self):
        proxy, client, upstream = self.pair()
        client.sendall(b'12345')
        self.assertEqual(receive(upstream, 5), b'12345')
        upstream.sendall(b'123')
        self.assertEqual(receive(client, 3), b'123')
        statistics = self.ask(proxy)
        self.assertEqual((statistics['accepted'], statistics['active'], statistics['failed']),
                         (1, 1, 0))
        self.assertEqual((statistics['to_upstream'], statistics['to_client']), (5, 3))
        client.close()
        upstream.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=1, to_upstream=5, to_client=3)


class Draining(ProxyTest):
    def refuses(self, port):
        try:
            socket.create_connection(('127.0.0.1', port), harness.PATIENCE).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it closed the listener with this connection in its queue
        return False

    def test_OpenConnectionsEndByThemselves(self):
        proxy, port = self.proxy(self.echo_server())
        client = self.connect(port)
        self.check_echo(client)
        proxy.signal(signal.SIGTERM)
        wait_until(lambda: self.refuses(port))
        self.check_echo(client, b'still here')
        client.close()
        self.assertEqual(proxy.wait(), 0)
        self.check_statistics(proxy, active=0, broken=0, to_upstream=15, to_client=15)

    def test_TheDrainIsLimited(self):
        proxy, client, upstream = self.pair('--drain-timeout', '0.2')
        client.sendall(b'x')
        self.assertEqual(receive(upstream, 1), b'x')
        self.assertEqual(proxy.terminate(), 0)
        self.assertIn('aborted 1', proxy.stderr())
        for sock in [client, upstream]:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(receive_all(sock), b'')

    def test_AClientThatWaitsForUpstreamIsLimitedToo(self):
        proxy, port = self.proxy(self.silent_upstream(), '--drain-timeout', '0.2')
        client = self.connect(port)
        self.wait_for(proxy, 'active', 1)
        self.assertEqual(proxy.terminate(), 0)
        self.check_statistics(proxy, active=0, gone=1)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(receive_all(client), b'')

    def test_ASecondSignalEndsItAtOnce(self):
        proxy, client, upstream = self.pair()
        client.sendall(b'x')
        self.assertEqual(receive(upstream, 1), b'x')
        port = client.getpeername()[1]
        proxy.signal(signal.SIGTERM)
        wait_until(lambda: self.refuses(port))
        self.assertIsNone(proxy.process.poll())
        proxy.signal(signal.SIGINT)
        self.assertEqual(proxy.wait(), 0)
        self.check_statistics(proxy, to_upstream=1)

    def test_AnIdleProxyEndsAtOnce(self):
        for number in [signal.SIGTERM, signal.SIGINT]:
            proxy, _ = self.proxy('127.0.0.1:1')
            proxy.signal(number)
            self.assertEqual(proxy.wait(), 0)
            self.check_statistics(proxy, accepted=0)


class Traffic(ProxyTest):
    PERIOD = 1_000_003  # a prime: a block that is lost or doubled does not fit

    def block(self, seed):
        return random.Random(seed).randbytes(self.PERIOD)

    def send_stream(self, sock, seed, size):
        block = memoryview(self.block(seed))
        for offset in range(0, size, self.PERIOD):
            sock.sendall(block[:size - offset])
        sock.shutdown(socket.SHUT_WR)

    def check_stream(self, sock, seed, size):
        """Receives to the end of the stream: exactly so many bytes, the right ones."""
        twice = memoryview(self.block(seed) * 2)
        at = 0
        while data := sock.recv(1 << 19):
            place = at % self.PERIOD
            if data != bytes(twice[place:place + len(data)]):
                raise AssertionError(f'wrong bytes between {at} and {at + len(data)}')
            at += len(data)
        self.assertEqual(at, size)

    def setUp(self):
        self.size = int(harness.settings.get('mib', 1024)) << 20

    def pipes(self, proxy):
        links = [f'/proc/{proxy.pid}/fd/{name}' for name in os.listdir(f'/proc/{proxy.pid}/fd')]
        return sum(os.readlink(link).startswith('pipe:') for link in links)

    def a_gibibyte_each_way_at_once(self, splice):
        proxy, client, upstream = self.pair('--splice', splice)
        pipes = self.pipes(proxy)
        done = [self.in_thread(self.send_stream, client, 1, self.size),
                self.in_thread(self.send_stream, upstream, 2, self.size),
                self.in_thread(self.check_stream, upstream, 1, self.size)]
        self.check_stream(client, 2, self.size)
        for wait in done:
            wait()
        self.wait_for(proxy, 'active', 0)
        # One it spliced by is kept for the next.
        (self.assertEqual if splice == 'never' else self.assertLess)(pipes, self.pipes(proxy))
        self.end(proxy, broken=0, to_upstream=self.size, to_client=self.size)

    def test_AGibibyteEachWayAtOnce(self):
        self.a_gibibyte_each_way_at_once('auto')

    def test_AGibibyteEachWayCopied(self):
        self.a_gibibyte_each_way_at_once('never')

    def test_AGibibyteEachWaySpliced(self):
        self.a_gibibyte_each_way_at_once('always')

    def one_after_the_other(self, swapped, splice):
        proxy, client, upstream = self.pair('--splice', splice)
        first, second = (upstream, client) if swapped else (client, upstream)
        sending = self.in_thread(self.send_stream, first, 1, self.size)
        self.check_stream(second, 1, self.size)  # to the half-close
        sending()
        sending = self.in_thread(self.send_stream, second, 2, self.size)
        self.check_stream(first, 2, self.size)
        sending()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, broken=0, to_upstream=self.size, to_client=self.size)

    def test_AGibibyteBackAfterTheClientsHalfClose(self):
        self.one_after_the_other(False, 'auto')
        self.one_after_the_other(False, 'never')

    def test_AGibibyteBackAfterUpstreamsHalfClose(self):
        self.one_after_the_other(True, 'auto')
        self.one_after_the_other(True, 'never')

    def test_LoadThroughTheProxyIsByteExact(self):
        unix = f'unix:{self.directory() / "s"}'
        for arguments, splice in [([], 'auto'), (['--api', 'buffered'], 'always'),
                                  (['--message', '512'], 'never')]:
            inner, _ = self.proxy(self.echo_server(*arguments), '--splice', splice, listen=unix)
            outer, port = self.proxy(unix, '--splice', splice)
            file = self.directory() / 'figures.json'
            code, _, errors = self.run_program(
                'ferry-bench', 'load', '--port', port, '--connections', 20, '--size', 512,
                '--depth', 16, '--seconds', 0.3, '--json', file)
            self.assertEqual((code, errors), (0, ''))
            total = json.loads(file.read_text())['total_messages'] * 512
            for proxy in [outer, inner]:
                self.wait_for(proxy, 'active', 0)
                self.end(proxy, accepted=20, broken=0, to_upstream=total, to_client=total)


if __name__ == '__main__':
    harness.main()
