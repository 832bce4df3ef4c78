"""ferry-proxy between datagram sockets."""

import json
import random
import resource
import select
import signal
import socket

import harness
from harness import wait_until
from proxy_harness import ProxyTest


class UdpProxyTest(ProxyTest):
    def udp(self, host='127.0.0.1', port=0, **how):
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind((host, port))
        return sock

    def proxy(self, to, *arguments, listen='udp:127.0.0.1:0', **how):
        if isinstance(to, socket.socket):
            to = f'udp:127.0.0.1:{to.getsockname()[1]}'
        return super().proxy(to, *arguments, listen=listen, **how)

    def client(self, port, host='127.0.0.1'):
        """A socket that takes datagrams from the proxy only."""
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.connect((host, port))
        return sock

    def session(self, proxy_port, upstream, first=b'first'):
        """A client of which upstream has heard, and the address upstream knows it by."""
        client = self.client(proxy_port)
        client.send(first)
        data, address = upstream.recvfrom(65536)
        self.assertEqual(data, first)
        return client, address

    def check_silent(self, sock):
        self.assertEqual(select.select([sock], [], [], 0)[0], [])

    def echo(self):
        return self.start('ferry-bench', 'serve', '--port', 0, '--transport', 'udp').port()


class Traffic(UdpProxyTest):
    def test_EachClientGetsItsOwnAnswersInOrder(self):
        proxy, port = self.proxy(f'udp:127.0.0.1:{self.echo()}')
        clients = [self.client(port) for _ in range(50)]
        randoms = random.Random(5)
        bytes_sent = 0
        for _ in range(100):
            sent = {}
            for client in clients:
                # Few enough to fit into the buffer of any socket: none is lost.
                sent[client] = [randoms.randbytes(randoms.randrange(300)) for _ in range(3)]
                for data in sent[client]:
                    client.send(data)
                    bytes_sent += len(data)
            for client in clients:
                self.assertEqual([client.recv(65536) for _ in sent[client]], sent[client])
        statistics = self.ask(proxy)
        expected = {'accepted': 50, 'active': 50, 'datagrams_to_upstream': 15_000,
                    'datagrams_to_client': 15_000, 'to_upstream': bytes_sent,
                    'to_client': bytes_sent, 'dropped': 0, 'errors': 0, 'refused': 0}
        self.assertEqual({name: statistics[name] for name in expected}, expected)
        for client in clients:
            self.check_silent(client)

    def test_OfAnySize(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream)
        client, back = self.session(port, upstream)
        for size in [0, 1, 1472, 1473, 9000, 65507, 0, 65507, 0]:
            data = random.Random(size).randbytes(size)
            client.send(data)
            self.assertEqual(upstream.recvfrom(65536), (data, back))
            upstream.sendto(data, back)
            self.assertEqual(client.recv(65536), data)
        self.assertEqual(self.ask(proxy)['errors'], 0)

    def test_ASessionMayBeginWithAnEmptyDatagram(self):
        upstream = self.udp()
        _, port = self.proxy(upstream)
        _, back = self.session(port, upstream, b'')
        self.assertNotEqual(back[1], port)

    def test_WhatComesBeforeTheSocketIsThereFollowsInOrder(self):
        upstream = self.udp()
        _, port = self.proxy(f'udp:localhost:{upstream.getsockname()[1]}')  # a look-up takes a while
        client = self.client(port)
        sent = [b'%d' % number for number in range(60)]
        for data in sent:
            client.send(data)
        self.assertEqual([upstream.recv(65536) for _ in sent], sent)

    def test_LoadComesBackByteForByte(self):
        proxy, port = self.proxy(f'udp:127.0.0.1:{self.echo()}')
        total = 0
        for connections, size, depth in [(50, 64, 1), (4, 512, 16), (1, 65507, 1)]:
            file = self.directory() / 'figures.json'
            code, _, errors = self.run_program(
                'ferry-bench', 'load', '--transport', 'udp', '--port', port, '--connections',
                connections, '--size', size, '--depth', depth, '--seconds', 0.3, '--json', file)
            self.assertEqual((code, errors), (0, ''))
            figures = json.loads(file.read_text())
            self.assertEqual(figures['lost'], 0)
            total += figures['total_messages']
        self.assertEqual(self.ask(proxy)['datagrams_to_client'], total)

    def test_AnswersComeFromTheAddressThatWasAsked(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, listen='udp::0')
        for host in ['127.0.0.1', '127.0.0.2', '127.0.0.3']:
            client = self.client(port, host)
            client.send(b'who are you?')
            _, back = upstream.recvfrom(100)
            upstream.sendto(b'me', back)
            self.assertEqual(client.recv(100), b'me')

    def test_IPv6(self):
        try:
            upstream = self.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            upstream.bind(('::1', 0))
        except OSError as error:
            self.skipTest(f'no IPv6: {error}')
        _, port = self.proxy(f'udp:[::1]:{upstream.getsockname()[1]}', listen='udp:[::1]:0')
        client = self.keep(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        client.connect(('::1', port))
        client.send(b'question')
        data, back = upstream.recvfrom(100)
        upstream.sendto(b'answer', back)
        self.assertEqual((data, client.recv(100)), (b'question', b'answer'))


class Sessions(UdpProxyTest):
    def test_WhenThereAreTooManyNewOnesAreRefused(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--max-sessions', 2)
        served = [self.session(port, upstream) for _ in range(2)]
        extra = self.client(port)
        for _ in range(50):
            extra.send(b'and me?')
        self.wait_for(proxy, 'refused', 50)
        self.check_silent(upstream)
        self.assertIn('no session for', proxy.stderr())
        self.assertLess(proxy.stderr().count('no session for'), 50)  # a limited number of lines
        for client, back in served:
            client.send(b'still here?')
            self.assertEqual(upstream.recvfrom(100), (b'still here?', back))
        statistics = self.ask(proxy)
        self.assertEqual((statistics['accepted'], statistics['active']), (2, 2))

    def test_SilenceEndsASession(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--session-idle', '0.3')
        idle = proxy.descriptors()
        client, old = self.session(port, upstream)
        self.wait_for(proxy, 'expired', 1)
        self.wait_for(proxy, 'active', 0)
        self.assertEqual(proxy.descriptors(), idle)
        upstream.sendto(b'too late', old)
        client.send(b'again')
        data, new = upstream.recvfrom(100)
        self.assertEqual(data, b'again')
        upstream.sendto(b'answer', new)
        self.assertEqual(client.recv(100), b'answer')

    def test_WhoeverSendsKeepsItAlive(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--session-idle', '1')
        client, back = self.session(port, upstream)
        begun = self.ask(proxy)
        other, _ = self.session(port, upstream)  # the clock: it expires after a second
        while self.ask(proxy)['expired'] == 0:
            upstream.sendto(b'still here', back)
            self.assertEqual(client.recv(100), b'still here')
        self.assertEqual((begun['active'], self.ask(proxy)['active']), (1, 1))

    def test_RoomComesWithTheEndOfAnother(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--max-sessions', 1, '--session-idle', '0.3')
        self.session(port, upstream)
        self.wait_for(proxy, 'expired', 1)
        self.session(port, upstream)

    def test_ThereAreNoMoreThanDescriptors(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
        upstream = self.udp()
        proxy, port = self.proxy(upstream, preexec_fn=limit)
        clients = [self.client(port) for _ in range(30)]
        for client in clients:
            client.send(b'x')
        # How many there is room for is the proxy's business: it has descriptors of its own.
        wait_until(lambda: self.ask(proxy)['accepted'] + self.ask(proxy)['refused'] == 30,
                   lambda: f'all to be heard: {self.ask(proxy)}')
        statistics = self.ask(proxy)
        self.assertEqual(statistics['failed'], 0)
        self.assertGreater(statistics['accepted'], 0)
        self.assertGreater(statistics['refused'], 6)  # 24, and not one of them to spare


class UpstreamTrouble(UdpProxyTest):
    def test_AnUpstreamThatIsDownAndComesBackIsServedOnTheSameSession(self):
        upstream = self.udp()
        address = upstream.getsockname()
        proxy, port = self.proxy(upstream)
        client, back = self.session(port, upstream)
        upstream.close()
        for number in range(1, 4):
            client.send(b'anybody there?')
            self.wait_for(proxy, 'datagrams_to_upstream', 1 + number)
            self.wait_for(proxy, 'errors', number)
        self.assertIn('refused', proxy.stderr())
        upstream = self.udp(*address)
        client.send(b'and now?')
        self.assertEqual(upstream.recvfrom(100), (b'and now?', back))
        upstream.sendto(b'yes', back)
        self.assertEqual(client.recv(100), b'yes')
        self.assertEqual(self.ask(proxy)['accepted'], 1)

    def test_AnUpstreamThatCannotBeFoundIsSaid(self):
        proxy, port = self.proxy('udp:no-such-host.invalid:1')
        client = self.client(port)
        client.send(b'hello?')
        self.wait_for(proxy, 'failed', 1)
        self.assertIn('no upstream for', proxy.stderr())
        self.wait_for(proxy, 'active', 0)

    def test_OneClientsTroubleIsNotAnothers(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream)
        client, back = self.session(port, upstream)
        gone, gone_back = self.session(port, upstream)
        gone.close()
        for _ in range(5):
            upstream.sendto(b'for nobody', gone_back)
            upstream.sendto(b'for you', back)
            self.assertEqual(client.recv(100), b'for you')
        self.wait_for(proxy, 'datagrams_to_client', 10)


class Draining(UdpProxyTest):
    def test_SessionsEndByThemselvesAndNoneBegins(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--session-idle', '1')
        client, back = self.session(port, upstream)
        proxy.signal(signal.SIGTERM)
        wait_until(lambda: self.client(port).send(b'me too') and 'ending' in proxy.stderr())
        client.send(b'still here')
        while (heard := upstream.recvfrom(100)) != (b'still here', back):
            self.assertEqual(heard[0], b'me too')  # from before the signal
        self.assertEqual(proxy.wait(), 0)
        statistics = self.statistics(proxy.stderr())
        self.assertEqual(statistics['active'], 0)
        self.assertEqual(statistics['accepted'], statistics['expired'])
        self.assertGreater(statistics['refused'], 0)

    def test_TheDrainIsLimited(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream, '--drain-timeout', '0.2')
        self.session(port, upstream)
        self.assertEqual(proxy.terminate(), 0)
        self.check_statistics(proxy, accepted=1, active=0, expired=0)

    def test_AnIdleProxyEndsAtOnceAndASecondSignalAlways(self):
        upstream = self.udp()
        proxy, port = self.proxy(upstream)
        self.assertEqual(proxy.terminate(), 0)
        proxy, port = self.proxy(upstream)
        self.session(port, upstream)
        proxy.signal(signal.SIGTERM)
        proxy.signal(signal.SIGINT)
        self.assertEqual(proxy.wait(), 0)


if __name__ == '__main__':
    harness.main()
