"""The databases that the kit connects to do not mix up what Django remembers of them."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType

from qcore.testing.database import connected, migrate

pytestmark = pytest.mark.django_db


def shuffled_ids() -> None:
    """Give the content types of this database other ids, as a flush would."""
    models = [row.model_class() for row in ContentType.objects.all()]
    ContentType.objects.all().delete()
    ContentType.objects.clear_cache()
    ContentType.objects.get_for_models(*reversed([m for m in models if m]))


def test_a_content_type_has_the_id_of_the_database_that_is_connected(tmp_path):
    from qcore.models import Failure

    here = ContentType.objects.get_for_model(Failure).pk
    path = tmp_path / "other.sqlite3"
    migrate(path)
    with connected(path):
        shuffled_ids()
        there = ContentType.objects.get_for_model(Failure).pk
        assert there != here
    with connected(path):
        assert ContentType.objects.get_for_model(Failure).pk == there
    assert ContentType.objects.get_for_model(Failure).pk == here
