"""Typed tasks: arguments are checked at the call, and are what was annotated at the run."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Literal

import pytest
from chores import with_types
from chores.with_types import Customer, Line, Order, Own, Point, Size
from django.test import override_settings

from qcore.errors import EnqueueError
from qcore.runtime import current
from qcore.tasks import (
    async_chain,
    async_task,
    async_task_many,
    fetch,
    fetch_group,
    result,
    result_group,
)
from qcore.testing.drain import drain, enqueued

QUEUE = {
    "name": "tests",
    "broker_class": "qcore.brokers.memory.MemoryBroker",
    "commit": "now",
    "max_attempts": 1,
}
PLACED = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
ORDER = Order(7, [Line("pen", 2, decimal.Decimal("1.50"))], PLACED, Size.LARGE)


@pytest.fixture(autouse=True)
def queue(db):
    with override_settings(Q_CLUSTER=QUEUE):
        current.broker().purge_queue()
        with_types.seen.clear()
        yield
        current.broker().purge_queue()


def seen():
    (found,) = with_types.seen
    return found


def test_dataclasses_and_structs_travel_as_data():
    with_types.place.enqueue(ORDER, Line("ink", 1), note="x", a=Point(1, 2.5))
    drain()
    assert seen() == (ORDER, (Line("ink", 1),), "x", {"a": Point(1.0, 2.5)})


def test_models_of_pydantic_travel_as_data():
    customer = Customer(name="Ada", age=36, since=dt.date(1842, 1, 1))
    with_types.greet.enqueue(customer, 5)
    drain()
    assert seen() == (customer, 5)


def test_containers_are_what_was_annotated():
    customers = {3: Customer(name="Ada", age=36)}
    with_types.collect.enqueue({"a", "b"}, customers)
    drain()
    assert seen() == ({"a", "b"}, customers)


def test_plain_data_becomes_what_is_annotated():
    lines = [{"article": "pen", "count": 1}]
    with_types.place.enqueue({"number": 1, "lines": lines})  # type: ignore[arg-type]
    drain()
    assert seen()[0] == Order(1, [Line("pen", 1)])


def test_a_result_is_data():
    task_id = with_types.place.enqueue(ORDER)
    drain()
    assert result(str(task_id)) == {
        "number": 7,
        "lines": [{"article": "pen", "count": 2, "price": decimal.Decimal("1.50")}],
        "placed": PLACED,
        "size": "l",
    }


def test_a_plain_function_by_an_option():
    async_task("chores.with_types.plain", ORDER, q_options={"typed": True})
    drain()
    assert seen() == ORDER


def test_calls_of_a_typed_task_are_sent_at_once():
    orders = [Order(n, []) for n in range(3)]
    async_task_many(with_types.place, [(order,) for order in orders])
    drain()
    assert [order for order, *_ in with_types.seen] == orders


def test_every_link_of_a_chain():
    points = {"a": Point(1, 2)}
    async_chain(
        [
            (with_types.place, (Order(1, []),)),
            (with_types.greet, (Customer(name="Ada", age=1),)),
            (with_types.place, (Order(2, []),), points),
        ]
    )
    drain()
    first, second, third = with_types.seen
    assert first[0] == Order(1, [])
    assert second[0] == Customer(name="Ada", age=1)
    assert (third[0], third[3]) == (Order(2, []), points)


def test_a_link_takes_a_result_as_its_annotation_says():
    group = async_chain(
        [(with_types.moved, (Point(1, 2), 1)), (with_types.moved, (10,))],
        pass_results=True,
    )
    with pytest.raises(EnqueueError, match="by"):
        async_chain(
            [(with_types.moved, (Point(1, 2), 1)), (with_types.moved, ("far",))],
            pass_results=True,
        )
    drain()
    assert with_types.seen == [Point(1, 2), Point(2, 2)]
    assert result_group(group)[-1] == {"x": 12, "y": 2}


def test_a_chain_that_is_typed_as_a_whole():
    link = ("chores.with_types.plain", (Order(2, []),))
    group = async_chain([link, link], q_options={"typed": True})
    drain()
    assert with_types.seen == [Order(2, [])] * 2
    assert [record.success for record in fetch_group(group)] == [True, True]


# -- bad input ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: with_types.place.enqueue(5),
            (
                "cannot send chores.with_types.place: its argument 'order' is not Order:"
                " Expected `object`, got `int`"
            ),
        ),
        (
            lambda: with_types.place.enqueue({"number": "7", "lines": []}),
            (
                "its argument 'order' is not Order: Expected `int`, got `str` - at"
                " `$.number`"
            ),
        ),
        (
            lambda: with_types.place.enqueue(Order("7", [])),
            "Expected `int`, got `str` - at `$.number`",
        ),
        (
            lambda: with_types.place.enqueue(ORDER, Line("a", None)),
            "its argument 'more' is not Line: Expected `int`, got `null` - at `$.count`",
        ),
        (
            lambda: with_types.place.enqueue(ORDER, note=5),
            "its argument 'note' is not str: Expected `str`, got `int`",
        ),
        (
            lambda: with_types.place.enqueue(ORDER, p=Point("a", 1)),
            "its argument 'p' is not Point: Expected `float`, got `str` - at `$.x`",
        ),
        (
            lambda: with_types.greet.enqueue({"name": "Ada", "age": -1}),
            (
                "its argument 'customer' is not Customer: age: Input should be greater than"
                " or equal to 0"
            ),
        ),
        (with_types.place.enqueue, "missing a required argument: 'order'"),
        (
            lambda: with_types.takes_own.enqueue(Own()),
            "its argument 'value' is not Own: a value of type Own cannot be sent",
        ),
        (
            lambda: with_types.takes_own.enqueue({}),
            (
                "annotations of typed tasks are types of data, dataclasses and models, not"
                " Own"
            ),
        ),
        (
            lambda: with_types.unreadable.enqueue(1),
            (
                "its annotations cannot be read here: NameError: name 'Missing' is not"
                " defined. Import what they name"
            ),
        ),
        (
            lambda: async_chain(
                [(with_types.place, (ORDER,)), (with_types.place, (5,))]
            ),
            "its argument 'order' is not Order",
        ),
    ],
)
def test_what_is_wrong_is_told_at_the_call(call, said):
    with pytest.raises(EnqueueError) as caught:
        call()
    assert said in str(caught.value)
    assert enqueued() == []


def test_an_annotation_that_was_changed_after_the_call(monkeypatch):
    task_id = with_types.greet.enqueue(Customer(name="Ada", age=36))

    def greet(customer: int, untyped: object = None) -> None:
        raise AssertionError("it must not be called")

    monkeypatch.setattr(with_types, "greet", greet)
    drain(raises=False)
    record = fetch(str(task_id))
    assert not record.success
    assert "the argument 'customer' of chores.with_types.greet is not int in this" in (
        str(record.result)
    )


def test_a_value_that_is_no_choice_is_told_without_the_value(monkeypatch):
    """It may be secret; who reads the error need not be allowed to see arguments."""
    with pytest.raises(EnqueueError) as caught:
        with_types.place.enqueue({"number": 7, "lines": [], "size": "hunter2"})
    assert str(caught.value).endswith("it is none of the values - at `$.size`")
    assert caught.value.__cause__ is None

    task_id = with_types.greet.enqueue(Customer(name="hunter2", age=36))

    def greet(customer: dict[str, Literal["Ada", 36]], untyped: object = None) -> None:
        raise AssertionError("it must not be called")

    monkeypatch.setattr(with_types, "greet", greet)
    drain(raises=False)
    record = fetch(str(task_id))
    assert "it is none of the values" in str(record.result)
    assert "hunter2" not in str(record.result)


def test_a_task_that_is_not_typed_is_left_alone():
    async_task("chores.with_types.plain", {"number": 1})
    (task,) = enqueued()
    assert task.options.typed is not True
    with pytest.raises(AttributeError, match="number"):
        drain()
