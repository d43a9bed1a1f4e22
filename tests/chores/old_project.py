"""Tasks as a project of django-q has them, for the tests of the drop-in."""

from __future__ import annotations

#: The ids of the tasks that ``note`` was called with.
NOTED: list[str] = []


class Parcel:
    """An object that only a pickle can hold."""

    def __init__(self, weight: int) -> None:
        self.weight = weight


def weigh(parcel: Parcel) -> Parcel:
    parcel.weight += 1
    return parcel


def keep(**kwargs: object) -> dict[str, object]:
    return kwargs


def fail() -> None:
    raise ValueError("no")


def note(task: object) -> None:
    NOTED.append(task.id)  # type: ignore[attr-defined]
