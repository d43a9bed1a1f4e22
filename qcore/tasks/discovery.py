"""Discovery: the modules ``tasks`` of the installed apps, where projects have their tasks.

Celery, Huey and Dramatiq look for tasks in the same place.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator
from importlib import import_module

logger = logging.getLogger("qcore.cluster")

#: The module of an app that has its tasks.
MODULE = "tasks"


def names() -> Iterator[str]:
    """Yield the name of the module ``tasks`` of each installed app that has one."""
    from django.apps import apps
    from django.utils.module_loading import module_has_submodule

    for app in apps.get_app_configs():
        if module_has_submodule(app.module, MODULE):
            yield f"{app.name}.{MODULE}"


def load_all() -> dict[str, BaseException]:
    """Import the module ``tasks`` of each installed app; return what cannot be imported.

    Each that cannot is logged and left out: its tasks will fail with the same error, and
    those of the others go on.
    """
    broken: dict[str, BaseException] = {}
    for name in names():
        try:
            import_module(name)
        except (Exception, SystemExit) as error:
            logger.exception("%s cannot be imported, so its tasks will fail", name)
            broken[name] = error
    return broken


@functools.cache
def load(module: str) -> bool:
    """Import a module if it is one of tasks of an installed app; return whether it was.

    So ``async_task("shop.tasks.mail")`` knows the options of ``mail`` in a process that has
    not imported ``shop.tasks`` yet. It is asked once for each module. A module that cannot
    be imported here may be imported where the cluster runs, so that is logged, and the
    task is sent.
    """
    if module.rpartition(".")[2] != MODULE or "django" not in sys.modules:
        return False
    from django.apps import apps

    if not apps.ready or module not in names():
        return False
    try:
        import_module(module)
    except (Exception, SystemExit):
        logger.exception(
            "%s cannot be imported, so the options that its tasks declare are not known",
            module,
        )
        return False
    return True
