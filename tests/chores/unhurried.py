"""Hypothesis without a deadline: a slow moment of the machine is no fault of an example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
