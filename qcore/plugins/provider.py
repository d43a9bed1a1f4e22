"""What is known of a plugin, and of each thing that it can make."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import msgspec

from ..conf.setting import Setting
from ..errors import INTERRUPTS, PluginBroken
from ..features import TaskOption


@dataclass(frozen=True, slots=True)
class Provider:
    """One thing that a plugin can make.

    Args:
        name: how settings and people call it: ``"sqs"``.
        target: ``"module:Class"``, imported on first use.
        claims: keys of Q_CLUSTER that select it: ``("redis", "django_redis")``.
    """

    name: str
    target: str
    claims: tuple[str, ...] = ()

    def load(self) -> Any:
        """Import the target and return it.

        Raises:
            PluginBroken: the module or the name in it is not there.
        """
        module, _, attribute = self.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except INTERRUPTS:
            raise
        except BaseException as error:
            raise PluginBroken(
                f"{self.name!r} cannot be loaded from {self.target!r}:"
                f" {type(error).__name__}: {error}"
            ) from error


class Plugin(msgspec.Struct):
    """One loaded, or broken, plugin."""

    name: str  # of its entry point
    distribution: str
    version: str
    module: str
    error: str | None = None
    #: by kind
    providers: dict[str, list[Provider]] = msgspec.field(default_factory=dict)
    settings: list[Setting] = msgspec.field(default_factory=list)
    options: list[TaskOption] = msgspec.field(default_factory=list)

    @property
    def key(self) -> str:
        """Its name as a key of Q_CLUSTER would be written."""
        return self.name.replace("-", "_")

    @property
    def label(self) -> str:
        """Name and version of the distribution, for messages."""
        return f"{self.distribution} {self.version}"
