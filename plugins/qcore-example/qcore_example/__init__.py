"""A small plugin for qcore: broker, error reporter, cache backend, scheduler, result store, in files."""

from __future__ import annotations

from typing import Any

from qcore import Provider, Setting, hookimpl


@hookimpl
def qcore_brokers() -> list[Provider]:
    """Describe the broker; its module is imported when a project selects it."""
    target = "qcore_example.broker:ExampleBroker"
    return [Provider("example", target, claims=("example",))]


@hookimpl
def qcore_error_reporters() -> list[Provider]:
    """Describe the reporter; its module is imported when a project names it."""
    return [Provider("example", "qcore_example.reporter:ExampleReporter")]


@hookimpl
def qcore_cache_backends() -> list[Provider]:
    """Describe the cache backend; its module is imported when a project selects it."""
    target = "qcore_example.cache:ExampleCache"
    return [Provider("example", target, claims=("example_cache",))]


@hookimpl
def qcore_schedulers() -> list[Provider]:
    """Describe the scheduler; its module is imported when a project selects it."""
    target = "qcore_example.scheduler:ExampleScheduler"
    return [Provider("example", target, claims=("example_scheduler",))]


@hookimpl
def qcore_result_stores() -> list[Provider]:
    """Describe the result store; its module is imported when a project selects it."""
    target = "qcore_example.store:ExampleStore"
    return [Provider("example", target, claims=("example_store",))]


@hookimpl
def qcore_settings() -> list[Setting]:
    """Describe what the plugin reads of Q_CLUSTER; qcore checks and shows it."""
    return [
        Setting(
            "example",
            dict[str, Any] | None,
            "The queue: packages are files in a folder.",
            keys=(
                Setting(
                    "path",
                    str | None,
                    "An existing folder on a local disk.",
                    expects="the path of a folder",
                ),
            ),
        ),
        Setting(
            "error_reporter.example",
            dict[str, Any],
            "The failures: lines of a file.",
            keys=(
                Setting(
                    "path",
                    str | None,
                    "A file in an existing folder.",
                    expects="the path of a file",
                ),
            ),
        ),
        Setting(
            "example_cache",
            dict[str, Any] | None,
            "The cache: values are rows of a file in a folder.",
            keys=(
                Setting(
                    "path",
                    str | None,
                    "An existing folder on a local disk.",
                    expects="the path of a folder",
                ),
            ),
        ),
        Setting(
            "example_scheduler",
            dict[str, Any] | None,
            "The schedules: rows of a file in a folder.",
            keys=(
                Setting(
                    "path",
                    str | None,
                    "An existing folder on a local disk.",
                    expects="the path of a folder",
                ),
            ),
        ),
        Setting(
            "example_store",
            dict[str, Any] | None,
            "The results: rows of a file in a folder.",
            keys=(
                Setting(
                    "path",
                    str | None,
                    "An existing folder on a local disk.",
                    expects="the path of a folder",
                ),
            ),
        ),
    ]
