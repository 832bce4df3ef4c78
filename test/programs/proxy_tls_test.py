"""ferry-proxy with TLS on one side, on the other, on both."""

import functools
import hashlib
import http.server
import itertools
import json
import pathlib
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import PATIENCE, receive, receive_all, wait_until
from proxy_harness import ProxyTest


def make_certificate(folder, name, names='DNS:localhost,IP:127.0.0.1'):
    """A self-signed one, by openssl(1): (certificate file, key file)."""
    files = folder / f'{name}.pem', folder / f'{name}.key'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}', '-addext',
                    f'subjectAltName={names}', '-keyout', files[1], '-out', files[0]],
                   check=True, stderr=subprocess.DEVNULL)
    return files


def end_writing(sock):
    """FIN, or over TLS a close_notify without waiting for the other's; reading goes on. Python looks
    for the other's all the same, and is confused if there is anything else. True if it found it."""
    if not isinstance(sock, ssl.SSLSocket):
        sock.shutdown(socket.SHUT_WR)
        return False
    patience = sock.gettimeout()
    sock.setblocking(False)
    try:
        sock.unwrap()
        return True
    except ssl.SSLWantReadError:
        return False
    finally:
        sock.settimeout(patience)


class Talk:
    """One end's part of a conversation: what it has sent and heard so far. It sends its end when all
    is sent, over TLS when also all that it `expects` is there."""

    def __init__(self, sock, data, expects=b''):
        self.sock = sock
        self.unsent = memoryview(data)
        self.ended = False
        self.missing = len(expects) if isinstance(sock, ssl.SSLSocket) else 0
        self.heard = hashlib.sha256()
        self.eof = False
        sock.setblocking(False)

    def go_on(self):
        """Sends and receives what can be; true if anything was."""
        moved = False
        try:
            if self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent[:1 << 16]):]
                moved = True
            elif not self.ended and self.missing <= 0:
                self.eof = end_writing(self.sock) or self.eof
                self.ended = moved = True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            if not self.eof:
                data = self.sock.recv(1 << 17)
                self.heard.update(data)
                self.missing -= len(data)
                self.eof = not data
                moved = True
        except ssl.SSLZeroReturnError:  # what Python says for b'' once it has sent its own
            self.eof = moved = True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        return moved


def converse(*talks):
    deadline = time.monotonic() + PATIENCE * 2
    while not all(talk.ended and talk.eof for talk in talks):
        if time.monotonic() > deadline:
            raise AssertionError([(len(talk.unsent), talk.ended, talk.eof) for talk in talks])
        if not any([talk.go_on() for talk in talks]):
            select.select([t.sock for t in talks if not t.eof], [t.sock for t in talks if t.unsent],
                          [], 0.1)


@unittest.skipUnless(shutil.which('openssl'), 'openssl is not installed')
class TlsProxyTest(ProxyTest):
    COMBINATIONS = list(itertools.product([False, True], repeat=2))  # TLS in, TLS out

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.certificate, cls.key = make_certificate(cls.folder, 'here')
        cls.other_certificate, cls.other_key = make_certificate(cls.folder, 'elsewhere',
                                                                'DNS:elsewhere.test')

    def serving(self):
        return ['--tls-cert', self.certificate, '--tls-key', self.key]

    def dialing(self):
        return ['--to-tls', '--ca', self.certificate]

    def over_tls(self, sock, side, certificate=None, key=None, host='localhost'):
        """The handshake. A stream without a close_notify is an error, not an end."""
        if side == 'client':
            context = ssl.create_default_context(cafile=str(certificate or self.certificate))
            how = {'server_hostname': host}
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate or self.certificate, key or self.key)
            how = {'server_side': True}
        return self.keep(context.wrap_socket(sock, suppress_ragged_eofs=False, **how))

    def pair(self, tls_in, tls_out, *arguments):
        """As in ProxyTest, with TLS or without on either side."""
        listener = self.listener()
        proxy, port = self.proxy(listener, *(self.serving() if tls_in else []),
                                 *(self.dialing() if tls_out else []), *arguments)
        client = self.connect(port)
        if tls_in:
            client = self.over_tls(client, 'client')
        upstream = self.accept(listener)
        if tls_out:
            upstream = self.over_tls(upstream, 'server')
        return proxy, client, upstream


class Traffic(TlsProxyTest):
    def test_MegabytesBothWaysAtOnce(self):
        size = min(int(harness.settings.get('mib', 64)), 64) << 20
        there, back = random.Random(1).randbytes(size), random.Random(2).randbytes(size)
        for tls in self.COMBINATIONS:
            proxy, client, upstream = self.pair(*tls)
            near, far = Talk(client, there, back), Talk(upstream, back, there)
            converse(near, far)
            self.assertEqual(near.heard.digest(), hashlib.sha256(back).digest())
            self.assertEqual(far.heard.digest(), hashlib.sha256(there).digest())
            client.close()
            upstream.close()
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=1, broken=0, truncated=0, to_upstream=size, to_client=size)
            self.assertEqual(proxy.stderr().count('client '), 0, proxy.stderr())

    def test_HalfCloseCrossesEachWay(self):
        answer = random.Random(3).randbytes(3_000_000)
        for tls in self.COMBINATIONS:
            for swapped in [False, True]:
                proxy, client, upstream = self.pair(*tls)
                first, second = (upstream, client) if swapped else (client, upstream)
                first.sendall(b'question')
                end_writing(first)
                self.assertEqual(receive_all(second), b'question')
                rest = Talk(second, answer)
                rest.eof = True
                heard = Talk(first, b'')
                heard.ended = True
                converse(rest, heard)
                self.assertEqual(heard.heard.digest(), hashlib.sha256(answer).digest())
                client.close()
                upstream.close()
                self.wait_for(proxy, 'active', 0)
                self.end(proxy, broken=0, truncated=0)

    def test_AStreamThatIsCutIsNeverACleanEnd(self):
        for tls in self.COMBINATIONS:
            for swapped in [False, True]:
                proxy, client, upstream = self.pair(*tls)
                first, second = (upstream, client) if swapped else (client, upstream)
                if not isinstance(first, ssl.SSLSocket):
                    continue
                first.sendall(b'not all of i')
                self.assertEqual(receive(second, 12), b'not all of i')
                first.shutdown(socket.SHUT_WR)  # of the socket below: FIN without a close_notify
                if isinstance(second, ssl.SSLSocket):
                    with self.assertRaises((ssl.SSLEOFError, ConnectionResetError)):
                        second.recv(1)
                else:
                    self.assertEqual(receive_all(second), b'')
                self.wait_for(proxy, 'active', 0)
                self.end(proxy, broken=1, truncated=1)
                self.assertIn('close_notify', proxy.stderr())

    def test_BetweenTwoProxiesLoadIsByteExact(self):
        path = self.directory() / 's'
        near, _ = self.proxy(self.echo_server(), *self.serving(), listen=f'unix:{path}')
        far, port = self.proxy(f'unix:{path}', *self.dialing(), '--sni', 'localhost')
        file = self.directory() / 'figures.json'
        for size, depth in [(64, 1), (512, 64), (100_000, 2)]:
            code, _, errors = self.run_program(
                'ferry-bench', 'load', '--port', port, '--connections', 10, '--size', size,
                '--depth', depth, '--seconds', 0.3, '--json', file)
            self.assertEqual((code, errors), (0, ''))
            self.assertGreater(json.loads(file.read_text())['total_messages'], 10)
        for proxy in [near, far]:
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=30, broken=0, truncated=0, bad_handshakes=0)


class Loops(TlsProxyTest):
    def test_SeveralLoopsShareACertificateAndItsSuccessor(self):
        folder = self.directory()
        shutil.copy(self.certificate, folder / 'c')
        shutil.copy(self.key, folder / 'k')
        inner, port = self.proxy(self.echo_server(), '--loops', 2, '--tls-cert', folder / 'c',
                                 '--tls-key', folder / 'k')
        outer, port = self.proxy(f'127.0.0.1:{port}', '--loops', 2, *self.dialing())
        file = self.directory() / 'figures.json'
        loading = self.in_thread(self.run_program, 'ferry-bench', 'load', '--port', port,
                                 '--connections', 20, '--size', 512, '--depth', 16, '--seconds', 0.5,
                                 '--json', file)
        for number in range(1, 6):
            inner.signal(signal.SIGHUP)
            wait_until(lambda: inner.stderr().count('read again') == number)
        code, _, errors = loading()
        self.assertEqual((code, errors), (0, ''))
        total = json.loads(file.read_text())['total_messages'] * 512
        for proxy in [outer, inner]:
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=20, broken=0, to_upstream=total, to_client=total)

    def test_BadHandshakesAreCounted(self):
        proxy, port = self.proxy(self.echo_server(), '--loops', 2, *self.serving())
        for _ in range(6):
            bad = self.connect(port)
            bad.sendall(b'GET / HTTP/1.0\r\n\r\n')
            bad.close()
        self.wait_for(proxy, 'bad_handshakes', 6)
        self.check_echo(self.over_tls(self.connect(port), 'client'))


class Upstream(TlsProxyTest):
    def check_refused(self, proxy, port, listener, *said, certificate=None, key=None):
        client = self.connect(port)
        client.sendall(b'secret')
        upstream = self.accept(listener)
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            receive_all(self.over_tls(upstream, 'server', certificate, key))
        self.assertEqual(receive_all(client), b'')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, failed=1, to_upstream=0)
        for text in said:
            self.assertIn(text, proxy.stderr())

    def test_ACertificateOfAnotherAuthorityIsRefused(self):
        listener = self.listener()
        for arguments in [['--ca', self.other_certificate], []]:  # the system's know neither
            proxy, port = self.proxy(listener, '--to-tls', *arguments)
            self.check_refused(proxy, port, listener, 'certificate')

    def test_ACertificateForAnotherNameIsRefused(self):
        listener = self.listener()
        proxy, port = self.proxy(listener, '--to-tls', '--ca', self.other_certificate)
        self.check_refused(proxy, port, listener, 'mismatch',
                           certificate=self.other_certificate, key=self.other_key)

    def test_TheNameMayBeAnotherThanTheHost(self):
        asked = []
        listener = self.listener()
        proxy, port = self.proxy(listener, '--to-tls', '--ca', self.other_certificate, '--sni',
                                 'elsewhere.test')
        client = self.connect(port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.other_certificate, self.other_key)
        context.sni_callback = lambda sock, name, context: asked.append(name)
        upstream = self.keep(context.wrap_socket(self.accept(listener), server_side=True))
        upstream.sendall(b'welcome')
        self.assertEqual(receive(client, 7), b'welcome')
        self.assertEqual(asked, ['elsewhere.test'])

    def test_AnUpstreamWithoutTlsIsRefused(self):
        proxy, port = self.proxy(self.echo_server(), *self.dialing())
        client = self.connect(port)
        client.sendall(b'secret')
        self.assertEqual(receive_all(client), b'')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, failed=1, to_upstream=0)

    def test_AnUpstreamThatStallsIsGivenUp(self):
        proxy, port = self.proxy(self.listener(), *self.dialing(), '--handshake-timeout', '0.2')
        client = self.connect(port)
        self.assertEqual(receive_all(client), b'')
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, failed=1)
        self.assertIn('imed out', proxy.stderr())


class Clients(TlsProxyTest):
    def tls_client(self, port, **how):
        return self.over_tls(self.connect(port), 'client', **how)

    def test_ClientsThatSpeakNoTlsAreTurnedAwayAlone(self):
        proxy, port = self.proxy(self.echo_server(), *self.serving())
        good = self.tls_client(port)
        self.check_echo(good)
        for nonsense in [b'GET / HTTP/1.0\r\n\r\n', bytes(1000), b'\x16\x03\x01' + bytes(3000)]:
            bad = self.connect(port)
            bad.sendall(nonsense)
            try:
                self.assertNotIn(b'HTTP', receive_all(bad))  # an alert at most
            except ConnectionResetError:
                pass
        self.wait_for(proxy, 'bad_handshakes', 3)
        self.check_echo(good)
        self.assertIn('handshake', proxy.stderr())
        good.close()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=1, failed=0)

    def test_AClientThatDoesNotTrustUsIsCounted(self):
        proxy, port = self.proxy(self.echo_server(), *self.serving())
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.tls_client(port, certificate=self.other_certificate)
        self.wait_for(proxy, 'bad_handshakes', 1)
        self.end(proxy, accepted=0)

    def stall(self, proxy, port, count):
        """So many clients, from each of which the proxy has the beginning of a handshake."""
        before = proxy.descriptors()
        stalled = [self.connect(port) for _ in range(count)]
        for sock in stalled:
            sock.sendall(b'\x16')
        wait_until(lambda: proxy.descriptors() == before + count)
        return stalled

    def test_StalledHandshakesAreLimitedInTime(self):
        proxy, port = self.proxy(self.echo_server(), *self.serving(), '--handshake-timeout', '0.5')
        idle = proxy.descriptors()
        self.stall(proxy, port, 3)
        self.wait_for(proxy, 'bad_handshakes', 3)
        self.assertIn('imed out', proxy.stderr())
        wait_until(lambda: proxy.descriptors() == idle)
        self.end(proxy, accepted=0)

    def test_HandshakesAreLimitedInNumber(self):
        proxy, port = self.proxy(self.echo_server(), *self.serving(), '--max-handshakes', 2)
        good = self.tls_client(port)
        self.check_echo(good)
        stalled = self.stall(proxy, port, 2)
        for number in range(1, 4):
            self.connect(port)
            self.wait_for(proxy, 'bad_handshakes', number)
        self.assertIn('Too many', proxy.stderr())
        self.check_echo(good)  # which is through
        for sock in stalled:
            sock.close()
        self.wait_for(proxy, 'bad_handshakes', 5)
        self.check_echo(self.tls_client(port))

    def test_NewCertificatesComeAtSighup(self):
        folder = self.directory()
        here, key = folder / 'c', folder / 'k'
        shutil.copy(self.certificate, here)
        shutil.copy(self.key, key)
        proxy, port = self.proxy(self.echo_server(), '--tls-cert', here, '--tls-key', key)
        old = self.tls_client(port)
        self.check_echo(old)
        shutil.copy(self.other_certificate, here)
        shutil.copy(self.other_key, key)
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_stderr('read again')
        new = self.tls_client(port, certificate=self.other_certificate, host='elsewhere.test')
        self.check_echo(new)
        self.check_echo(old)
        # What cannot be used changes nothing.
        here.write_text('no certificate')
        proxy.signal(signal.SIGHUP)
        proxy.wait_for_stderr('stay as they were')
        self.assertIn(str(here), proxy.stderr())
        newest = self.tls_client(port, certificate=self.other_certificate, host='elsewhere.test')
        self.check_echo(newest)
        for sock in [old, new, newest]:
            sock.unwrap()
        self.wait_for(proxy, 'active', 0)
        self.end(proxy, accepted=3, broken=0, bad_handshakes=0)

    def test_TheDrainEndsHandshakesToo(self):
        proxy, port = self.proxy(self.echo_server(), *self.serving(), '--drain-timeout', '0.2')
        idle = proxy.descriptors()
        stalled = self.connect(port)
        wait_until(lambda: proxy.descriptors() == idle + 1)
        self.assertEqual(proxy.terminate(), 0)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            stalled.sendall(receive_all(stalled) + b'x')
            receive_all(stalled)
            stalled.sendall(b'x')


@unittest.skipUnless(shutil.which('curl'), 'curl is not installed')
class Curl(TlsProxyTest):
    def test_AFileComesThroughInEveryCombination(self):
        folder = self.directory()
        data = random.Random(4).randbytes(8_000_000)
        (folder / 'file').write_bytes(data)

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass

        for tls_in, tls_out in self.COMBINATIONS:
            handler = functools.partial(Quiet, directory=str(folder))
            server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
            self.addCleanup(server.server_close)
            if tls_out:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.certificate, self.key)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            self.addCleanup(thread.join, PATIENCE)
            self.addCleanup(server.shutdown)
            proxy, port = self.proxy(f'127.0.0.1:{server.server_address[1]}',
                                     *(self.serving() if tls_in else []),
                                     *(self.dialing() if tls_out else []))
            url = f'http{"s" if tls_in else ""}://localhost:{port}/file'
            done = subprocess.run(['curl', '--silent', '--show-error', '--noproxy', '*', '--ipv4',
                                   '--cacert', self.certificate, '--max-time', str(PATIENCE), url],
                                  capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertTrue(done.stdout == data)
            self.wait_for(proxy, 'active', 0)
            self.end(proxy, accepted=1, failed=0)


if __name__ == '__main__':
    harness.main()
