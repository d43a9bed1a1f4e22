"""What a cluster is put together from, all of it in memory, with switches to break it."""

from __future__ import annotations

from typing import Any

from qcore.brokers.memory import MemoryBroker
from qcore.conf import Conf
from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.lifecycle import JobState
from qcore.engine.dispatcher.state import SharedState
from qcore.engine.services import Services
from qcore.envelope import Attempt, Outcome, Task, new_id
from qcore.errors import QcoreError, StoreError, StoreRefused, StoreUnavailable
from qcore.results.base import ResultStore
from qcore.results.memory import MemoryStore
from qcore.results.routed import CACHE, DATABASE, RoutedStore
from qcore.signing import Signer


class FakeServices:
    """Broker, store and signer of one test; ``failures`` are raised one by one.

    ``failures`` holds, for "save", "acknowledge", "enqueue" and so on, the exceptions
    that the next calls of that kind raise. ``calls`` is the order of what was done.
    """

    def __init__(self, queue: str, **settings: Any) -> None:
        self.conf = Conf(**({"retry": 30.0, "renew": True} | settings))
        self.signer = Signer(["secret"], self.conf.name)
        self.queue = queue
        self.shared = _Shared()
        self.ready = FakeReadyQueue()
        self.failures: dict[str, list[Exception]] = {}
        self.calls: list[str] = []
        self.notified: list[tuple[str, dict[str, Any]]] = []
        self.broker = _Broker(self)
        self.store = _Store(self)
        self.cached: ResultStore | None = self.store  # where cached results go
        self.results = RoutedStore(
            self.conf, {DATABASE: lambda: self.store, CACHE: self._make_cached}
        )
        self.services = Services(
            conf=self.conf,
            version="2",
            make_broker=lambda: self.broker,
            make_store=lambda: self.results,
            make_scheduler=lambda: None,  # type: ignore[arg-type, return-value]
            verify=lambda package: self.signer.verify(package, queue),
            sign=self.signer.sign,
            notify=lambda hook, **given: self.notified.append((hook, given)),
        )

    def _make_cached(self) -> ResultStore:
        assert self.cached is not None, "nobody is to ask the cache"
        return self.cached

    def did(self, what: str) -> None:
        """Note a call, and raise what was put there for it."""
        self.calls.append(what)
        if waiting := self.failures.get(what):
            raise waiting.pop(0)

    def task(self, **fields: Any) -> Task:
        """Return a task of this queue."""
        given = {
            "id": new_id(),
            "name": "n",
            "func": "a.b",
            "queue": self.queue,
            "created": 0.0,
            "content": "json",
            "body": b"[[],{}]",
        }
        return Task(**(given | fields))

    def send(self, **fields: Any) -> Task:
        """Put a task into the queue."""
        task = self.task(**fields)
        MemoryBroker.enqueue_many(self.broker, [self.signer.sign(task)])
        return task

    def claim(self, **fields: Any) -> Job:
        """Send a task and claim it, as the pusher does."""
        task = self.send(**fields)
        (delivery,) = MemoryBroker.dequeue(self.broker, 1)
        job = Job(task, delivery)
        self.shared.held.add(job)
        return job

    def waiting_job(self, **fields: Any) -> Job:
        """Claim a task, and have it wait for a worker."""
        job = self.claim(**fields)
        job.move(JobState.READY)
        return job

    def running(self, **fields: Any) -> Job:
        """Claim a task, and have it begun."""
        return begun(self.claim(**fields))

    def ended(
        self, outcome: str = Outcome.SUCCESS, value: bytes = b"7", **fields: Any
    ) -> Job:
        """Claim a task, and have its worker say how it has ended."""
        job = self.running(**fields)
        content = "json" if outcome == Outcome.SUCCESS else "text"
        job.ended = Attempt(outcome, value, content, 1.0, 2.0)
        return job

    def problems_of(self, who: str) -> list[str]:
        """Return every problem that a thread had so far, those that are over as well.

        A thread tries again soon: a problem may come and go between two looks at
        ``shared.problems``.
        """
        return [why for thread, why in self.shared.every_problem if thread == who]

    @property
    def waiting(self) -> int:
        """How many packages could be claimed."""
        return self.broker.queue_size()

    @property
    def claimed(self) -> int:
        """How many are claimed."""
        return self.broker.lock_size()


def begun(job: Job) -> Job:
    """Have a worker begin a job that was claimed just now."""
    job.move(JobState.READY)
    job.move(JobState.RUNNING)
    return job


class FakeReadyQueue:
    """Takes jobs for a loop that is not there; ``wakes`` is how often it was woken."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.wakes = 0

    def put(self, job: Job) -> None:
        job.move(JobState.READY)
        self.jobs.append(job)

    def put_back(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.put(job)

    def wake(self) -> None:
        self.wakes += 1


class Receiver:
    """Takes jobs from a pusher in the place of the loop."""

    def __init__(self) -> None:
        self.given: list[Job] = []
        self.finished: list[tuple[Job, Attempt]] = []
        self.dropped: list[Job] = []
        self.ended: list[tuple[Job, Attempt]] = []

    def receive(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.move(JobState.READY)
        self.given += jobs

    def receive_finished(self, job: Job, end: Attempt) -> None:
        job.move(JobState.STORED)
        self.finished.append((job, end))

    def receive_dropped(self, job: Job) -> None:
        job.move(JobState.STORED)
        self.dropped.append(job)

    def receive_ended(self, job: Job, end: Attempt) -> None:
        job.move(JobState.ENDED)
        self.ended.append((job, end))


class _Shared(SharedState):
    """Remembers every problem that was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.every_problem: list[tuple[str, str]] = []

    def report_problem(self, who: str, why: str) -> None:
        super().report_problem(who, why)
        self.every_problem.append((who, self.problems.get(who, why)))


class _Broker(MemoryBroker):
    def __init__(self, fakes: FakeServices) -> None:
        super().__init__(fakes.conf, fakes.queue)
        self._fakes = fakes

    def enqueue_many(self, packages, *, delay=0):
        self._fakes.did("enqueue")
        return super().enqueue_many(packages, delay=delay)

    def dequeue(self, limit=1, wait=0):
        self._fakes.did("dequeue")
        return super().dequeue(limit, min(wait, 0.01))

    def acknowledge_many(self, receipts):
        self._fakes.did("acknowledge")
        super().acknowledge_many(receipts)

    def release(self, receipts, *, delay=0):
        self._fakes.did("release")
        super().release(receipts, delay=delay)

    def extend(self, receipts):
        self._fakes.did("extend")
        return super().extend(receipts)


class _Store(MemoryStore):
    """Refuses some results for good; its errors are of every kind that stores have.

    A value that has ``b"unstorable"`` raises ValueError, as in a store with a bug; one
    that has ``b"refused"`` StoreRefused; one that has ``b"unclear"`` StoreError, and one
    that has ``b"cutting"`` StoreUnavailable. A name that has ``"unstorable"`` or is not
    ASCII is refused with whatever value.
    """

    def __init__(self, fakes: FakeServices) -> None:
        super().__init__(fakes.conf)
        self._fakes = fakes
        self.aside: list[tuple[str, str]] = []
        self.sizes: list[int] = []  # of the batches that it was asked to save

    def save(self, results):
        self._fakes.did("save")
        self.sizes.append(len(results))
        for result in results:
            name = result.task.name
            if b"unstorable" in result.value or "unstorable" in name:
                raise ValueError("this cannot be stored")
            if b"refused" in result.value or not name.isascii():
                raise StoreRefused("no store takes this")
            if b"unclear" in result.value:
                raise StoreError("something is wrong")
            if b"cutting" in result.value:
                raise StoreUnavailable("connection closed by server")
        super().save(results)

    def ping(self):
        self._fakes.did("ping")

    def separate(self, group):
        self._fakes.did("separate")
        super().separate(group)

    def finished(self, ids):
        self._fakes.did("finished")
        return super().finished(ids)

    def collate(self, group, count):
        self._fakes.did("collate")
        return super().collate(group, count)

    def quarantine(self, queue, package, reason, detail):
        self._fakes.did("quarantine")
        self.aside.append((queue, reason))


class Broken(QcoreError):
    """An error that passes."""
