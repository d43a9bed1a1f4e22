"""One contender with services of its own: it is asked, started, watched and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contenders import Contender, load
from turn import Turn
from work import count_records, read_records

from qcore.monitor.memory import usage
from qcore.processes import tree

if TYPE_CHECKING:
    from stores import Store

HERE = Path(__file__).parent
#: Seconds for one answer of a producer: a hundred thousand slow enqueues.
_ANSWER = 900
#: Seconds until a worker process that is told to end is killed.
_GRACE = 3.0
#: Seconds until a service manager starts again what has ended: systemd's example.
_RESTART = 1.0
#: A tree is quiet when for this long, in seconds, it uses less than a share of a core.
_QUIET_FOR, _QUIET_SHARE, _LOOK_EVERY = 0.4, 0.1, 0.1


class _Look(NamedTuple):
    """The tree of a peer at one moment."""

    at: float
    cpu: float
    runnable: bool  # something of it, or of its servers, runs or waits for a processor


class PeerFailed(Exception):
    """A peer did not do what it was asked; the message holds what it wrote."""


class Run:
    """A contender in one round or in several; each begins with ``fresh``."""

    def __init__(
        self, contender: Contender, programs: Path, store: Store, *, number: int
    ) -> None:
        self.contender = contender
        self.store = store
        self._programs = programs
        self._redis = store.redis_url(number)
        self.records = store.folder / f"{contender.label}.records"
        self._output = store.folder / f"{contender.label}.output"
        self._workers: list[subprocess.Popen[bytes]] = []
        self._commands: list[list[str]] = []
        self._ended: list[int] = []  # what was started again; it may have left children
        self._asked_for = 2  # workers
        self._supervised = False
        self.restarts = 0

    # -- its services -------------------------------------------------------------
    def fresh(self, template: str | None = None) -> None:
        """Empty its queue, its database and its records."""
        self.stop()
        self.records.unlink(missing_ok=True)
        self._output.write_text("")
        self.store.flush(self._redis)
        self.store.create(self.contender.label, template or self.template())

    def template(self) -> str:
        """Return the database with its empty tables, made once."""
        name = f"{self.contender.label}_tables"
        made = self.store.folder / f"{name}.made"
        if not made.exists():
            self.store.create(name)
            self.ask("setup", database=name)
            made.touch()
        return name

    def turn(self, workers: int = 2, database: str | None = None) -> Turn:
        """Return what its processes are told."""
        peer = load(self.contender.peer)
        options = self.contender.options
        bare = Turn(
            peer=self.contender.peer,
            store=self.store.name,
            redis=self._redis,
            database=self.store.database(
                database or self.contender.label, options.get("conn_max_age")
            ),
            records=str(self.records),
            workers=workers,
            options=options,
            apps=peer.APPS,
        )
        return Turn(
            **{field: getattr(bare, field) for field in Turn.__slots__}
            | {"settings": peer.settings(bare)}
        )

    # -- its producer -------------------------------------------------------------
    def ask(
        self, action: str, *, database: str | None = None, **words: Any
    ) -> dict[str, Any]:
        """Let a process of its environment do something, and return the answer."""
        command = [str(self._programs / "python"), str(HERE / "producer.py"), action]
        done = subprocess.run(
            [*command, json.dumps(words)],
            env=self._environment(self.turn(database=database)),
            capture_output=True,
            text=True,
            timeout=_ANSWER,
            check=False,
        )
        if done.returncode:
            raise PeerFailed(f"{self.contender.name}: {action}:\n{done.stderr[-2000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def enqueue(self, count: int, kind: str = "noop", base: int = 0) -> dict[str, Any]:
        """Enqueue one by one."""
        return self.ask("enqueue", kind=kind, count=count, base=base)

    # -- its workers --------------------------------------------------------------
    def start(
        self, workers: int = 2, *, copies: int = 1, supervised: bool = False
    ) -> float:
        """Start its workers, ``copies`` times over, and return when.

        With ``supervised``, what ends is started again after a second while something
        is waited for, as a service manager would.
        """
        began = time.time()
        self._asked_for, self._supervised, self.restarts = workers, supervised, 0
        self._commands = load(self.contender.peer).workers(self.turn(workers)) * copies
        self._workers = [self._spawn(command) for command in self._commands]
        return began

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [str(self._programs / command[0]), *command[1:]],
                env=self._environment(self.turn(self._asked_for)),
                cwd=self.store.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def tend(self) -> None:
        """Start again what has ended, or say that it has.

        Raises:
            PeerFailed: it has, and nobody supervises it.
        """
        if self.alive():
            return
        if not self._supervised:
            raise PeerFailed(f"{self.contender.name}: {self.output()}")
        time.sleep(_RESTART)
        for number, worker in enumerate(self._workers):
            if worker.poll() is not None:
                self._ended.append(worker.pid)
                self._workers[number] = self._spawn(self._commands[number])
                self.restarts += 1

    @property
    def roots(self) -> list[int]:
        """The processes that were started."""
        return [worker.pid for worker in self._workers]

    def cpu(self) -> float:
        """Return the seconds of CPU that its tree has used, with ended children."""
        return sum(process.cpu for process in tree(self.roots))

    def memory(self) -> float:
        """Return the proportional memory of its tree, MiB."""
        return sum(usage(process.pid)[1] or 0 for process in tree(self.roots)) / 1024

    def alive(self) -> bool:
        """Whether everything that was started still runs."""
        return all(worker.poll() is None for worker in self._workers)

    def stop(self, grace: float = _GRACE) -> None:
        """End its workers; what does not end in ``grace`` seconds is killed."""
        families = [*self.roots, *self._ended]
        family = tree(families)
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + grace
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.0, deadline - time.monotonic()))
        for process in {*family, *tree(families)}:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        for worker in self._workers:
            worker.wait()
        self._workers, self._ended = [], []

    # -- what it has done ---------------------------------------------------------
    def wait_for(self, count: int, seconds: float, step: float = 0.01) -> bool:
        """Wait until so many records are there; False when time is up."""
        deadline = time.monotonic() + seconds
        while count_records(self.records) < count:
            if time.monotonic() > deadline:
                return False
            self.tend()
            time.sleep(step)
        return True

    def wait_started(self, seconds: float = 40.0) -> None:
        """Wait for the first record."""
        if not self.wait_for(1, seconds, 0.002):
            raise PeerFailed(f"{self.contender.name} runs nothing: {self.output()}")

    def wait_quiet(self, seconds: float = 60.0) -> float:
        """Wait until its tree rests, and return since when it has.

        What waits for a processor does not rest, however little it uses.
        """
        deadline = time.monotonic() + seconds
        looks = [self._look()]
        while time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)
            looks.append(self._look())
            window = [k for k in looks if looks[-1].at - k.at <= _QUIET_FOR]
            first, last = window[0], window[-1]
            if len(window) == len(looks) or any(look.runnable for look in window[1:]):
                continue
            if last.cpu - first.cpu < _QUIET_SHARE * (last.at - first.at):
                return first.at
        return time.time()

    def _look(self) -> _Look:
        found = tree([*self.roots, *self.store.pids])
        own = tree(self.roots, found)
        runnable = any(process.state in "RD" for process in found)
        return _Look(time.time(), sum(process.cpu for process in own), runnable)

    def output(self) -> str:
        """Return the end of what its workers have written."""
        return self._output.read_text(errors="replace")[-2000:]

    def ended(self) -> list[Any]:
        """Return the records of tasks that ended."""
        return [r for r in read_records(self.records) if r.mark == "E"]

    def _environment(self, turn: Turn) -> dict[str, str]:
        inherited = dict(os.environ)
        # installed packages have their bytecode; what compiles its source in memory,
        # at every start, is slower and larger than anybody's is
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        path = os.pathsep.join([str(self._programs), inherited.get("PATH", "")])
        return {
            **inherited,
            **turn.environment(),
            "PATH": path,
            "PYTHONPATH": str(HERE),
            "PYTHONUNBUFFERED": "1",
            "C_FORCE_ROOT": "1",  # Celery's leave to run as root
        }
