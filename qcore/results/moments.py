"""Moments: seconds since the epoch as Django has them."""

from __future__ import annotations

import datetime as dt


def moment(seconds: float) -> dt.datetime:
    """Return seconds since the epoch as a datetime: aware where ``USE_TZ`` is."""
    from django.conf import settings

    return dt.datetime.fromtimestamp(seconds, dt.UTC if settings.USE_TZ else None)
