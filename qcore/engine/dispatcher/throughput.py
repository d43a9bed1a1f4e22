"""Runs in: the dispatcher's loop. How fast tasks end, and so how many to have ready."""

from __future__ import annotations

#: Seconds over which the rate is measured.
_WINDOW = 0.02
#: Seconds of work that may wait in memory where the project sets no ``queue_limit``:
#: long against a round trip to the broker, too short for another cluster to miss it.
_AHEAD = 0.05
#: Jobs that may wait at most, however fast they end.
_MOST = 1000
#: Seconds of work that may lie ahead for a worker: long against the time that the
#: loop takes for a round, short enough to be no loss should the worker be slow.
_LYING = 0.006
#: Jobs that may lie there at most.
_DEEPEST = 64
#: Seconds that tasks take on average, up to which one of them lies there all the same: a
#: worker loses about a millisecond where the loop has to be asked for the next one, a
#: tenth of a task of 10 ms.
_SHORT = 0.025
#: A task counts as long once it has taken so many seconds, and so many times the average.
_LONG, _LONGER = 0.01, 2
#: Seconds that the loop leaves replies unread where workers have more than twice as
#: much work before them. Woken for each reply, the dispatcher slept and woke 0.31 times
#: for a task, and 0.12 times with a rest of 1 ms. With 1.5 ms, and 6 instead of 4 ms of
#: work before each worker, a short task took 8 % less of the processor.
_REST = 0.0015


class Throughput:
    """The recent rate of ended tasks.

    The documented default of ``queue_limit`` is the square of the number of workers. It is
    right for tasks that take a while. With tasks of a millisecond it would cost a round
    trip for every few tasks. So the default grows to the number of tasks that the cluster
    is about to run anyway. A ``queue_limit`` that the project sets never grows.
    """

    def __init__(self, now: float) -> None:
        self._since = now
        self._ended = 0
        self._rate = 0.0  # per second

    def note(self, ended: int, now: float) -> None:
        """Note how many tasks have ended since the last call."""
        self._ended += ended
        passed = now - self._since
        if passed >= _WINDOW:
            self._rate = (self._rate + self._ended / passed) / 2
            self._since, self._ended = now, 0

    def ahead(self) -> int:
        """Return how many jobs the cluster needs for the next moments."""
        return min(_MOST, int(self._rate * _AHEAD))

    def depth(self, workers: int) -> int:
        """Return how many jobs may lie ahead for each worker; 0 for long tasks."""
        each = self._rate / max(1, workers)
        return min(_DEEPEST, max(int(each * _LYING), int(each * _SHORT > 1)))

    def long(self, workers: int) -> float:
        """Return the seconds after which a task is long, so orders behind it move on."""
        each = max(self._rate / max(1, workers), 1 / _SHORT)
        return max(_LONG, _LONGER / each)

    def rest(self, ahead: int, workers: int) -> float:
        """Return for how many seconds the loop may rest.

        Args:
            ahead: jobs ahead for the worker that has the fewest.
            workers: how many they are.
        """
        if not ahead or ahead * workers < self._rate * 2 * _REST:
            return 0.0
        return _REST
