"""Functions of typed tasks, with annotations of every kind."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
from collections.abc import Mapping
from typing import Any

import msgspec
import pydantic

from qcore import task


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


@dataclasses.dataclass
class Line:
    article: str
    count: int
    price: decimal.Decimal = decimal.Decimal("0.00")


@dataclasses.dataclass
class Order:
    number: int
    lines: list[Line]
    placed: dt.datetime | None = None
    size: Size = Size.SMALL


class Point(msgspec.Struct):
    x: float
    y: float


class Customer(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)
    since: dt.date | None = None


#: What the functions were called with last.
seen: list[Any] = []


@task(typed=True)
def place(order: Order, *more: Line, note: str = "", **points: Point) -> Order:
    seen.append((order, more, note, points))
    return order


@task(typed=True)
def greet(customer: Customer, untyped=None) -> Customer:  # type: ignore[no-untyped-def]
    seen.append((customer, untyped))
    return customer


@task(typed=True)
def moved(point: Point, by: float) -> Point:
    seen.append(point)
    return Point(point.x + by, point.y)


@task(typed=True)
async def collect(names: set[str], by_id: Mapping[int, Customer]) -> int:
    seen.append((names, by_id))
    return len(names)


def plain(order: Order) -> int:
    """Return the number of an order; nothing is declared."""
    seen.append(order)
    return order.number


@task(typed=True)
def unreadable(value: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Be annotated with a name that is nowhere."""


class Own:
    """A class that nobody can make from data."""


@task(typed=True)
def takes_own(value: Own) -> None:
    """Take what cannot travel."""
