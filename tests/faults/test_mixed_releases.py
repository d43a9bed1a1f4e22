"""A site whose processes are of two releases, as in a deploy: nothing is lost between them."""

from __future__ import annotations

import pytest
from chores.ledger import wait_for
from django.core.management import call_command
from django.db import connection
from support.release_before import release_before

from qcore.models import Quarantine
from qcore.runtime import current
from qcore.tasks import async_task, fetch
from qcore.testing.cluster import LiveCluster
from qcore.testing.database import connected
from qcore_orm.models import OrmQ

#: The same for every Python and every Django.
pytestmark = [pytest.mark.once, pytest.mark.live]

QUICK = {"workers": 1, "guard_cycle": 0.1, "poll": 0.02, "retry": 60}
FUNC = "chores.kind.add"

SEND = """
from qcore.tasks import async_task
print(async_task("chores.kind.add", {0}))
"""


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Release 2.0."""
    return release_before(tmp_path_factory.mktemp("releases") / "before")


@pytest.fixture
def path(tmp_path, django_db_blocker):
    """A database file that is empty, and that this process is connected to."""
    path = tmp_path / "site.sqlite3"
    with django_db_blocker.unblock(), connected(path):
        yield path


@pytest.fixture(params=["2.0", pytest.param("today", marks=pytest.mark.slow)])
def site(request, before, path, tmp_path):
    """The tables of a site: those of release 2.0 at first, or those of today."""
    if request.param == "today":
        call_command("migrate", verbosity=0)
    else:
        migrate = "from django.core.management import call_command\n"
        before.run(f"{migrate}call_command('migrate', verbosity=0)", tmp_path)
    return request.param


@pytest.mark.fault("J17")
def test_a_site_of_two_releases_loses_nothing(before, site, tmp_path):
    """Each runs what the other one sends; what only today's can run waits for it."""
    with before.cluster(**QUICK) as old:
        ids = [before.run(SEND.format(1), tmp_path)]
        wait_for(lambda: ended(ids[0]), 60.0, "end of a task of its own")
        if site == "2.0":  # under the running cluster
            call_command("migrate", verbosity=0)
        current.reset()
        ids.append(async_task(FUNC, 2))
        wait_for(lambda: ended(ids[1]), 60.0, "end of a task of today's release")
        # it needs a plugin, of which release 2.0 knows nothing
        bound = async_task(FUNC, 3, q_options={"unique": "a site"})
        # it needs none, and would run too late there
        late = async_task(FUNC, 3, expires=86400)
        old.wait_for(lambda: old.log.count("has version 2") >= 2)
        wait_for(lambda: OrmQ.objects.filter(claimed=False).count() == 2)
        ids.append(before.run(SEND.format(4), tmp_path))
        wait_for(lambda: ended(ids[2]), 60.0, "end of another task")
        # as if the pause were over for which it was given back
        with LiveCluster(**QUICK) as new:
            for _ in range(2):  # whoever claims it first
                ids.append(before.run(SEND.format(5), tmp_path))
                ids.append(async_task(FUNC, 6))
            for id in ids:
                wait_for(lambda id=id: ended(id), 60.0, f"end of {id}")
            assert old.stop() == 0
            OrmQ.objects.update(visible=0)
            wait_for(lambda: ended(bound), 60.0, "end of the task that needs a plugin")
            wait_for(lambda: ended(late), 60.0, "end of the task that may expire")
            new.wait_idle()
    assert [fetch(id).attempt_count for id in ids] == [1] * len(ids)
    # however often the cluster of 2.0 has given it back
    assert fetch(late).attempt_count == 2
    assert not Quarantine.objects.exists()


def ended(task_id):
    """Whether a task has succeeded; the table may be that of release 2.0."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT success FROM qcore_task WHERE id = %s", [task_id])
        return any(success for (success,) in cursor.fetchall())
