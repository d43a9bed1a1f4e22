"""What the tests of the cluster contract share: fixtures, and waiting with an end."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ....brokers.base import Broker
from ....errors import BrokerError, BrokerUnavailable
from ....results.base import Record
from ....runtime import current
from ....tasks import async_task, fetch
from ...cluster import LiveCluster
from ...database import connected, entry, migrate
from ...ledger import VARIABLE, Ledger
from ...speed import stretched
from ..restarts import RestartService, restart

#: ``start_cluster(**options)``, with keys of Q_CLUSTER, returns a complete cluster.
Start = Callable[..., LiveCluster]

NAP = "qcore.testing.contracts.clusters.tasks.nap"
# Short enough for a test to wait for, long enough for a busy machine.
_QUICK = {"workers": 2, "guard_cycle": 0.1, "poll": 0.02, "grace": 0.5}
_NO_SETTINGS = """\
ClusterContract starts clusters of a Django project, and these tests have no settings.
Name a settings module in pyproject.toml: the one of qcore.testing, or another one with
"qcore" in INSTALLED_APPS:

    [tool.pytest.ini_options]
    DJANGO_SETTINGS_MODULE = "qcore.testing.project"
"""
_MIGRATED = pytest.StashKey[Path]()


class LiveCase:
    """Fixtures and helpers; the attributes may be overridden by a plugin's tests."""

    #: Seconds of a lease in tests that wait for its end; what the service allows.
    lease: ClassVar[float] = 3.0
    #: Seconds of a lease that ends in no test.
    long_lease: ClassVar[float] = 60.0
    #: Seconds that a slow service gets beyond what is promised; a busy machine gets
    #: more by itself.
    patience: ClassVar[float] = 20.0
    #: How many times longer a test is than usual; see `begun_again_when_late`.
    stretch: float = 1.0
    #: Leases that a long task takes: more than one, by what another cluster needs to
    #: notice that one is over.
    outlast: ClassVar[float] = 1.6
    #: Whether the first call after a restart of the service succeeds. Off where it may
    #: raise BrokerUnavailable, and a later one succeeds.
    heals_at_once: ClassVar[bool] = True
    #: A password in `q_cluster`; no log of a cluster may hold it.
    secret: ClassVar[str | None] = None

    # -- fixtures of the plugin's author -------------------------------------
    @pytest.fixture
    def q_cluster(self) -> Mapping[str, Any]:
        """Return the keys of ``Q_CLUSTER`` that lead to the running service.

        Values are literals, for they are written into a file. The contract adds a
        ``name`` of its own, which makes a fresh queue.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define the fixture q_cluster;"
            " see qcore.testing.contracts.clusters"
        )

    @pytest.fixture
    def restart_service(self) -> RestartService:
        """Return a callable ``(kill)`` that ends the service and starts it again.

        With ``kill`` it ends by SIGKILL, else in order; it returns when the service
        answers on the address it had. The contract sees that connections have ended.

        Where a broker keeps no connection, the callable returns a context manager: the
        service is away within its ``with`` block, and answers again after that.
        """
        pytest.skip("the plugin's tests give no restart_service")

    @pytest.fixture
    def databases(self) -> Mapping[str, Mapping[str, Any]]:
        """Return entries of ``DATABASES`` that the broker needs, by alias."""
        return {}

    # -- fixtures of the contract --------------------------------------------
    @pytest.fixture
    def restart(
        self, restart_service: RestartService, project: object
    ) -> Callable[[bool], None]:
        """Restart the service, and fail where it was not away."""

        def connect() -> Broker:
            return type(current.broker())(current.conf)

        return lambda kill: restart(restart_service, kill, connect)

    @pytest.fixture
    def ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
        """What the tasks of the test have done."""
        monkeypatch.setenv(VARIABLE, str(tmp_path / "ledger"))
        return Ledger.of_this_process()

    @pytest.fixture
    def _blocker(self, request: pytest.FixtureRequest) -> Any:
        """What keeps pytest-django's tests from databases; None: it has no settings."""
        try:
            return request.getfixturevalue("django_db_blocker")
        except pytest.FixtureLookupError:
            pytest.fail(
                "ClusterContract needs pytest-django. Run: pip install pytest-django",
                pytrace=False,
            )

    @pytest.fixture
    def results_file(
        self,
        request: pytest.FixtureRequest,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        _blocker: Any,
    ) -> Iterator[Path]:
        """The test's own database, an SQLite file; the alias ``default`` leads there."""
        if _blocker is None:  # so pytest-django says that there are no settings
            pytest.fail(_NO_SETTINGS, pytrace=False)
        with _blocker.unblock():
            stash = request.config.stash
            if _MIGRATED not in stash:
                made = tmp_path_factory.mktemp("migrated") / "empty.sqlite3"
                migrate(made)
                stash[_MIGRATED] = made
            path = tmp_path / "results.sqlite3"
            shutil.copy(stash[_MIGRATED], path)
            with connected(path):
                yield path

    @pytest.fixture
    def project(
        self, q_cluster: Mapping[str, Any], results_file: Path
    ) -> Iterator[Mapping[str, Any]]:
        """The value of ``Q_CLUSTER`` in this process, with a queue that nobody has used.

        The queue is deleted after the test where the broker can do that.
        """
        from django.test import override_settings

        name = f"live-{secrets.token_hex(6)}"
        value = {"name": name, "retry": self.lease, **_QUICK, **q_cluster}
        with override_settings(Q_CLUSTER=value):
            yield value
            with suppress(BrokerError):  # deleting queues has tests of its own
                current.broker().delete_queue()
            current.close()

    @pytest.fixture
    def start_cluster(
        self,
        project: Mapping[str, Any],
        databases: Mapping[str, Mapping[str, Any]],
        results_file: Path,
        ledger: Ledger,
    ) -> Iterator[Start]:
        """Start clusters; this process and they have the same settings."""
        from django.test import override_settings

        entries = {"default": entry(results_file), **databases}
        started: list[LiveCluster] = []
        with ExitStack() as stack:

            def start(**options: Any) -> LiveCluster:
                current.close()  # the change of settings forgets what is open
                changed = override_settings(Q_CLUSTER={**project, **options})
                stack.enter_context(changed)
                cluster = LiveCluster(django={"DATABASES": entries})
                stack.callback(cluster.close)
                started.append(cluster)
                cluster.start()
                return cluster

            yield start
            current.close()
            if self.secret is not None:
                assert [c for c in started if self.secret in c.log] == []

    # -- helpers ---------------------------------------------------------------
    @property
    def long_term(self) -> float:
        """Seconds of a lease that ends in no test, as slow as the machine is."""
        return stretched(self.long_lease)

    def require(self, *flags: str) -> None:
        """Skip the test unless the project's broker has all of these capabilities."""
        for flag in flags:
            if not self.has(flag):
                pytest.skip(f"{type(current.broker()).__name__} has no {flag}")

    def has(self, flag: str) -> bool:
        """Whether the project's broker has a capability."""
        return bool(getattr(current.broker(), f"supports_{flag}"))

    def send(self, numbers: Iterable[int], seconds: float = 0) -> list[str]:
        """Send naps with these numbers as their values, and return their ids.

        The key of each in the ledger is its value as text.
        """
        return [async_task(NAP, str(number), seconds, number) for number in numbers]

    def insist(self, cluster: LiveCluster, send: Callable[[], str]) -> str:
        """Send a task after a restart of the service, and return its id."""
        if self.heals_at_once:
            return send()

        def attempt() -> str:
            with suppress(BrokerUnavailable):
                return send()
            return ""

        return cluster.wait_for(attempt, self.patience, "a task can be sent")

    def wait_success(self, cluster: LiveCluster, task_id: str) -> Record:
        """Wait until a task has succeeded, and return its record."""

        def succeeded() -> Record | None:
            record = fetch(task_id)
            return record if record is not None and record.success else None

        seconds = self._lease_of(cluster) + self.patience
        found = cluster.wait_for(succeeded, seconds, f"{task_id} has succeeded")
        assert found is not None
        return found

    def assert_ended(
        self, cluster: LiveCluster, ledger: Ledger, ids: Sequence[str]
    ) -> None:
        """Wait until each of these tasks, numbered from 0, ended with its number.

        None may have run to its end more often than the broker has delivered it.
        """
        for number, task_id in enumerate(ids):
            record = self.wait_success(cluster, task_id)
            assert record.result == number
            runs = len(ledger.entries(str(number), "ended"))
            assert 1 <= runs <= record.attempt_count, f"{number} ran {runs} times"

    def wait_empty(self, cluster: LiveCluster) -> None:
        """Wait until nothing waits in the queue and nothing is claimed.

        To be overridden where the broker cannot count and the service can.
        """
        if self.has("counts"):
            cluster.wait_idle(self._lease_of(cluster) + self.patience)

    def _lease_of(self, cluster: LiveCluster) -> float:
        """Return the seconds of a lease that may have to end in the test.

        It was stretched when the cluster was started, and the machine may be calm now.
        """
        lease = cluster.conf.lease
        return lease if lease < self.long_lease else self.lease
