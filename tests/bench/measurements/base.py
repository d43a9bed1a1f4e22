"""The shape of a measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contenders import Contender
    from run import Run

#: Name of a figure -> its value; None where the peer has no such thing.
Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is to be done."""

    tasks: int  # in a turn, at most
    seconds: float  # that a drain shall take, at most, as far as can be foreseen
    workers: int
    latencies: int  # tasks of a measurement of latency
    depth: int  # tasks that wait, or results that are stored, in a deep queue
    patience: float  # seconds to wait for what a fault has stopped
    idle: float  # seconds of idleness that are measured


@dataclass(frozen=True, slots=True)
class Figure:
    """A column of a table."""

    name: str
    unit: str
    digits: int = 0
    compared: bool = False  # whether the ratio of two contenders means something


@dataclass(frozen=True, slots=True)
class Measurement:
    """Something that is measured in one turn."""

    name: str
    what: str  # one sentence for the help
    figures: tuple[Figure, ...]
    run: Callable[[Run, Plan], Figures]
    fits: Callable[[Contender], bool] = lambda contender: True
    appendonly: bool = False  # needs a Redis that keeps its queue on disk
    stores: tuple[str, ...] = ("redis", "postgres", "sqlite")


def rounded(figures: Figures) -> Figures:
    """Return figures without digits that say nothing."""
    return {k: None if v is None else float(f"{v:.4g}") for k, v in figures.items()}
