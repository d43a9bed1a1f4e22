"""The cluster of a bench: ``python -m qcore.bench.cluster``, a process of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..cluster.subprocess import Child
from ..errors import ConfigError
from .tasks import VARIABLE

if TYPE_CHECKING:
    from .ground import Ground

#: The environment variable with queue and workers.
_SPEC = "QCORE_BENCH_CLUSTER"
_SETTINGS = "DJANGO_SETTINGS_MODULE"


def start(ground: Ground, folder: Path, records: Path) -> Child:
    """Start it with the settings of this process.

    Raises:
        ConfigError: the settings have no module that another process could import.
    """
    if not os.environ.get(_SETTINGS):
        raise ConfigError(
            f"a cluster is a process of its own and needs {_SETTINGS}, which is not set."
        )
    environment = {
        **os.environ,
        "Q_CLUSTER_NAME": ground.chosen,  # empty counts as unset
        VARIABLE: str(records),
        _SPEC: json.dumps([ground.queue, ground.workers]),
        # whatever made the project importable here, such as the folder of manage.py
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
    words = [sys.executable, "-m", "qcore.bench.cluster"]
    return Child(words, folder, environment)


def main() -> int:
    """Run it, as the environment says."""
    queue, workers = json.loads(os.environ[_SPEC])
    import django

    django.setup()
    from ..cluster import run as cluster
    from .ground import adapt

    adapt(queue, workers)
    return cluster.run()


if __name__ == "__main__":
    sys.exit(main())
