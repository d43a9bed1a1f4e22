"""The contracts of the kit catch what they are for: of reporters, caches, networks ...

As for brokers: each broken part of ``tests/broken_kit`` is run against the one test that
must fail for it, and a sound part of the same make against all of them.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from broken_kit import caches, features, networks, reporters, results, schedulers
from support.contract_runs import Outcomes, judge

from qcore import testing

FOLDER = Path(__file__).resolve().parents[1] / "broken_kit"
CONTRACTS = {
    reporters: testing.ErrorReporterContract,
    caches: testing.CacheBackendContract,
    results: testing.ResultStoreContract,
    schedulers: testing.SchedulerContract,
    features: testing.FeatureContract,
    networks: testing.NetworkContract,
}
BROKEN = [
    (module, value)
    for module in CONTRACTS
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, module.Sound) and value.caught_by
]


def file_of(module: ModuleType) -> str:
    return f"{module.__name__.rpartition('.')[2]}.py"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run what must fail, and the control, each module in a pytest of its own.

    No two contracts have a test of the same name, so their outcomes do not mix.
    """
    chosen = {}
    for module in CONTRACTS:
        mine = [kind for of, kind in BROKEN if of is module]
        tests = [f"Test{kind.__name__}::{kind.caught_by}" for kind in mine]
        tests += sorted({f"TestSound::{kind.caught_by}" for kind in mine})
        chosen[file_of(module)] = tests
    return judge(FOLDER, chosen, tmp_path_factory.mktemp("kit"))


@pytest.mark.parametrize(
    ("module", "broken"), BROKEN, ids=[kind.__name__ for _, kind in BROKEN]
)
def test_the_contract_catches(module, broken, outcomes: Outcomes) -> None:
    """The named test fails for the broken part, and passes for the sound one."""
    assert "failure" in outcomes[f"Test{broken.__name__}", broken.caught_by]
    sound = "TestSound", broken.caught_by
    assert outcomes[sound] == {"passed"}, outcomes.text(*sound)


@pytest.mark.parametrize("module", CONTRACTS, ids=file_of)
def test_every_test_of_a_contract_catches_something(module: ModuleType) -> None:
    """A new test of a contract comes with a part that it fails."""
    tests = {name for name in dir(CONTRACTS[module]) if name.startswith("test_")}
    assert tests == {kind.caught_by for of, kind in BROKEN if of is module}
    assert issubclass(module.Case, CONTRACTS[module])
