"""What the tests of ferry-proxy have in common."""

import signal
import socket

import harness
from harness import receive, wait_until


class ProxyTest(harness.ProgramTest):
    def proxy(self, to, *arguments, listen='127.0.0.1:0', **how):
        """Starts one; returns it and, for TCP, its port."""
        if isinstance(to, socket.socket):
            to = f'127.0.0.1:{to.getsockname()[1]}'
        proxy = self.start('ferry-proxy', '--listen', listen, '--to', to, *arguments, **how)
        if listen.startswith('unix:'):
            self.assertEqual(proxy.line(), f'listening on {listen}')
            return proxy, None
        return proxy, proxy.port()

    def echo_server(self, *arguments):
        server = self.start('ferry-bench', 'serve', '--port', 0, *arguments)
        return f'127.0.0.1:{server.port()}'

    def pair(self, *arguments):
        """A proxy, and the two ends of one connection through it: client and upstream."""
        listener = self.listener()
        proxy, port = self.proxy(listener, *arguments)
        client = self.connect(port)
        return proxy, client, self.accept(listener)

    def silent_upstream(self):
        """A listener with a full backlog: to connect to it takes for ever."""
        listener = self.listener(backlog=0)
        self.waiting = [self.keep(socket.socket()) for _ in range(8)]
        for sock in self.waiting:
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        return listener

    def check_echo(self, sock, data=b'hello'):
        sock.sendall(data)
        self.assertEqual(receive(sock, len(data)), data)

    def statistics(self, text):
        line = [line for line in text.splitlines() if line.startswith('ferry-proxy: accepted=')][-1]
        return {name: int(value) for name, value in
                (figure.split('=') for figure in line.split(': ', 1)[1].split())}

    def end(self, proxy, **expected):
        """Ends a proxy that has no connections; its last word must have these figures."""
        self.assertEqual(proxy.terminate(), 0)
        self.check_statistics(proxy, active=0, **expected)

    def check_statistics(self, proxy, **expected):
        statistics = self.statistics(proxy.stderr())
        self.assertEqual({name: statistics[name] for name in expected}, expected)

    def ask(self, proxy):
        """The statistics it gives at SIGUSR1."""
        before = proxy.stderr().count('accepted=')
        proxy.signal(signal.SIGUSR1)
        wait_until(lambda: proxy.stderr().count('accepted=') > before and
                   proxy.stderr().endswith('\n'))
        return self.statistics(proxy.stderr())

    def wait_for(self, proxy, name, value):
        wait_until(lambda: self.ask(proxy)[name] == value, lambda: f'{name}={value}')
