"""The log of finished tasks: a retry is a line, and the end of a task has its traceback."""

from __future__ import annotations

import logging

import pytest

from qcore.engine.dispatcher.job import Job
from qcore.engine.dispatcher.result_log import log_results
from qcore.engine.dispatcher.retries import Decision
from qcore.envelope import Attempt, Delivery, Options, Outcome, Task, new_id

TEXT = (
    'ValueError: no\n\nTraceback (most recent call last):\n  File "x.py", line 1, in f'
)


def _job(attempt, decision, *, again=None, **options):
    task = Task(
        id=new_id(), name="n", func="shop.tasks.add", queue="q", created=0.0,
        content="json", body=b"[[], {}]", options=Options(**options),
    )  # fmt: skip
    job = Job(task, Delivery("receipt", b"", attempt, 0.0))
    final = decision is Decision.DONE
    job.ended = Attempt.failed(Outcome.FAILURE, TEXT, 1.0, 2.0)
    job.result = job.ended.result(task, attempt, final=final)
    job.decision, job.again = decision, again
    return job


@pytest.mark.parametrize(
    ("decision", "again", "told"),
    [
        (
            Decision.AFTER,
            30.0,
            "attempt=2/5 id={}: ValueError: no; tried again in 30 s",
        ),
        (Decision.MOVE, 7200.0, "tried again in 7,200 s"),
        (Decision.AT_ONCE, None, "tried again now"),
        (Decision.LATER, None, "tried again when its lease ends"),
    ],
)
def test_a_retry_is_one_line_with_its_number_and_its_time(
    caplog, decision, again, told
):
    job = _job(2, decision, again=again)
    with caplog.at_level(logging.WARNING, "qcore.recorder"):
        log_results([job.result], [job], 5)
    (record,) = caplog.records
    assert told.format(job.task.id) in record.getMessage()
    assert record.exc_text is None


def test_the_last_attempt_has_its_traceback(caplog):
    job = _job(3, Decision.DONE, max_attempts=3)
    log_results([job.result], [job], 0)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"attempt=3/3 id={job.task.id}: ValueError: no")
    assert record.exc_text.startswith("Traceback")


def test_without_a_last_attempt_the_first_has_it(caplog):
    jobs = [_job(attempt, Decision.LATER) for attempt in (1, 2, 3)]
    log_results([job.result for job in jobs], jobs, 0)
    assert [record.exc_text is None for record in caplog.records] == [False, True, True]
    assert "attempt=2 id=" in caplog.records[1].getMessage()
