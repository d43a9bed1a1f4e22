"""Names of queues, groups and tasks, judged where they enter."""

from __future__ import annotations

import pytest
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from qcore.conf.names import LABEL, QUEUE, label_fault, near_queue, plain, queue_fault


class Unspeakable:
    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize("name", ["orders", "Zürich 7", "🐍", "a/b:c", "x" * QUEUE])
def test_good_names(name):
    assert queue_fault(name) == label_fault(name) == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (5, "is 5 (int), expected a text: '5'"),
        (True, "is True (bool), expected a text"),
        (b"orders", "is b'orders' (bytes), expected a text"),
        (None, "is None, expected a text"),
        ("", "is empty, expected a text of one character or more"),
        ("a\0b", "is 'a\\x00b' (str), expected a text without the character NUL"),
        ("\ud800", "is '\\ud800' (str), expected a text without lone surrogates"),
        (Unspeakable(), "is an object of type Unspeakable, expected a text"),
        (10**5000, "is an object of type int, expected a text"),
    ],
    ids=range(9),
)
def test_bad_names(name, told):
    assert queue_fault(name) == label_fault(name) == told


def test_names_that_are_too_long():
    assert "has 256 characters, expected up to 255" in queue_fault("x" * (QUEUE + 1))
    assert "has 1,001 characters" in label_fault("x" * (LABEL + 1))


@given(st.text())
def test_what_is_not_refused_can_be_written(name):
    if not queue_fault(name):
        assert name.encode().decode() == name
        assert "\0" not in name


def test_a_text_of_another_type_becomes_plain():
    assert type(plain(mark_safe("orders"))) is str
    assert not queue_fault(mark_safe("orders"))


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("urgnet", ["shop", "urgent"], "urgent"),
        ("Urgent", ["urgent"], "urgent"),
        ("urgents", ["urgent"], "urgent"),
        ("mial", ["mail"], "mail"),
        ("lwo", ["low"], "low"),
        ("defualt", ["default"], "default"),
    ],
)
def test_a_slip_of_the_keyboard_is_suspected(name, known, meant):
    assert near_queue(name, known) == f" - did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("urgent", ["urgent", "urgnet"]),  # it is known itself
        ("shop-low", ["shop"]),
        ("shop-2", ["shop-1", "shop"]),
        ("low", ["high"]),
        ("7", ["8"]),
        ("urgent", []),
    ],
)
def test_a_queue_of_its_own_is_not_suspected(name, known):
    assert near_queue(name, known) == ""
