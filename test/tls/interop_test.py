"""Other people's TLS against ferry's: openssl, gnutls-cli, curl, node, sslscan. test/setup.sh
installs them; one that is missing is a failure."""

import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'programs'))
import harness  # noqa: E402
from harness import PATIENCE, receive, receive_all  # noqa: E402


def run(*command, input='', code=0):
    """What a foreign program prints on both streams, having ended with `code`."""
    done = subprocess.run(list(map(str, command)), input=input, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE, text=True)
    if code is not None and done.returncode != code:
        raise AssertionError(f'{command[0]} ended with {done.returncode}:\n{done.stdout}')
    return done.stdout


def make_certificate(folder, name):
    """A self-signed certificate for localhost, by openssl(1)."""
    folder.mkdir(exist_ok=True)
    run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
        '-nodes', '-subj', f'/CN={name}', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout', folder / 'key.pem', '-out', folder / 'certificate.pem')


class TlsTest(harness.ProgramTest):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        make_certificate(cls.folder, 'localhost')
        cls.certificate = cls.folder / 'certificate.pem'
        cls.key = cls.folder / 'key.pem'

    def serve(self, name, *arguments):
        server = self.start(name, self.certificate, self.key, 0, *arguments)
        return server, server.port()

    def converse(self, command, line, last):
        """Starts a foreign client, has it send `line`, and reads what it prints until `last` or its
        end: (the process, what it printed)."""
        client = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdout.close)
        alarm = threading.Timer(PATIENCE, client.kill)
        self.addCleanup(alarm.cancel)
        alarm.start()
        client.stdin.write(line)
        client.stdin.flush()
        seen = ''
        while last not in seen and (more := client.stdout.readline()):
            seen += more
        return client, seen

    def python_context(self):
        return ssl.create_default_context(cafile=str(self.certificate))

    def exchange(self, port, context, data):
        """What the server sends back, over a connection that both sides end."""
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as plain:
            peer = context.wrap_socket(plain, server_hostname='localhost')
            peer.sendall(data)
            answer = receive(peer, len(data))
            peer.unwrap().close()
            return answer


class Echo(TlsTest):
    def test_OpensslsClientTalksInEveryVersion(self):
        server, port = self.serve('tls_echo')
        for version, cipher in (('-tls1_2', 'ECDHE'), ('-tls1_3', 'TLS_')):
            client, seen = self.converse(
                ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-servername', 'localhost',
                 '-CAfile', self.certificate, '-verify_return_error', '-verify_hostname',
                 'localhost', '-alpn', 'echo', version], 'hello, ferry\n', '\nhello, ferry\n')
            self.assertIn('\nhello, ferry\n', seen)
            client.stdin.write('Q\n')
            client.stdin.close()
            seen += client.stdout.read()
            self.assertEqual(client.wait(PATIENCE), 0, seen)
            self.assertIn('Verify return code: 0 (ok)', seen)
            self.assertIn('ALPN protocol: echo', seen)
            self.assertIn(cipher, seen)
        self.assertEqual(server.terminate(), 0)
        self.assertEqual(server.stderr(), '')

    def test_NothingOlderThanTls12AndNoRenegotiation(self):
        server, port = self.serve('tls_echo')
        for version in ('-tls1', '-tls1_1'):
            seen = run('openssl', 's_client', '-connect', f'127.0.0.1:{port}', version,
                       '-cipher', 'ALL:@SECLEVEL=0', code=1)
            self.assertRegex(seen, 'alert|unsupported|no protocols')
        _, seen = self.converse(['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-tls1_2'],
                                'R\n', 'no renegotiation')
        self.assertIn('RENEGOTIATING', seen)
        self.assertIn('no renegotiation', seen)
        self.assertEqual(server.terminate(), 0)

    def test_SslscanFindsNothingOldAndNoRenegotiation(self):
        server, port = self.serve('tls_echo')
        seen = run('sslscan', '--no-colour', '--no-ciphersuites', f'127.0.0.1:{port}')
        for version in ('SSLv2', 'SSLv3', 'TLSv1.0', 'TLSv1.1'):
            self.assertRegex(seen, rf'{re.escape(version)}\s+disabled')
        for version in ('TLSv1.2', 'TLSv1.3'):
            self.assertRegex(seen, rf'{re.escape(version)}\s+enabled')
        self.assertIn('Session renegotiation not supported', seen)
        self.assertNotRegex(seen, '(?<!not )vulnerable to heartbleed')
        # It breaks off its handshakes; the server does not mind.
        self.assertEqual(self.exchange(port, self.python_context(), b'ferry'), b'ferry')
        self.assertEqual(server.terminate(), 0)

    def test_SslkeylogfileGetsTheSecretsThatTheClientHasToo(self):
        log = self.folder / 'server.keys'
        server = self.start('tls_echo', self.certificate, self.key, 0,
                            env=os.environ | {'SSLKEYLOGFILE': str(log)})
        context = self.python_context()
        context.keylog_filename = str(self.folder / 'client.keys')
        self.assertEqual(self.exchange(server.port(), context, b'ferry'), b'ferry')
        self.assertEqual(server.terminate(), 0)

        def secrets(path):
            return {line for line in path.read_text().splitlines() if not line.startswith('#')}
        self.assertGreaterEqual(len(secrets(log)), 4)
        self.assertEqual(secrets(log), secrets(self.folder / 'client.keys'))
        self.assertEqual(log.stat().st_mode & 0o777, 0o600)

    def test_OpensslResumesASession(self):
        _, port = self.serve('tls_echo')
        # It does not wait for the tickets of TLS 1.3.
        seen = run('openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-reconnect', '-tls1_2',
                   code=None)
        self.assertIn('Reused, TLSv1.2', seen)

    def test_PythonsClientMovesMegabytesAndEndsClean(self):
        server, port = self.serve('tls_echo')
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as plain:
            peer = self.python_context().wrap_socket(plain, server_hostname='localhost',
                                                     suppress_ragged_eofs=False)
            data = os.urandom(1 << 20) * 8
            # One thread for both ways: no more under way than the kernels' buffers hold.
            for begin in range(0, len(data), 1 << 14):
                piece = data[begin:begin + (1 << 14)]
                peer.sendall(piece)
                self.assertEqual(receive(peer, len(piece)), piece)
            peer.unwrap().close()
        self.assertEqual(server.terminate(), 0)

    def test_AHangupServesTheNewCertificate(self):
        folder = self.folder / 'changing'
        make_certificate(folder, 'old')
        server = self.start('tls_echo', folder / 'certificate.pem', folder / 'key.pem', 0)
        port = server.port()
        self.assertIn('CN = old', self.subject(port))
        (folder / 'certificate.pem').write_text('half a file')
        server.signal(signal.SIGHUP)
        server.wait_for_stderr('the old certificate stays')
        self.assertIn('CN = old', self.subject(port))
        make_certificate(folder, 'new')
        server.signal(signal.SIGHUP)
        harness.wait_until(lambda: 'CN = new' in self.subject(port))
        self.assertEqual(server.terminate(), 0)

    def subject(self, port):
        return run('openssl', 's_client', '-connect', f'127.0.0.1:{port}', code=None)

    def test_GnutlsTalksToTheServer(self):
        server, port = self.serve('tls_echo')
        for priority in ('NORMAL', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'):
            _, seen = self.converse(
                ['gnutls-cli', '--x509cafile', self.certificate, '--priority', priority,
                 '--port', port, '127.0.0.1'], 'hello, ferry\n', 'hello, ferry')
            self.assertIn('hello, ferry', seen)
            self.assertIn('The certificate is trusted', seen)
        self.assertEqual(server.terminate(), 0)

    def test_CurlTalksToTheServer(self):
        server, port = self.serve('tls_echo')
        # An echo of a request is no answer; but HTTP 0.9 takes anything.
        seen = run('curl', '--silent', '--http0.9', '--max-time', 2, '--cacert', self.certificate,
                   f'https://localhost:{port}/ferry', code=None)
        self.assertIn('GET /ferry HTTP/1.1', seen)
        seen = run('curl', '--http0.9', '--max-time', 5, f'https://localhost:{port}/', code=60)
        self.assertIn('certificate', seen)
        self.assertEqual(server.terminate(), 0)

    def test_NodeTalksToTheServer(self):
        server, port = self.serve('tls_echo')
        script = f'''
            const peer = require('tls').connect({{host: '127.0.0.1', port: {port},
                servername: 'localhost', ca: require('fs').readFileSync('{self.certificate}')}});
            const sent = Buffer.alloc(1000000, 'ferry');
            let got = 0;
            peer.on('secureConnect', () => peer.write(sent));
            peer.on('data', (data) => {{
                got += data.length;
                if (got == sent.length) peer.end();
            }});
            peer.on('end', () => console.log(got, peer.authorized, peer.getProtocol()));'''
        self.assertEqual(run('node', '-e', script).split(), ['1000000', 'true', 'TLSv1.3'])
        self.assertEqual(server.terminate(), 0)


class StartTls(TlsTest):
    def test_ALineServerUpgrades(self):
        server, port = self.serve('starttls_server')
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as plain:
            lines = plain.makefile('rb', buffering=0)
            self.assertEqual(lines.readline(), b'+ ferry\r\n')
            plain.sendall(b'HELLO\r\n')
            self.assertEqual(lines.readline(), b'+ in plain text\r\n')
            plain.sendall(b'STARTTLS\r\n')
            self.assertEqual(lines.readline(), b'+ go ahead\r\n')
            peer = self.python_context().wrap_socket(plain, server_hostname='localhost')
            peer.sendall(b'HELLO\r\nQUIT\r\n')
            answer = receive_all(peer).decode()
            self.assertTrue(re.fullmatch(r'\+ in secret \(TLS_\w+\)\r\n\+ goodbye\r\n', answer),
                            answer)
            peer.close()
        self.assertEqual(server.terminate(), 0)

    def test_WhatComesBehindTheLineIsNoCommand(self):
        server, port = self.serve('starttls_server')
        with socket.create_connection(('127.0.0.1', port), PATIENCE) as plain:
            plain.sendall(b'STARTTLS\r\nHELLO\r\n')
            answer = receive_all(plain)
            self.assertTrue(answer.startswith(b'+ ferry\r\n+ go ahead\r\n'), answer)
            self.assertNotIn(b'in ', answer)
        server.wait_for_stderr('wrong version number')
        self.assertEqual(server.terminate(), 0)


if __name__ == '__main__':
    harness.main()
