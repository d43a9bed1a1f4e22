"""What a plugin does from time to time."""

from __future__ import annotations

from ....plugins.features import FeaturePlugins
from .case import MORE, FeatureCase, State
from .transactions import counted


class SweepsContract(FeatureCase):
    """Sweeps."""

    def test_a_sweep_leaves_alone_what_is_in_use(
        self, features: FeaturePlugins, state: State
    ) -> None:
        """A task that was sent just now keeps its rows, however often clusters sweep."""
        self.sent(1)
        before = state()
        for _ in range(2):
            self.sweep(features)
        assert state() == before

    def test_a_sweep_of_nothing_is_cheap(self, features: FeaturePlugins) -> None:
        """Where there is nothing to do, a sweep is a few statements and changes nothing."""
        self.sweep(features)
        with counted() as statements:
            self.sweep(features)
        assert len(statements) <= MORE
