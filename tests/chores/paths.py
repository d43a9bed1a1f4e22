"""Callables whose own idea of their path is wrong, or not the whole of it."""

from __future__ import annotations

import contextlib
import functools
from typing import Any


class Meta(type):
    def of_meta(cls) -> str:
        return cls.__name__


class Base(metaclass=Meta):
    factor = 1

    @classmethod
    def run(cls, x: int = 3) -> tuple[str, int]:
        return cls.__name__, cls.factor * x

    @staticmethod
    def still(x: int = 3) -> int:
        return x

    def __call__(self) -> str:
        return "called"


class Child(Base):
    factor = 10


def times(n: int) -> Any:
    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return n * function(*args)

        return wrapper

    return decorate


def price(x: int = 3) -> int:
    return x


doubled = times(2)(price)
same_price = price


@times(3)
def tripled(x: int = 3) -> int:
    return x


def give_user(function: Any) -> Any:
    """Call with an argument that the caller does not give, as fixtures and clients are."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("ann", *args, **kwargs)

    return wrapper


@give_user
def greet(user: str, greeting: str) -> str:
    return f"{greeting}, {user}"


@functools.lru_cache
def kept(x: int) -> int:
    return x


@contextlib.contextmanager
def managed() -> Any:
    yield


class Decorated:
    """A decorator that is an object, as those of other queues are."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


@Decorated
def wrapped_in_an_object(x: int = 3) -> int:
    return x + 1


other_object = Decorated(price)
partial = functools.partial(price, 7)
named_partial = functools.update_wrapper(functools.partial(price, 7), price)
callable_object = Base()


def rebound() -> str:
    return "old"


old = rebound


def rebound() -> str:  # type: ignore[no-redef]
    return "new"
