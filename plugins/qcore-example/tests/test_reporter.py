"""The error reporter keeps its contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qcore.errors import ConfigError
from qcore.testing import ErrorReporterContract
from qcore_example.reporter import ExampleReporter


class TestReporter(ErrorReporterContract):
    misspelt = ({"paht": "/tmp"}, "did you mean 'path'")
    service = "a file"
    shows = ("task_id", "task_name", "func", "queue", "attempt", "outcome", "worker")
    shows_arguments = True

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "failures.jsonl"

    @pytest.fixture
    def make_reporter(self, file: Path) -> Callable[..., ExampleReporter]:
        def make(**options: object) -> ExampleReporter:
            return ExampleReporter(**{"path": str(file), **options})

        return make

    @pytest.fixture
    def arrived(self, file: Path) -> Callable[[], list[str]]:
        return lambda: file.read_text().splitlines() if file.exists() else []

    @pytest.fixture
    def disturb(self, file: Path) -> Iterator[Callable[[str], None]]:
        """Writing to a pipe that nobody reads hangs, and a folder refuses it."""

        def disturb(how: str) -> None:
            if how == "hang":
                os.mkfifo(file)
            else:
                file.mkdir()

        yield disturb
        if file.is_fifo():  # let the thread go that waits for a reader
            reader = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
            file.unlink()
            os.close(reader)

    @pytest.fixture
    def dead_reporter(self, tmp_path: Path) -> ExampleReporter:
        return ExampleReporter(path=str(tmp_path / "not-mounted" / "failures.jsonl"))


@pytest.mark.parametrize("path", [None, 5])
def test_the_path_must_be_given(path: object) -> None:
    with pytest.raises(ConfigError, match="must be the path of a file"):
        ExampleReporter(path=path)
