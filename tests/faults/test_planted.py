"""The judge sees what is planted in the history of a real cluster."""

from __future__ import annotations

import pytest
import redis
from faults.evidence import history_of, send_naps, wait_until_forgotten
from faults.judge import check_history, judge

pytestmark = pytest.mark.once


@pytest.mark.fault("K2")
def test_a_planted_loss_and_a_planted_copy_are_seen(on_redis, ledger, key):
    """Somebody deletes a package and adds another one again: neither goes unnoticed."""
    place = on_redis
    sent = send_naps(place.queue, key, count=4, seconds=0)
    lost, copied = list(sent)[1:3]
    stream = f"{{qcore:{place.queue}}}:tasks"
    with redis.Redis(port=place.server.port) as client:
        entries = client.xrange(stream)
        client.xdel(stream, entries[1][0])
        cluster = place.start()
        cluster.wait_idle()
        rest = {id: key for id, key in sent.items() if id != lost}
        check_history(history_of(rest, ledger, place.queue))
        sent |= wait_until_forgotten(place.queue)
        client.xadd(stream, entries[2][1])
        ledger.wait(sent[copied], "ended", 2)
        cluster.wait_idle()
    complaints = sorted(judge(history_of(sent, ledger, place.queue)))
    assert len(complaints) == 2, complaints
    assert f"P1: {lost} has 0 final states" in complaints[0]
    assert f"P2: {sent[copied]} ran again and nothing had failed" in complaints[1]
