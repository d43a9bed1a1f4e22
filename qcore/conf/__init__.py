"""`Conf` is the ``Q_CLUSTER`` dictionary of a project, validated and complete.

One documented field per setting; the page of settings in the manual is generated
from them. Importing this module does not import Django.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from ..errors import ConfigError
from ..masking import MASK, mask, mask_url
from ..plugins.known import KEYS as FIRST_PARTY
from .advice import Advice, advice
from .names import queue_fault
from .setting import Setting
from .settings import Settings, cpu_count
from .table import table
from .validation import ROOT, examine

__all__ = ["Advice", "Conf", "Setting", "advice", "cpu_count", "fields", "mask"]
__all__ += ["mask_url", "problems"]

# Keys of the predecessor that are accepted and do nothing here, and why.
_WITHOUT_EFFECT = {
    "disque_fastack": "with FASTACK a node that was cut off may deliver a task again",
    "has_replica": "the scheduler writes to the database that the routers name",
    "testing": "tests need no special mode; see qcore.testing",
}


class Conf(Settings, frozen=True, kw_only=True):
    """The settings of one cluster; make one with `from_settings` or `from_dict`.

    A direct ``Conf(...)`` takes its values as they are, without validation.
    """

    # --- not settings ---
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    """The settings of plugins: what the project says, or else the declared default."""
    declared: tuple[Setting, ...] = ()
    """The settings that plugins declare."""
    explicit: frozenset[str] = frozenset()
    """The settings that the project set itself."""
    warnings: tuple[str, ...] = ()
    """One sentence for each key that is accepted and has no effect."""
    queues: tuple[str, ...] = ()
    """The queues that the settings name: this project's own, and those of ALT_CLUSTERS."""
    secret_keys: tuple[str, ...] = ()
    """Django's SECRET_KEY and its fallbacks."""

    def __post_init__(self) -> None:
        """Resolve the defaults that depend on other settings."""
        resolve = msgspec.structs.force_setattr
        if not self.queue_limit:
            resolve(self, "queue_limit", self.workers**2)
        if not self.accept_content:
            resolve(self, "accept_content", (self.serializer,))

    @classmethod
    def from_dict(
        cls,
        options: Mapping[str, Any],
        *,
        claimed: Collection[str] = (),
        settings: Sequence[Setting] = (),
        secret_key: str = "",
        secret_key_fallbacks: Sequence[str] = (),
        time_zone: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Conf:
        """Validate the keys of ``Q_CLUSTER``.

        Args:
            options: The dictionary; it is not changed.
            claimed: Further keys that installed plugins claim; those that `settings`
                do not describe are taken as they are.
            settings: Settings that plugins declare, as ``Registry.settings()`` gives.
            secret_key: Django's SECRET_KEY, which signs unless `signing_keys` is set.
            secret_key_fallbacks: Older keys, still accepted.
            time_zone: The zone of schedules where the options name none.
            environ: Read for Q_CLUSTER_NAME; by default nothing is read.

        Raises:
            ConfigError: With one line for each problem.
        """
        chosen = (environ or {}).get("Q_CLUSTER_NAME", "")
        if chosen and (fault := queue_fault(chosen)):
            raise ConfigError(f"the variable Q_CLUSTER_NAME {fault}.")
        if found := problems(options, claimed, settings):
            raise ConfigError("\n".join(found))
        merged = _select(options, chosen)
        free = _free(claimed)
        given, _ = examine([*fields(), *settings], _effective(merged), free)
        own = {setting.name: setting.attribute for setting in fields()}
        values = {own[name]: value for name, value in given.items() if name in own}
        queues = _queues(values)
        if chosen:
            values["cluster_name"] = chosen
        values.setdefault("time_zone", time_zone)
        foreign = {one.name: one.default for one in settings if "." not in one.name}
        foreign |= {k: v for k, v in merged.items() if k in free and k not in own}
        foreign |= {k: v for k, v in given.items() if k not in own}
        return cls(
            **values,
            explicit=frozenset(given) | (merged.keys() & foreign.keys()),
            options=foreign,
            declared=tuple(settings),
            queues=queues,
            warnings=tuple(
                f"{ROOT}[{key!r}] has no effect: {reason}."
                for key, reason in _WITHOUT_EFFECT.items()
                if key in merged
            ),
            secret_keys=tuple(k for k in (secret_key, *secret_key_fallbacks) if k),
        )

    @classmethod
    def from_settings(
        cls,
        claimed: Collection[str] = (),
        settings: Sequence[Setting] = (),
        adapt: Callable[[Any], Any] | None = None,
    ) -> Conf:
        """Read Django's settings and the environment, now; the result is not cached.

        A missing ``Q_CLUSTER`` counts as empty. For ``Raises`` see `from_dict`.

        Args:
            claimed: see `from_dict`.
            settings: see `from_dict`.
            adapt: translates the dictionary before it is checked, as
                ``Registry.adapt`` does.
        """
        from django.conf import settings as project
        from django.core.exceptions import ImproperlyConfigured

        try:
            secret_key = _text(project.SECRET_KEY)
        except ImproperlyConfigured:  # empty; `signing_keys` may stand in for it
            if not project.configured:
                raise
            secret_key = ""
        options = getattr(project, ROOT, {})
        return cls.from_dict(
            options if adapt is None else adapt(options),
            claimed=claimed,
            settings=settings,
            secret_key=secret_key,
            secret_key_fallbacks=[_text(k) for k in project.SECRET_KEY_FALLBACKS],
            time_zone=project.TIME_ZONE if project.USE_TZ else None,
            environ=os.environ,
        )

    @property
    def queue(self) -> str:
        """The queue that this process sends to and works on."""
        return self.cluster_name or self.name

    @property
    def lease(self) -> float:
        """Seconds that a delivery belongs to its cluster: the setting `retry`."""
        return self.retry

    @property
    def renews(self) -> bool:
        """Whether the lease of a running task is renewed."""
        return "retry" not in self.explicit if self.renew is None else self.renew

    @property
    def fetch_limit(self) -> int:
        """Tasks to ask for in one call.

        Read as `retry` is: a `bulk` that the project sets is kept to the letter. If
        it sets none, 100, where batches stop paying; the dispatcher bounds it by the
        room it has.
        """
        return self.bulk if "bulk" in self.explicit else 100

    @property
    def affinity(self) -> int:
        """Processors per worker; 0 where `cpu_affinity` covers them all."""
        return self.cpu_affinity if self.cpu_affinity < cpu_count() else 0

    def selects(self, key: str) -> bool:
        """Return whether the project set a key; ``"error_reporter.sentry"`` looks inside.

        None selects nothing; an empty dictionary does.
        """
        outer, _, inner = key.partition(".")
        if outer not in self.explicit:
            return False
        value = self.options.get(outer, getattr(self, outer, None))
        return (
            inner in value if inner and isinstance(value, dict) else value is not None
        )

    @property
    def signing_secrets(self) -> tuple[str, ...]:
        """The keys of packages: the first signs, all are accepted.

        Empty when there are neither `signing_keys` nor a SECRET_KEY.
        """
        return self.signing_keys or self.secret_keys

    def masked(self) -> dict[str, Any]:
        """Return every setting and plugin option by its key, secrets as ``***``."""
        own = {setting.name: getattr(self, setting.attribute) for setting in fields()}
        shown: dict[str, Any] = mask({**own, **self.options})
        for setting in self.declared:
            _hide(setting, shown)
        return shown

    def __repr__(self) -> str:
        shown = [f"{key}={value!r}" for key, value in self.__rich_repr__()]
        return f"Conf({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what the project set, masked; rich would print every field."""
        return [(k, v) for k, v in self.masked().items() if k in self.explicit]


@functools.cache
def fields() -> tuple[Setting, ...]:
    """Return every setting, in the order of the manual."""
    return table(Conf)


def problems(
    options: object,
    claimed: Collection[str] = (),
    settings: Sequence[Setting] = (),
) -> list[str]:
    """Return one message for each mistake in ``options``, the empty list for none.

    For the arguments see `Conf.from_dict`.
    """
    table, free = [*fields(), *settings], _free(claimed)
    values, found = examine(table, _effective(options), free)
    for name, overrides in values.get("ALT_CLUSTERS", {}).items():
        path = f"{ROOT}['ALT_CLUSTERS'][{name!r}]"
        if fault := queue_fault(name):
            found.append(f"{ROOT}['ALT_CLUSTERS']: the name of a cluster {fault}.")
        found += examine(table, _effective(overrides), free, path)[1]
    return found


def _free(claimed: Collection[str]) -> set[str]:
    """Return the keys that are taken as they are: claimed, or of an absent plugin.

    What a first-party plugin reads is no unknown key where the plugin is not installed:
    what to install is told by the choice.
    """
    return {claim.partition(".")[0] for claim in claimed} | FIRST_PARTY


def _hide(setting: Setting, shown: dict[str, Any]) -> None:
    """Mask what a plugin says is a secret, at any depth."""
    outer, _, inner = setting.name.partition(".")
    if inner:
        if isinstance(shown.get(outer), dict):
            _hide(dataclasses.replace(setting, name=inner), shown[outer])
        return
    value = shown.get(outer)
    if isinstance(value, dict):
        for key in setting.keys:
            _hide(key, value)
        for key, one in itertools.product(setting.each, value.values()):
            if isinstance(one, dict):
                _hide(key, one)
    elif setting.secret and value not in (None, "", ()):
        is_url = isinstance(value, str) and "://" in value  # its password is masked
        shown[outer] = value if is_url else MASK


def _effective(options: object) -> object:
    if not isinstance(options, Mapping):
        return options
    return {k: v for k, v in options.items() if k not in _WITHOUT_EFFECT}


def _select(options: Mapping[str, Any], chosen: str) -> dict[str, Any]:
    alternatives = options.get("ALT_CLUSTERS", {})
    kept = ("name", "cluster_name")  # the name signs: it is that of the whole project
    overrides = alternatives.get(chosen, {})
    return {**options, **{k: v for k, v in overrides.items() if k not in kept}}


def _queues(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the queues that settings name, before the environment has chosen one."""
    own = values.get("cluster_name") or values.get("name", "default")
    name = values.get("name", own)  # a cluster_name of its own may not be the only one
    return tuple(dict.fromkeys([own, name, *values.get("alt_clusters", {})]))


def _text(key: str | bytes) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
