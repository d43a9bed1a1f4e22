"""What holds for the tests in this folder; the servers are in shared_fixtures.py."""

from __future__ import annotations
