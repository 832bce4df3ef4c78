"""Runs programs and talks to them; reports unittest cases as TAP.

A test file gets the paths of the programs it needs as NAME=PATH arguments, defines
unittest.TestCase classes derived from ProgramTest, and ends with harness.main().
"""

import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest

PATIENCE = 60  # seconds until a test gives up; sanitized builds on a busy machine are slow
programs = {}
settings = {}


class Program:
    """A running program. Its lines are read as they come, its standard error goes to a file."""

    def __init__(self, name, *arguments, stdin=subprocess.DEVNULL, **how):
        self.name = name
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([programs[name], *map(str, arguments)], stdin=stdin,
                                        stdout=subprocess.PIPE, stderr=self.errors, **how)
        self.pid = self.process.pid
        self.unread = b''

    def line(self):
        """The next line of standard output, without its end."""
        deadline = time.monotonic() + PATIENCE
        stdout = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b'\n' not in self.unread:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    raise AssertionError(f'{self.name} prints no line; so far {self.unread!r}')
                data = os.read(stdout, 65536)
                if not data:
                    raise AssertionError(f'{self.name} ended after {self.unread!r}, saying '
                                         f'{self.stderr()!r}')
                self.unread += data
        line, self.unread = self.unread.split(b'\n', 1)
        return line.decode()

    def port(self):
        """The port in the line "listening on HOST:PORT"."""
        line = self.line()
        if not line.startswith('listening on '):
            raise AssertionError(f'{self.name} printed {line!r}')
        return int(line.rsplit(':', 1)[1])

    def stderr(self):
        # Not by seek: the program writes at the same file position.
        size = os.fstat(self.errors.fileno()).st_size
        return os.pread(self.errors.fileno(), size, 0).decode()

    def wait_for_stderr(self, text):
        wait_until(lambda: text in self.stderr(), lambda: f'{text!r} in {self.stderr()!r}')

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit code, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    def terminate(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def rest(self):
        """What is left of standard output once it has ended."""
        self.wait()
        return (self.unread + self.process.stdout.read()).decode()

    def descriptors(self):
        return len(os.listdir(f'/proc/{self.pid}/fd'))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def wait_until(condition, what='the condition'):
    """Polls what cannot be waited for: another process's state."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'waited in vain for {what() if callable(what) else what}')
        time.sleep(0.01)


class ProgramTest(unittest.TestCase):
    def start(self, name, *arguments, **how):
        program = Program(name, *arguments, **how)
        self.addCleanup(program.kill)
        return program

    def run_program(self, name, *arguments, **how):
        """Runs to the end: (exit code, standard output, standard error)."""
        program = self.start(name, *arguments, **how)
        output = program.rest()
        return program.process.returncode, output, program.stderr()

    def connect(self, port, host='127.0.0.1'):
        return self.keep(socket.create_connection((host, port), PATIENCE))

    def keep(self, sock):
        sock.settimeout(PATIENCE)
        self.addCleanup(sock.close)
        return sock

    def listener(self, backlog=128):
        return self.keep(socket.create_server(('127.0.0.1', 0), backlog=backlog))

    def accept(self, listener):
        return self.keep(listener.accept()[0])

    def in_thread(self, target, *arguments):
        """Runs `target` beside the test; its exception, if any, comes out of the function returned."""
        outcome = []

        def body():
            try:
                outcome.append((target(*arguments), None))
            except BaseException as error:
                outcome.append((None, error))

        thread = threading.Thread(target=body, daemon=True)
        thread.start()

        def join():
            thread.join(PATIENCE * 2)
            if not outcome:
                raise AssertionError(f'{target.__name__} does not end')
            result, error = outcome[0]
            if error:
                raise error
            return result

        return join

    def directory(self):
        holder = tempfile.TemporaryDirectory(prefix='ferry-')
        self.addCleanup(holder.cleanup)
        return pathlib.Path(holder.name)


def receive(sock, size):
    """Exactly so many bytes; fewer only at the end of the stream."""
    parts = []
    while size > 0 and (data := sock.recv(min(size, 1 << 20))):
        parts.append(data)
        size -= len(data)
    return b''.join(parts)


def receive_all(sock):
    return b''.join(iter(lambda: sock.recv(1 << 20), b''))


def reset(sock):
    """Closes with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    sock.close()


class TapResult(unittest.TestResult):
    """One line a test, as it ends; what went wrong in comments below it."""

    bad = 0  # tests

    def startTest(self, test):
        super().startTest(test)
        self.outcome = ('ok', '', [])

    def failed(self, error):
        lines = ''.join(traceback.format_exception(*error)).splitlines()
        self.outcome = ('not ok', '', [*self.outcome[2], *lines])

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.failed(error)

    def addError(self, test, error):
        super().addError(test, error)
        self.failed(error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error:
            self.failed(error)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome = ('ok', f' # SKIP {reason}', [])

    def stopTest(self, test):
        super().stopTest(test)
        state, directive, details = self.outcome
        self.bad += state != 'ok'
        name = f'{type(test).__name__}.{test._testMethodName.removeprefix("test_")}'
        print(f'{state} {self.testsRun} - {name}{directive}')
        for line in details:
            print(f'# {line}')
        sys.stdout.flush()


def main():
    """Runs the cases of the calling module; `-k PATTERN` chooses some."""
    arguments = sys.argv[1:]
    loader = unittest.TestLoader()
    while arguments:
        word = arguments.pop(0)
        if word == '-k':
            loader.testNamePatterns = [f'*{arguments.pop(0)}*']
            continue
        name, value = word.split('=', 1)
        (programs if os.sep in value else settings)[name] = value
    suite = loader.loadTestsFromModule(sys.modules['__main__'])
    print(f'1..{suite.countTestCases()}', flush=True)
    result = TapResult()
    suite.run(result)
    print(f'# {result.testsRun - result.bad} passed, {result.bad} failed')
    sys.exit(1 if result.bad or not result.testsRun else 0)
