from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcore.engine.wire.messages import (
    END,
    FOLLOW_UP,
    HEAD_SIZE,
    HOOK,
    LINK,
    PACKED_END,
    READY,
    RUN,
    Drained,
    Kill,
    Ready,
    ReplaceWorkers,
    Reply,
    Stop,
    WorkerExited,
    WorkerStarted,
    number_of,
    pack_control,
    pack_follow_up,
    pack_reply,
    pack_run,
    unpack_control,
    unpack_order,
    unpack_reply,
)
from qcore.envelope import Attempt, Outcome

counts = st.integers(0, 2**32 - 1)
moments = st.floats(0, 2e9)
attempts = st.builds(
    Attempt, st.text(), st.binary(max_size=400), st.text(), moments, moments
)


@given(package=st.binary(max_size=300), attempt=counts, number=counts)
def test_run(package, attempt, number):
    frame = pack_run(package, attempt, number)
    order = unpack_order(frame)
    assert (order.kind, order.attempt, order.package) == (RUN, attempt, package)
    assert order.ended is None
    assert order.number == number_of(frame[:HEAD_SIZE]) == number


@given(package=st.binary(max_size=300), attempt=counts, number=counts, ended=attempts)
def test_follow_up(package, attempt, number, ended):
    frame = pack_follow_up(package, attempt, number, ended)
    order = unpack_order(frame)
    assert (order.kind, order.attempt) == (FOLLOW_UP, attempt)
    assert (order.package, order.ended) == (package, ended)
    assert order.number == number_of(frame[:HEAD_SIZE]) == number


def test_a_follow_up_without_the_hook():
    ended = Attempt(Outcome.SUCCESS, b"7", "json", 1.0, 2.0)
    order = unpack_order(pack_follow_up(b"package", 1, 2, ended, link=False))
    assert (order.kind, order.package, order.ended) == (HOOK, b"package", ended)
    order = unpack_order(pack_follow_up(b"package", 1, 2, ended, hook=False))
    assert (order.kind, order.package, order.ended) == (LINK, b"package", ended)


def test_end():
    assert unpack_order(PACKED_END).kind == END


@given(
    st.builds(
        Reply,
        ended=st.none() | attempts,
        done=counts,
        rss=counts,
        retires=st.booleans(),
        next_package=st.none() | st.binary(max_size=300),
        order=counts,
    )
)
def test_reply(reply):
    assert unpack_reply(pack_reply(reply)) == reply


def test_the_first_word_is_a_reply_to_nothing():
    assert Reply(None, 0, 0) == READY


@pytest.mark.parametrize(
    "message",
    [
        WorkerStarted(7, 1, 3),
        WorkerExited(7, 9),
        WorkerExited(7, 9, killed=True),
        Ready(7),
        Stop(2.5),
        ReplaceWorkers(),
        Kill(7, 9),
        Drained(),
    ],
)
def test_control(message):
    assert unpack_control(pack_control(message)) == message
