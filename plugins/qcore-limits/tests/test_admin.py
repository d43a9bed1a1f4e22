"""The page of keys in the admin: whose arguments it shows, and to whom."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db.models import Q
from django.test import Client
from django.urls import reverse

from qcore.tasks import async_task
from qcore_limits import Unique
from qcore_limits.models import UniqueKey

CANARY = "4111-1111"


@pytest.fixture
def looker(db, django_user_model):
    """Return a client of the staff with some permissions of these apps."""

    def make(*codenames):
        user = django_user_model.objects.create_user("staff", is_staff=True)
        ours = Q(content_type__app_label__in=["qcore", "qcore_limits"])
        found = Permission.objects.filter(ours, codename__in=codenames)
        assert found.count() == len(codenames)
        user.user_permissions.add(*found)
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def row(db):
    option = Unique(key="card:{left}")
    async_task("chores.kind.add", CANARY, q_options={"unique": option})
    return UniqueKey.objects.get()


def url(word, *args):
    return reverse(f"admin:qcore_limits_uniquekey_{word}", args=args)


def pages(client, row):
    yield client.get(url("changelist"))
    yield client.get(url("changelist"), {"q": row.task_id})
    yield client.get(url("change", row.pk))
    yield client.get(url("delete", row.pk))


def test_a_key_needs_the_permission_to_see_arguments(looker, row):
    client = looker("view_uniquekey", "delete_uniquekey")
    for page in pages(client, row):
        assert page.status_code == 200
        assert row.digest in page.text
        assert CANARY not in page.text
    found = client.get(url("changelist"), {"q": "card:4111"})
    assert row.digest not in found.text  # or it could be guessed
    assert client.get(url("changelist"), {"key__startswith": "c"}).status_code == 400


def test_with_it_the_key_is_shown_and_found(looker, row):
    client = looker("view_uniquekey", "view_args")
    for query in ({}, {"q": "card:4111"}):
        assert CANARY in client.get(url("changelist"), query).text
    assert CANARY in client.get(url("change", row.pk)).text


def test_who_frees_a_key_leaves_no_argument_in_the_log_of_the_admin(looker, row):
    client = looker("view_uniquekey", "delete_uniquekey", "view_args")
    client.post(url("delete", row.pk), {"post": "yes"})
    assert not UniqueKey.objects.exists()
    assert LogEntry.objects.get().object_repr == row.digest


def test_odd_addresses_are_no_error_pages(looker, row):
    client = looker("view_uniquekey")
    for query in ({"q": "\0"}, {"during": "\0"}, {"p": "999999"}, {"o": "9.9"}):
        assert client.get(url("changelist"), query).status_code in {200, 302}
    assert client.get(url("change", "x" * 500)).status_code == 302
