"""The broker contract catches every fault it is there for.

A contract that passes everything certifies nothing. So each broken broker of
``tests/broken_brokers`` is run against the one test that must fail for it, and a
sound broker of the same make against all of these tests, which must pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_brokers import (
    claiming,
    leases,
    malformed,
    priorities,
    sending,
    upkeep,
    waiting,
)
from broken_brokers.sound import BrokenCase, Sound
from support.contract_runs import Outcomes, judge

from qcore.testing import BrokerContract

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS / "broken_brokers"
MODULES = (sending, claiming, priorities, leases, malformed, upkeep, waiting)
BROKEN = [
    (module, value)
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Sound) and value.caught_by
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run what must fail, and the control, each file in a pytest of its own.

    They spend their time waiting for leases to end, so they run side by side.
    """
    chosen = {
        f"{module.__name__.rpartition('.')[2]}.py": [
            f"Test{kind.__name__}::{kind.caught_by}"
            for of, kind in BROKEN
            if of is module
        ]
        for module in MODULES
    }
    for of, kind in BROKEN:  # the control needs what the broken ones need
        control = "waiting.py" if of is waiting else "sound.py"
        chosen.setdefault(control, []).append(f"TestSound::{kind.caught_by}")
    chosen = {file: sorted(set(tests)) for file, tests in chosen.items()}
    return judge(FOLDER, chosen, tmp_path_factory.mktemp("contract"))


@pytest.mark.parametrize(
    "broken", [kind for _, kind in BROKEN], ids=lambda k: k.__name__
)
def test_the_contract_catches(broken: type[Sound], outcomes: Outcomes) -> None:
    """The named test fails for the broken broker, and passes for the sound one."""
    assert "failure" in outcomes[f"Test{broken.__name__}", broken.caught_by]
    sound = "TestSound", broken.caught_by
    assert outcomes[sound] == {"passed"}, outcomes.text(*sound)


def test_every_broken_broker_is_judged_by_the_public_contract() -> None:
    assert issubclass(BrokenCase, BrokerContract)
    assert len(BROKEN) > 50


# Tests of the contract for which no broken broker in one process can be made; the
# folder broker of qcore-example and the brokers of real services run them.
UNPROVEN = {
    "test_processes_race",
    "test_forked_children_use_their_own_connection",
}


def test_every_test_of_the_contract_catches_something() -> None:
    """A new test of the contract comes with a broker that it fails."""
    tests = {name for name in dir(BrokerContract) if name.startswith("test_")}
    assert tests - {kind.caught_by for _, kind in BROKEN} == UNPROVEN
