"""The contract of live clusters catches what it is there for.

As for the rest of the kit, but each test starts processes: they take half a minute, and say
the same on every Python.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_kit import live
from support.contract_runs import Outcomes, judge

from qcore.testing import ClusterContract

FOLDER = Path(__file__).resolve().parents[1] / "broken_kit"
BROKEN = [
    kind
    for kind in vars(live).values()
    if isinstance(kind, type) and issubclass(kind, live.Sound) and kind.caught_by
]

# The runs have 500 seconds: their clusters share the processors with other tests.
pytestmark = [pytest.mark.once, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run what must fail, and the control, side by side."""
    chosen = {
        "live.py": [f"Test{kind.__name__}::{kind.caught_by}" for kind in BROKEN],
        "live_sound.py": [f"TestSound::{kind.caught_by}" for kind in BROKEN],
    }
    reports = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "settings")
        plugins = ("-p", "pytest_django.plugin", "-p", "support.quick_starts")
        return judge(FOLDER, chosen, reports, *plugins)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda kind: kind.__name__)
def test_the_contract_catches(broken: type[live.Sound], outcomes: Outcomes) -> None:
    """The named test fails on the broken broker, and passes on the sound one."""
    assert "failure" in outcomes[f"Test{broken.__name__}", broken.caught_by]
    sound = "TestSound", broken.caught_by
    assert outcomes[sound] == {"passed"}, outcomes.text(*sound)


def test_every_test_of_the_contract_catches_something() -> None:
    """A new test of the contract comes with a broker that it fails."""
    tests = {name for name in dir(ClusterContract) if name.startswith("test_")}
    assert tests == {kind.caught_by for kind in BROKEN}
    assert issubclass(live.Case, ClusterContract)
