"""ferry-proxy on several loops, and what its clients are limited to."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import time

import harness
from harness import receive, receive_all, wait_until
from proxy_harness import ProxyTest


class Loops(ProxyTest):
    def threads(self, proxy):
        names = [path.read_text().strip()
                 for path in pathlib.Path(f'/proc/{proxy.pid}/task').glob('*/comm')]
        return sorted(name for name in names if name.startswith('proxy-'))

    def test_ClientsAreServedByAllOfThem(self):
        proxy, port = self.proxy(self.echo_server(), '--loops', 3)
        self.assertEqual(self.threads(proxy), ['proxy-0', 'proxy-1', 'proxy-2'])
        clients = [self.connect(port) for _ in range(30)]
        for number, client in enumerate(clients):
            self.check_echo(client, b'%04d' % number)
        statistics = self.ask(proxy)
        self.assertEqual((statistics['accepted'], statistics['active']), (30, 30))
        for client in clients:
            client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=30, broken=0, to_upstream=120, to_client=120)

    def test_ZeroIsOneForEachCore(self):
        proxy, port = self.proxy(self.echo_server(), '--loops', 0)
        if os.cpu_count() > 1:
            self.assertEqual(len(self.threads(proxy)), os.cpu_count())
        self.check_echo(self.connect(port))

    def test_LoadIsByteExact(self):
        path = f'unix:{self.directory() / "s"}'
        for listen, to in [('127.0.0.1:0', self.echo_server()), (path, self.echo_server())]:
            proxy, port = self.proxy(to, '--loops', 2, listen=listen)
            where = ['--port', port] if port else ['--transport', 'unix', '--path', path[5:]]
            file = self.directory() / 'figures.json'
            code, _, errors = self.run_program(
                'ferry-bench', 'load', *where, '--connections', 20, '--size', 512, '--depth', 16,
                '--seconds', 0.3, '--json', file)
            self.assertEqual((code, errors), (0, ''))
            total = json.loads(file.read_text())['total_messages'] * 512
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=20, broken=0, to_upstream=total, to_client=total)

    def test_EachTroubleIsCounted(self):
        with socket.socket() as nobody:
            nobody.bind(('127.0.0.1', 0))
            proxy, port = self.proxy(nobody, '--loops', 2)
            for _ in range(10):
                self.assertEqual(receive_all(self.connect(port)), b'')
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=10, failed=10)

    def test_TheDrainWaitsForThemAll(self):
        proxy, port = self.proxy(self.echo_server(), '--loops', 2)
        clients = [self.connect(port) for _ in range(4)]
        for client in clients:
            self.check_echo(client)
        proxy.signal(signal.SIGTERM)
        for client in clients:
            self.check_echo(client, b'still here')
            self.assertIsNone(proxy.process.poll())
            client.close()
        self.assertEqual(proxy.wait(), 0)
        self.check_statistics(proxy, accepted=4, active=0, broken=0, to_client=60)

    def test_TheDrainIsLimitedAndASecondSignalEndsIt(self):
        for arguments, signals in [(['--drain-timeout', '0.2'], [signal.SIGTERM]),
                                   ([], [signal.SIGTERM, signal.SIGINT])]:
            proxy, port = self.proxy(self.echo_server(), '--loops', 2, *arguments)
            clients = [self.connect(port) for _ in range(4)]
            for client in clients:
                self.check_echo(client)
            for number in signals:
                proxy.signal(number)
                if number is not signals[-1]:
                    wait_until(lambda: self.refused(port))
            self.assertEqual(proxy.wait(), 0)
            for client in clients:
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(receive_all(client), b'')

    def refused(self, port):
        with socket.socket() as sock:
            return sock.connect_ex(('127.0.0.1', port)) != 0


class ClientLimits(ProxyTest):
    def test_ARateIsNotExceeded(self):
        proxy, port = self.proxy(self.echo_server(), '--rate', 200_000)
        data = random.Random(6).randbytes(200_000)
        client = self.connect(port)
        begun = time.monotonic()
        sending = self.in_thread(client.sendall, data)
        self.assertTrue(receive(client, len(data)) == data)
        sending()
        self.assertGreater(time.monotonic() - begun, 0.8)  # a tenth of a second's worth at once
        client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, broken=0)

    def test_OneAddressGetsSoManyConnections(self):
        for loops in [1, 2]:
            proxy, port = self.proxy(self.echo_server(), '--max-per-address', 2, '--loops', loops,
                                     listen=':0')
            clients = [self.connect(port) for _ in range(2)]
            for client in clients:
                self.check_echo(client)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(receive_all(self.connect(port)), b'')
            other = self.keep(socket.create_connection(('127.0.0.1', port), harness.PATIENCE,
                                                       source_address=('127.0.0.2', 0)))
            self.check_echo(other)
            clients.pop().close()
            self.wait_for(proxy, 'active', 2)
            again = self.connect(port)
            self.check_echo(again)
            for client in [other, again, *clients]:
                client.close()
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=4, too_many=1)

    def test_TheTrafficLogHasWhatWasSaid(self):
        file = self.directory() / 'traffic.pcapng'
        proxy, port = self.proxy(self.echo_server(), '--traffic-log', file)
        client = self.connect(port)
        self.check_echo(client, b'for the record')
        client.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=1, broken=0)
        log = file.read_bytes()
        self.assertEqual(log[:4], b'\n\r\r\n')
        self.assertEqual(log.count(b'for the record'), 2)  # there and back

    def test_ATrafficLogThatCannotBeWrittenIsSaid(self):
        code, output, errors = self.run_program('ferry-proxy', '--listen', '127.0.0.1:0', '--to',
                                                'unix:/x', '--traffic-log', '/no/such/folder/f')
        self.assertEqual((code, output, errors.count('\n')), (1, '', 1), errors)
        self.assertIn('/no/such/folder/f', errors)


if __name__ == '__main__':
    harness.main()
