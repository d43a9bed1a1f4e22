"""The contract of a feature, for durable tasks."""

from __future__ import annotations

from typing import ClassVar

import pytest

from qcore.testing import FeatureContract


@pytest.mark.django_db
class TestDurable(FeatureContract):
    name = "flows"
    service = "the database of these tests: SQLite"
    options: ClassVar = {"durable": True, "version": 2, "accepts": [1]}
    wrong_options: ClassVar = (
        {"durable": "yes"},
        {"durable": 1},
        {"durable": True, "version": 0},
        {"durable": True, "version": "2"},
        {"durable": True, "accepts": 1},
        {"durable": True, "accepts": ["1"]},
    )
