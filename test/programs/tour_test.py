"""The programs of the tour print what they are to show, and the table names what they show."""

import pathlib
import re
import signal
import subprocess
import time

import harness

TOUR = pathlib.Path(__file__).parents[2] / 'examples/tour'

# What the programs print whose output is the same each time; by name.
OUTPUTS = {
    '01_entry_points': '''\
outside: no running event loop
outside: no event loop runs in this thread, and none was set for it
Hello ...
... world!
inside: the loop runs: yes, get_event_loop gives the same: yes
refused: run: called from a running event loop
run returned 42
outside: no running event loop
outside: no event loop runs in this thread, and none was set for it
interrupted
set: get_event_loop gives it: yes
''',
    '02_coroutines_and_tasks': '''\
data from https://example.org
two tasks created; none has begun
A, of 2 s, begins
B, of 1 s, begins
B, of 1 s, ends
A, of 2 s, ends
together: 2 s
fetcher: done: 0, result: the future has no result yet
done-callback: data from a
has fetched: done: 1, result: data from a, exception: none
cancelled: not needed any more; cancelled(): 1, done(): 1
the awaiter gets: no such thing
exception(): one
exception handler: Future exception was never retrieved: no such thing
''',
    '03_concurrency_helpers': '''\
gather: in the order of the arguments
  data from A, data from B, data from C: 3 s
  return_exceptions: data from A, and a failure: B is down
wait: ALL_COMPLETED
  done: 2, pending: 0
  data from A
  a failure
wait: FIRST_COMPLETED of three replicas
  data from replica 2
  replica 1 is cancelled
  replica 3 is cancelled
wait: FIRST_EXCEPTION
  done: 2, pending: 1
  B is down
  C is cancelled
as_completed: as they arrive
  data from B
  data from C
  data from A
TaskGroup: one fails, the others are cancelled
  data from A
  C is cancelled
  the group: B is down
''',
    '04_timeouts_and_cancellation': '''\
wait_for: gave up after 3 s
wait_for: data in time
timeout: step 1
timeout: step 2
timeout: out of time after 5 s
shield: saving
shield: the outer is cancelled, saved: 0
shield: saved
worker: working
worker: working
worker: working
worker: cancelled, cleaning up
worker: clean
worker: gone, cancelled: 1
finally: put away
finally: then the exception goes on
''',
    '05_sync_primitives': '''\
Lock: 10 deposits, balance 10, locked: no
Semaphore(10): 30 requests of 1 s, 10 at once: 3 s
BoundedSemaphore: released too often
Event: the consumer waits
Event: the producer sets it
Event: the consumer has 3 items
Event: is_set: yes, after clear: no
Condition: 3 delivered
Condition: Bob takes 2, 1 left
Condition: 3 delivered
Condition: Ann takes 4, 0 left
Queue: job 5 makes it full
Queue: job 6 makes it full
Queue: job 7 makes it full
Queue: job 8 makes it full
Queue(5): all done, sum 36
LifoQueue: 3 2 1
PriorityQueue: work eat sleep
''',
    '06_contexts_and_iterators': '''\
connected to db1
db1 answers SELECT 1
disconnected from db1
connected to db1
rolled back
disconnected from db1
failed: syntax error
connected to db2
db2 answers SELECT 2
disconnected from db2
connected to db2
disconnected from db2
failed: syntax error
cursor opened
page of 3
page of 3
page of 3
cursor closed
sum 36
cursor opened
found 4
cursor closed
open connections: 0
''',
    '07_blocking_code': '''\
to_thread: contents of a.txt
meanwhile the loop ticked: yes
default executor: contents of b.txt, on another thread
ThreadPool of 2: 6 jobs, more than 2 at once: no
ProcessPool: 168 primes below 1000, 1229 below 10000
ProcessPool: a crash fails that call, and no other
''',
    '10_utilities': '''\
left: 1
right: 1
left: 2
right: 2
slept 1.5 s
slept 3.5 s: done
current task: main-task
all tasks: main-task one two: 3
one: 1
two: 1
one: 2
two: 2
ensure_future gives the same: 1
ensure_future: 42
wrap_future: 42
isfuture: Future 1, Task 1, Coro 0
iscoroutine: answer() 1, answer 0
iscoroutinefunction: answer 1, ask_for_types 0
''',
    '11_low_level_loop': '''\
nothing has been called yet
call_soon: the next turn
call_later: after 2 s
call_at: at time() + 5 s
add_writer: there is room
add_reader: hello
remove_reader: removed, again: not there
create_future: 42
Future: no answer
after close: call_soon: the event loop is closed
''',
    '11_protocols': '''\
TCP client: connection_made
TCP client: data_received: hello
TCP client: connection_lost: all well
UDP client: ping
frame: "one!"
frame: "!"
frame: "three!"
''',
}


def like_a_shell():
    """Ctrl-C may have been switched off for this test."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TourTest(harness.ProgramTest):
    def run_tour(self, name, *arguments):
        return self.run_program(name, *arguments, preexec_fn=like_a_shell)


class Outputs(TourTest):
    pass


# A test for each of them.
for _name in OUTPUTS:
    def _show(self, name=_name):
        self.assertEqual(self.run_tour(name), (0, OUTPUTS[name], ''))
    _words = ''.join(word.capitalize() for word in _name.split('_'))
    setattr(Outputs, f'test_{_words}PrintsWhatItShows', _show)


class RealTime(TourTest):
    def test_WithRealTheSecondsAreWaitedOut(self):
        began = time.monotonic()
        self.assertEqual(self.run_tour('01_entry_points', '--real'),
                         (0, OUTPUTS['01_entry_points'], ''))
        self.assertGreaterEqual(time.monotonic() - began, 1)


class Streams(TourTest):
    def test_ClientAndServerTalk(self):
        code, output, errors = self.run_tour('08_streams')
        self.assertEqual((code, errors), (0, ''))
        lines = output.splitlines()
        self.assertEqual([line for line in lines if line.startswith('server')],
                         ['server: of this loop: yes', 'server: is_serving: yes, sockets: 1',
                          'server: received 13 bytes',
                          'server: is_serving: no, sockets: 0'])
        self.assertEqual([line for line in lines if line.startswith('client')],
                         ['client: hello, ferry', 'client: 0 bytes more until the end',
                          'client: is_closing: yes'])
        self.assertEqual(len(lines), 7)


class Subprocesses(TourTest):
    def test_TheListingIsThatOfThisFolderAndTheShellIsHeardOut(self):
        # The listing tells of the parent as well: nobody else may change that meanwhile.
        folder = self.directory() / 'folder'
        folder.mkdir()
        (folder / 'a file').write_text('x', encoding='ascii')
        listing = subprocess.run(['ls', '-la'], cwd=folder, capture_output=True, text=True,
                                 check=True).stdout
        self.assertIn(' a file\n', listing)
        program = self.start('09_subprocesses', cwd=folder)
        self.assertEqual(program.rest(), listing + """\
ls: returncode 0, errors: 0 bytes
the shell says: hello
the shell says: world
shell: returncode 0
""")
        self.assertEqual((program.wait(), program.stderr()), (0, ''))


class GracefulShutdown(TourTest):
    ENDING = ''.join(f'worker {n} stops\n' for n in range(1, 6)) + \
        '5 workers are gone, 1 tasks left: this one\n'

    def begin(self):
        program = self.start('12_graceful_shutdown', preexec_fn=like_a_shell)
        self.assertEqual(program.line(), '5 workers; Ctrl-C ends them')
        return program

    def test_EitherSignalEndsItInGoodOrder(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            program = self.begin()
            program.signal(number)
            self.assertEqual(program.rest(), f'{number.name}: shutting down\n' + self.ENDING)
            self.assertEqual((program.wait(), program.stderr()), (0, ''))

    def test_ASecondSignalDoesNotFail(self):
        program = self.begin()
        program.signal(signal.SIGSTOP)  # so that the loop finds both at once
        program.signal(signal.SIGTERM)
        program.signal(signal.SIGINT)
        program.signal(signal.SIGCONT)
        self.assertRegex(program.rest(), f'^SIG(TERM|INT): shutting down\n{self.ENDING}$')
        self.assertEqual((program.wait(), program.stderr()), (0, ''))


class Table(harness.ProgramTest):
    """examples/tour/README.md: asyncio's call | ferry's | what is special | program."""

    def rows(self):
        text = (TOUR / 'README.md').read_text(encoding='utf-8')
        for line in text.split('\n## asyncio to ferry\n')[1].splitlines():
            cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line.strip('|'))]
            if line.startswith('|') and '`' in line:
                self.assertEqual(len(cells), 4, line)
                yield cells

    def programs(self, cell):
        names = re.findall(r'\]\(([^)]*)\)', cell)
        self.assertTrue(names, cell)
        return names

    def test_EachFileThatIsNamedExistsAndEachProgramIsNamed(self):
        named = {name for row in self.rows() for name in self.programs(row[3])}
        self.assertEqual(named, {path.name for path in TOUR.glob('*.cpp')})

    def test_EachProgramIsBuiltAndTested(self):
        built = {name for name, path in harness.programs.items()
                 if pathlib.Path(path).parent.name == 'tour'}
        self.assertEqual(built, {path.stem for path in TOUR.glob('*.cpp')})
        self.assertLessEqual(set(OUTPUTS), built)

    def test_EachNameOfFerryIsUsedInTheProgramThatIsToShowIt(self):
        missing = []
        count = 0
        for asyncio, ferry, trait, where in self.rows():
            self.assertTrue(asyncio and trait, ferry)
            sources = [(TOUR / name).read_text(encoding='utf-8') for name in self.programs(where)]
            code = re.sub(r'//[^\n]*|"(?:\\.|[^"\\\n])*"', '', '\n'.join(sources))
            names = [name for span in re.findall(r'`([^`]*)`', ferry)
                     for name in re.findall(r'[A-Za-z_]\w*', span)]
            self.assertTrue(names, asyncio)
            count += len(names)
            missing += [f'{name}: {where}' for name in names if not re.search(rf'\b{name}\b', code)]
        self.assertEqual(missing, [])
        self.assertGreater(count, 100)

    def test_NoCallOfAsyncioIsForgotten(self):
        shown = ' '.join(row[0] for row in self.rows())
        self.assertEqual([name for name in ASYNCIO.split()
                          if not re.search(rf'(?<![\w.]){re.escape(name)}\b', shown)], [])


# What the reference note names or uses.
ASYNCIO = '''
run get_running_loop get_event_loop KeyboardInterrupt
create_task Task Task.cancel Task.done Task.cancelled Task.result Task.exception
Task.add_done_callback Task.set_name
gather return_exceptions wait ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION as_completed TaskGroup
TaskGroup.create_task
wait_for timeout shield CancelledError TimeoutError
Lock Lock.acquire Lock.release Lock.locked Semaphore BoundedSemaphore
Event Event.set Event.clear Event.is_set Event.wait
Condition Condition.wait_for Condition.notify_all
Queue Queue.put Queue.get Queue.put_nowait Queue.get_nowait Queue.qsize Queue.empty Queue.full
Queue.task_done Queue.join LifoQueue PriorityQueue
contextlib.asynccontextmanager
to_thread loop.run_in_executor concurrent.futures.ThreadPoolExecutor
concurrent.futures.ProcessPoolExecutor
open_connection start_server StreamReader.read StreamReader.readline StreamWriter.write
StreamWriter.drain StreamWriter.close StreamWriter.is_closing StreamWriter.wait_closed
Server.serve_forever Server.close Server.wait_closed Server.is_serving Server.sockets
Server.get_loop
create_subprocess_exec create_subprocess_shell Process.communicate Process.returncode PIPE
sleep current_task all_tasks ensure_future wrap_future isfuture iscoroutine iscoroutinefunction
loop.call_soon loop.call_later loop.call_at loop.time loop.stop loop.close loop.create_future
loop.add_reader loop.add_writer loop.remove_reader loop.remove_writer
Future Future.set_result Future.set_exception
loop.create_server loop.create_connection loop.create_datagram_endpoint Protocol DatagramProtocol
connection_made data_received connection_lost datagram_received
Transport.write Transport.close DatagramTransport.sendto
loop.add_signal_handler ValueError RuntimeError
'''


if __name__ == '__main__':
    harness.main()
