"""The command lines of ferry-bench and ferry-proxy: what is wrong gets one clear line and code 2."""

import socket

import harness

LOAD = ['load', '--port', '1', '--connections', '1', '--size', '64', '--depth', '1', '--seconds', '1']
PROXY = ['--listen', '127.0.0.1:0', '--to', '127.0.0.1:1']


def without(arguments, option):
    at = arguments.index(option)
    return arguments[:at] + arguments[at + 2:]


class CommandLine(harness.ProgramTest):
    def check_refused(self, program, arguments, mentioned=''):
        with self.subTest(program=program, arguments=arguments):
            code, output, errors = self.run_program(program, *arguments)
            self.assertEqual((code, output), (2, ''))
            self.assertEqual(errors.count('\n'), 1, errors)
            self.assertTrue(errors.startswith(program + ': '), errors)
            self.assertIn(mentioned, errors)

    def check_fails(self, program, arguments, mentioned):
        code, output, errors = self.run_program(program, *arguments)
        self.assertEqual((code, output), (1, ''), errors)
        self.assertEqual(errors.count('\n'), 1, errors)
        self.assertIn(mentioned, errors)

    def test_HelpIsPrintedAndIsNoFailure(self):
        for program, arguments, mentioned in [
                ('ferry-bench', ['--help'], 'churn'),
                ('ferry-bench', ['serve', '--help'], '--message'),
                ('ferry-bench', ['load', '--help'], '--depth'),
                ('ferry-bench', ['churn', '--help'], '--connections'),
                ('ferry-bench', ['idle', '--help'], '--connections'),
                ('ferry-proxy', ['--help'], '--half-close-linger'),
                ('ferry-proxy', ['--help'], '--tls-cert'),
                ('ferry-proxy', ['--help'], 'udp:HOST:PORT')]:
            with self.subTest(program=program, arguments=arguments):
                code, output, errors = self.run_program(program, *arguments)
                self.assertEqual((code, errors), (0, ''))
                self.assertIn(mentioned, output)

    def test_UnknownArgumentsAreRefused(self):
        self.check_refused('ferry-bench', [])
        self.check_refused('ferry-bench', ['fly'], 'fly')
        self.check_refused('ferry-bench', ['--port', '1'])
        self.check_refused('ferry-bench', [*LOAD, '--colour', 'red'], '--colour')
        self.check_refused('ferry-bench', [*LOAD, 'stray'], 'stray')
        self.check_refused('ferry-proxy', [*PROXY, '--colour'], '--colour')
        self.check_refused('ferry-proxy', [*PROXY, 'stray'], 'stray')

    def test_LoopsThatMakeNoSenseAreRefused(self):
        self.check_refused('ferry-bench', [*LOAD, '--loops', '2'], '--connections')
        self.check_refused('ferry-bench', [*LOAD, '--loops', '0'], '--loops')
        serve = ['serve', '--port', '0']
        self.check_refused('ferry-bench', [*serve, '--loops', '0'], '--loops')
        self.check_refused('ferry-bench', [*serve, '--spread', 'reuse_port'], '--loops')
        self.check_refused('ferry-bench', [*serve, '--loops', '2', '--spread', 'even'], '--spread')
        self.check_refused('ferry-bench', [*serve, '--transport', 'udp', '--loops', '2'], '--loops')
        self.check_refused('ferry-bench', ['serve', '--transport', 'unix', '--path', 'x', '--loops',
                                           '2', '--spread', 'reuse_port'], 'for tcp')

    def test_MissingArgumentsAreNamed(self):
        self.check_refused('ferry-bench', ['serve'], '--port')
        for option in LOAD[1::2]:
            self.check_refused('ferry-bench', without(LOAD, option), option)
        self.check_refused('ferry-bench', ['serve', '--port'], '--port')
        for option in PROXY[::2]:
            self.check_refused('ferry-proxy', without(PROXY, option), option)
        self.check_refused('ferry-proxy', [])

    def test_MalformedNumbersAreRefused(self):
        for option, values in {'--port': ['', 'x', '80x', '-1', '0', '65536', '1.5'],
                               '--connections': ['0', '-3', 'many', '99999999999999999999'],
                               '--size': ['0', 'x', '1000000000'],
                               '--depth': ['0', '-1', '1e3'],
                               '--seconds': ['0', '-1', 'nan', 'inf', 'x', '1s'],
                               '--warmup': ['-1', 'nan']}.items():
            for value in values:
                self.check_refused('ferry-bench',
                                   [*(without(LOAD, option) if option in LOAD else LOAD),
                                    option, value], option)
        self.check_refused('ferry-bench', ['serve', '--port', '65536'], '--port')
        self.check_refused('ferry-bench', ['serve', '--port', '0', '--message', '0'], '--message')
        self.check_refused('ferry-bench', ['serve', '--port', '0', '--api', 'magic'], '--api')
        for option in ['--connect-timeout', '--idle-timeout', '--half-close-linger',
                       '--drain-timeout', '--max-connections', '--max-handshakes',
                       '--handshake-timeout', '--max-sessions', '--session-idle',
                       '--loops', '--rate', '--max-per-address']:
            for value in ['-1', 'x', 'nan']:
                self.check_refused('ferry-proxy', [*PROXY, option, value], option)

    def test_WhatATransportDoesNotHaveIsRefused(self):
        rest = without(LOAD, '--port')
        for arguments, mentioned in [
                ([*rest, '--transport', 'unix'], '--path'),
                ([*LOAD, '--path', '/x'], '--path'),
                ([*LOAD, '--transport', 'unix', '--path', '/x'], '--port'),
                ([*LOAD, '--transport', 'pipe'], '--port'),
                ([*rest, '--transport', 'pipe', '--tls'], '--tls'),
                ([*LOAD, '--transport', 'udp', '--tls'], '--tls'),
                ([*without(rest, '--size'), '--transport', 'udp', '--port', 1, '--size', 7], '--size'),
                ([*without(rest, '--connections'), '--transport', 'pipe', '--connections', 4001],
                 '--connections'),
                ([*LOAD, '--transport', 'carrier-pigeon'], '--transport'),
                ([*LOAD, '--transport', 'tcp unix'], '--transport'),
                (['serve', '--port', 0, '--transport', 'udp', '--api', 'streams'], '--api'),
                (['serve', '--transport', 'pipe', '--api', 'streams'], '--api'),
                (['churn', '--port', 1, '--connections', 1, '--seconds', 1, '--transport', 'udp'],
                 '--transport'),
                (['serve', '--transport', 'udp', '--port', 0, '--message', 1], '--message'),
                (['serve', '--transport', 'udp', '--port', 0, '--loops', 2], '--loops'),
                (['serve', '--port', 0, '--tls-cert', 'c', '--tls-key', 'k'], '--tls')]:
            self.check_refused('ferry-bench', arguments, mentioned)
        for pipes in ['', '0', '0:', ':1', '0:1,', '0:1,2', '0-1', '-1:1', 'x:y', '0:1:2']:
            self.check_refused('ferry-bench', ['serve', '--transport', 'pipe', '--pipes', pipes],
                               '--pipes')

    def test_TooMuchUnderWayIsRefused(self):
        arguments = without(without(LOAD, '--size'), '--depth')
        self.check_refused('ferry-bench', [*arguments, '--size', '60000000', '--depth', '100000'])

    def test_OptionsGivenTwiceAreRefused(self):
        self.check_refused('ferry-bench', [*LOAD, '--port', '2'], '--port')
        self.check_refused('ferry-proxy', [*PROXY, '--to', '127.0.0.1:2'], '--to')

    def test_MalformedEndpointsAreRefused(self):
        for value in ['', 'localhost', ':', '127.0.0.1:', '127.0.0.1:x', '127.0.0.1:65536',
                      '127.0.0.1:-1', '::1:80', '[::1]', 'unix:', 'unix:' + 'p' * 108, 'udp:', 'udp:x:', 'udp:::1:80',
                      'udp:unix:/x']:
            for option in PROXY[::2]:
                self.check_refused('ferry-proxy', [*without(PROXY, option), option, value], option)

    def test_WhatDoesNotGoTogetherIsRefused(self):
        udp = ['--listen', 'udp:127.0.0.1:0', '--to', 'udp:127.0.0.1:1']
        for arguments, mentioned in [
                ([*PROXY, '--tls-cert', 'c'], '--tls-key'), ([*PROXY, '--tls-key', 'k'], '--tls-cert'),
                ([*PROXY, '--ca', 'c'], '--to-tls'), ([*PROXY, '--sni', 'n'], '--to-tls'),
                (['--listen', ':0', '--to', 'unix:/x', '--to-tls'], '--sni'),
                ([*udp[:2], *PROXY[2:]], 'udp'), ([*PROXY[:2], *udp[2:]], 'udp'),
                ([*udp, '--to-tls'], 'TLS'), ([*udp, '--loops', '2'], '--loops'),
                ([*udp, '--rate', '1'], '--rate'),
                ([*PROXY, '--loops', '2', '--traffic-log', 'f'], '--traffic-log'), ([*udp, '--tls-cert', 'c', '--tls-key', 'k'], 'TLS')]:
            self.check_refused('ferry-proxy', arguments, mentioned)

    def test_CertificatesThatAreNotThereAreNamed(self):
        self.check_fails('ferry-proxy', [*PROXY, '--tls-cert', '/no/such/c', '--tls-key', '/no/such/k'],
                         '/no/such/c')
        self.check_fails('ferry-proxy', [*PROXY, '--to-tls', '--ca', '/no/such/ca'], '/no/such/ca')

    def test_WhatCannotBeginFailsWithOneLine(self):
        taken = self.listener()
        port = taken.getsockname()[1]
        self.check_fails('ferry-bench', ['serve', '--port', port], f'127.0.0.1:{port}')
        self.check_fails('ferry-proxy', ['--listen', f'127.0.0.1:{port}', '--to', 'unix:/x'],
                         f'127.0.0.1:{port}')
        self.check_fails('ferry-proxy', ['--listen', 'unix:/no/such/folder/s', '--to', 'unix:/x'],
                         '/no/such/folder/s')
        self.check_fails('ferry-bench', [*LOAD, '--json', '/no/such/folder/f'], '/no/such/folder/f')

    def test_NobodyListeningIsSaidInOneLine(self):
        with socket.socket() as unused:  # bound, but nobody listens
            unused.bind(('127.0.0.1', 0))
            port = unused.getsockname()[1]
            for command in [[*without(LOAD, '--port'), '--port', port],
                            ['churn', '--port', port, '--connections', '1', '--seconds', '1'],
                            ['idle', '--port', port, '--connections', '3']]:
                with self.subTest(command=command):
                    code, _, errors = self.run_program('ferry-bench', *command)
                    self.assertEqual((code, errors.count('\n')), (1, 1), errors)
                    self.assertIn(f'127.0.0.1:{port}', errors)
                    self.assertIn('refused', errors)

    def test_MoreConnectionsThanDescriptorsIsSaidInOneLine(self):
        self.check_fails('ferry-bench', ['idle', '--port', '1', '--connections', '1000000'],
                         'descriptors')


if __name__ == '__main__':
    harness.main()
