"""Somebody of the staff who has some permissions and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def permit(user: User, *codes: str) -> None:
    """Give ``user`` the permissions of qcore's apps with these codes, and take all others.

    A code that no model has is left out: some have no ``change``. Other apps
    have models of the same names: ``django_q`` has ``view_task`` too.
    """
    ours = Permission.objects.filter(content_type__app_label__startswith="qcore")
    user.user_permissions.set(ours.filter(codename__in=codes))
