"""The modules of tasks, imported before a cluster forks.

A module that is imported there is in memory once, and no worker waits for it at its first
task. Celery, Huey and Dramatiq look for tasks in the same place.
"""

from __future__ import annotations

import logging
from importlib import import_module

logger = logging.getLogger("qcore.cluster")

#: The module of an app that has its tasks.
MODULE = "tasks"


def preload() -> list[BaseException]:
    """Import the module ``tasks`` of each installed app.

    A module that cannot be imported is told of and left out: its tasks will fail with the
    same error, and those of the others go on.

    Returns:
        What the modules have raised that cannot be imported.
    """
    from django.apps import apps
    from django.utils.module_loading import module_has_submodule

    errors: list[BaseException] = []
    for app in apps.get_app_configs():
        if not module_has_submodule(app.module, MODULE):
            continue
        name = f"{app.name}.{MODULE}"
        try:
            import_module(name)
        except (Exception, SystemExit) as error:
            logger.exception("%s cannot be imported, so its tasks will fail", name)
            errors.append(error)
    return errors
