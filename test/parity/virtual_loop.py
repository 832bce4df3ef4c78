"""An asyncio event loop in virtual time: the clock stands while anything is ready, and jumps to the
next timer when nothing is. All but the clock is CPython's."""

import asyncio
import heapq
import itertools
import selectors

# asyncio looks up once a (real) day at least; here a day is nothing.
asyncio.base_events.MAXIMUM_SELECT_TIMEOUT = 10 ** 10


class Stuck(BaseException):
    """Nothing is ready, no timer is set, and no socket has anything to say."""


class VirtualSelector(selectors.DefaultSelector):
    # What has been sent on loopback is there at once; a moment more costs nothing.
    SOCKET_PATIENCE = 0.002

    def __init__(self):
        super().__init__()
        self.now = 0

    def select(self, timeout=None):
        sockets = len(self.get_map()) > 1  # the loop's own wake-up is one
        if timeout is None:
            events = super().select(5 if sockets else 0)
            if not events:
                raise Stuck()
            return events
        events = super().select(self.SOCKET_PATIENCE if sockets and timeout > 0 else 0)
        if not events:
            self.now += timeout
        return events


class OrderedTimer(asyncio.TimerHandle):
    """asyncio leaves the order of equal times to its heap; here it is that of the calls."""

    number = itertools.count()

    def __init__(self, *args):
        super().__init__(*args)
        self.order = next(self.number)

    def __lt__(self, other):
        return (self._when, self.order) < (other._when, other.order)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.clock = VirtualSelector()
        super().__init__(self.clock)
        self._clock_resolution = 0.5  # of a tick: times are whole ticks

    def time(self):
        return self.clock.now

    def call_at(self, when, callback, *args, context=None):
        self._check_closed()
        timer = OrderedTimer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer
