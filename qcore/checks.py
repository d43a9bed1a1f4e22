"""Django system checks with the tag ``qcore``; every id stands in ``IDS``.

They need no server and import no driver: what needs one is told by ``qcore cluster``
when it starts. ``check --database`` looks for tables, too, as Django's own checks do.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import checks

from .conf import Conf, advice, problems
from .conf.names import near_queue
from .conf.validation import ROOT
from .errors import (
    ConfigError,
    PluginBroken,
    PluginError,
    PluginMissing,
    QcoreError,
    did_you_mean,
    sentence,
)
from .plugins.choice import never_selected
from .plugins.known import KNOWN, RIVALS, how_to_install
from .runtime import ONE_OF, current

if TYPE_CHECKING:
    from django.apps import AppConfig

TAG = "qcore"

#: Every id, and what it means; the manual's page of checks is made from it.
IDS = {
    "qcore.E001": "A key or a value in Q_CLUSTER is wrong.",
    "qcore.E002": "No plugin provides the broker, cache backend, scheduler, result store"
    " or reporter that Q_CLUSTER selects.",
    "qcore.E003": "Q_CLUSTER selects two providers of one kind, or several brokers are"
    " installed and Q_CLUSTER selects none.",
    "qcore.E004": "An installed plugin cannot be loaded.",
    "qcore.E005": "A package named qcore that is not this one is installed.",
    "qcore.E006": "Q_CLUSTER names a cache that CACHES does not have.",
    "qcore.E007": "A plugin has a provider that no settings can select.",
    "qcore.E008": "A provider that Q_CLUSTER selects cannot be loaded.",
    "qcore.E009": "A distribution is installed that overwrites files of a plugin.",
    "qcore.E020": "TASKS uses the backend of qcore, and qcore is not in INSTALLED_APPS.",
    "qcore.E021": "A name in the QUEUES of TASKS cannot be that of a queue.",
    "qcore.E022": "No database can keep the results of the tasks of TASKS.",
    "qcore.E023": "TASKS names a backend of qcore that is not there, or its OPTIONS are wrong.",
    "qcore.W001": "retry does not exceed timeout: a running task is started again.",
    "qcore.W002": "There is no timeout and leases are not renewed.",
    "qcore.W003": "poll exceeds retry.",
    "qcore.W004": "save_limit_per has no effect.",
    "qcore.W005": "max_attempts has no effect on failing tasks.",
    "qcore.W006": "A key of Q_CLUSTER is accepted and has no effect.",
    "qcore.W007": "cpu_affinity has no effect.",
    "qcore.W008": "bulk exceeds the room of one cluster.",
    "qcore.W009": "A cluster may take longer to stop than Kubernetes waits.",
    "qcore.W010": "The cluster refuses the packages that its own settings produce.",
    "qcore.W011": "accept_content includes pickle.",
    "qcore.W012": "There is no key to sign packages with.",
    "qcore.W013": "The checks of a plugin have failed.",
    "qcore.W014": "A setting of a broker has no effect beside the others.",
    "qcore.W015": "Q_CLUSTER selects no broker, and several are installed: qcore uses the"
    " default broker.",
    "qcore.W016": "The queue of Q_CLUSTER_NAME is in no setting, and its name is like one that"
    " is.",
    "qcore.W017": "Tables of qcore or of a plugin are missing or old (asked by check"
    " --database).",
    "qcore.I020": "A name in the QUEUES of TASKS is like one that is in the settings.",
    "qcore.I001": "The cache is private to each process, so status goes through the"
    " broker (shown by check --deploy).",
}


@checks.register(TAG)
def check(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Return what is wrong with the settings and the plugins."""
    found: list[checks.CheckMessage] = [
        *_foreign(),
        *_rivals(),
        *_broken(),
        *_never_selected(),
    ]
    wrong = [
        checks.Error(
            message,
            hint="All settings and what they accept: qcore info --config.",
            id="qcore.E001",
        )
        for message in _problems()
    ]
    if wrong:
        # without a Conf there is nothing to ask the rest about
        return [*found, *wrong]
    conf = current.conf
    if conf.ledger is not None and conf.ledger not in settings.DATABASES:
        known = ", ".join(sorted(settings.DATABASES))
        told = sentence(
            f"Q_CLUSTER['ledger'] is {conf.ledger!r}, which is no alias in DATABASES"
            f" ({known}){did_you_mean(conf.ledger, settings.DATABASES)}"
        )
        hint = "Name one of them, or leave ledger out."
        # the rest would stumble over it
        return [*found, checks.Error(told, hint=hint, id="qcore.E001")]
    found += _choice(conf)
    found += [
        checks.Warning(one.message, hint=one.hint, id=one.id) for one in advice(conf)
    ]
    found += [*_doubts(conf), *_of_plugins(conf)]
    return found


@checks.register(TAG, checks.Tags.database)
def check_tables(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **_: Any,
) -> list[checks.CheckMessage]:
    """Return which tables are missing, where Django's ``check --database`` asks for it.

    Not before ``migrate``, which asks too and is about to make them.
    """
    if not databases or sys.argv[1:2] == ["migrate"] or _problems():
        return []
    from django.db import Error

    from .doctor.tables import doubts, faults

    try:
        found = [*faults(), *doubts()]
    except (Error, QcoreError):
        return []  # Django, or the other check, tells it
    return [
        # no error: a command that migrates in its own way would be kept from it
        checks.Warning(sentence(fact), hint=f"Run: {advice}", id="qcore.W017")
        for fact, _, advice in (told.partition(". Run: ") for told in found)
    ]


@checks.register(TAG, deploy=True)
def check_route(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Say which way status goes, where it is not the cache."""
    if _problems():
        return []
    try:
        shared = current.cache.is_shared
    except QcoreError:
        return []  # the other check tells it
    if shared:
        return []
    return [
        checks.Info(
            f"The cache {current.cache.info()} is private to each process, so the status"
            " of clusters goes through the broker.",
            hint="Nothing needs to change. A cache that all processes share takes this"
            f" work from the broker: set CACHES[{current.conf.cache!r}], or"
            " Q_CLUSTER['cache_backend'].",
            id="qcore.I001",
        )
    ]


@checks.register()
def check_backends(
    app_configs: Sequence[AppConfig] | None = None, **_: Any
) -> list[checks.CheckMessage]:
    """Return what is wrong with the backends of ours in TASKS.

    Django 6 has a check that asks every backend, in a module that nothing imports. The app of
    django-tasks registers its own.
    """
    named = settings.TASKS if settings.is_overridden("TASKS") else {}
    known = {check.__module__ for check in checks.registry.registry.get_checks()}
    if not named or known & {"django.tasks.checks", "django_tasks.checks"}:
        return []
    try:
        from .backend import QcoreBackend
        from .backend.api import InvalidTaskBackend, task_backends
    except ImportError:
        return []  # neither is there, so nothing reads TASKS
    found: list[checks.CheckMessage] = []
    for alias, params in named.items():
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend as error:
            if str(params.get("BACKEND")).startswith("qcore."):
                hint = "Correct it in TASKS: every import of the module of a task reads it."
                found.append(checks.Error(str(error), hint=hint, id="qcore.E023"))
        else:
            found += backend.check() if isinstance(backend, QcoreBackend) else []
    return found


def _problems() -> list[str]:
    registry = current.registry
    options = registry.adapt(getattr(settings, ROOT, {}))
    return problems(options, registry.claims(), registry.settings())


# -- plugins ------------------------------------------------------------------------
def _broken() -> Iterator[checks.CheckMessage]:
    for plugin in current.registry.plugins:
        if plugin.error:
            yield checks.Error(
                f"The plugin {plugin.label} cannot be loaded: {plugin.error}",
                hint="Reinstall or uninstall it, or name the others in the environment"
                " variable QCORE_PLUGINS. Details: qcore plugins.",
                id="qcore.E004",
            )


def _choice(conf: Conf) -> Iterator[checks.CheckMessage]:
    """Check that what a project selects of each kind is there, and the reporters."""
    for kind in ONE_OF:
        yield from _selected(kind)
    reporters = current.registry.providers("error reporter")
    for name in conf.error_reporter:
        if name not in reporters:
            yield _missing(_no_reporter(name, reporters))


def _selected(kind: str) -> Iterator[checks.CheckMessage]:
    """Check that what is selected of a kind is there and can be made."""
    try:
        choice = current.choice(kind)
        if kind != "broker":
            current.make(kind)
        # a first-party driver is there, and may take a second to load
        elif choice.is_path or choice.owner not in KNOWN:
            choice.load()
    except PluginMissing as error:
        yield _missing(error)
    except PluginBroken as error:
        yield checks.Error(str(error), hint=_SELECT, id="qcore.E008")
    except PluginError as error:
        yield checks.Error(str(error), hint=_SELECT, id="qcore.E003")
    except ConfigError as error:
        if kind == "cache backend" and current.choice(kind).is_default:
            hint = "Add the alias to CACHES."
            yield checks.Error(str(error), hint=hint, id="qcore.E006")
        else:
            yield checks.Error(str(error), hint=_SELECT, id="qcore.E001")


def _doubts(conf: Conf) -> Iterator[checks.CheckMessage]:
    """Tell what is legal and probably not meant."""
    with contextlib.suppress(QcoreError):  # `_choice` has told it
        if doubt := current.choice("broker").doubt:
            yield checks.Warning(doubt, hint=_SELECT, id="qcore.W015")
    if near := near_queue(conf.queue, conf.queues):
        yield checks.Warning(
            f"The queue {conf.queue!r} of this process is neither that of name or"
            f" cluster_name nor in ALT_CLUSTERS{near}",
            hint="The name comes from --name or from the variable Q_CLUSTER_NAME. If the"
            " queue is right, add it to ALT_CLUSTERS:"
            f" {{{conf.queue!r}: {{}}}}.",
            id="qcore.W016",
        )


def _never_selected() -> Iterator[checks.CheckMessage]:
    registry = current.registry
    for plugin in registry.plugins:
        for kind, providers in plugin.providers.items():
            for provider in providers:
                if reason := never_selected(kind, provider):
                    yield checks.Error(
                        f"The {kind} {provider.name!r} of {plugin.label} can never be"
                        f" selected: {reason}.",
                        hint="Report it to the authors of the plugin. Details: qcore"
                        " plugins.",
                        id="qcore.E007",
                    )


def _no_reporter(name: str, reporters: Iterable[str]) -> PluginMissing:
    published = {
        keys[0].partition(".")[2]: plugin
        for plugin, keys in KNOWN.items()
        if keys and keys[0].startswith("error_reporter.")
    }
    advice = (
        how_to_install(published[name])
        if name in published
        else did_you_mean(name, {*reporters, *published}).removeprefix(" - ")
    )
    told = f" {advice[:1].upper()}{advice[1:]}" if advice else ""
    return PluginMissing(
        f"no error reporter {name!r} is installed, but {ROOT}['error_reporter'] names"
        f" it. Installed: {', '.join(sorted(reporters))}.{told}"
    )


_SELECT = "What is installed, and which keys select it: qcore plugins."


def _missing(error: PluginMissing) -> checks.Error:
    return checks.Error(str(error), hint=_SELECT, id="qcore.E002")


def _of_plugins(conf: Conf) -> list[checks.CheckMessage]:
    """Return what plugins say of their own settings; one that fails is named."""
    found: list[checks.CheckMessage] = []
    for hook in current.registry.hook.qcore_checks.get_hookimpls():
        try:
            found += hook.function(*([conf] if hook.argnames else [])) or []
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            found.append(
                checks.Warning(
                    f"The checks of the plugin {hook.plugin_name} have failed:"
                    f" {type(error).__name__}: {error}",
                    hint="Its settings were not checked; report it to its authors.",
                    id="qcore.W013",
                )
            )
    return found


# -- surroundings ---------------------------------------------------------------------
def _foreign() -> Iterator[checks.CheckMessage]:
    """Refuse the package qcore 1.x of the public index, which has nothing to do with us."""
    try:
        installed = distribution("qcore")
    except PackageNotFoundError:
        return  # run from a source tree that is not installed
    if _is_ours(installed):
        return
    yield checks.Error(
        f"The installed package qcore {installed.version} is not this one: the public"
        " index has a foreign package of the same name.",
        hint='Run: pip uninstall qcore, and install "qcore>=2" from your checkout,'
        " wheelhouse or private index.",
        id="qcore.E005",
    )


def _rivals() -> Iterator[checks.CheckMessage]:
    """Refuse a distribution that has installed its files over those of a plugin."""
    for name, rivals in RIVALS.items():
        ours = f"qcore-{name}"
        if _version_of(ours) is None:
            continue
        for rival in rivals:
            if (version := _version_of(rival)) is not None:
                yield checks.Error(
                    f"{rival} {version} and {ours} are both installed, and both install"
                    f" a package {name.replace('-', '_')!r}: which files are there is a"
                    " matter of chance.",
                    hint=f"Run: pip uninstall {rival} {ours}. Then install the plugin"
                    f" again. {how_to_install(name)}",
                    id="qcore.E009",
                )


def _version_of(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _is_ours(installed: Distribution) -> bool:
    major = installed.version.partition(".")[0]
    if major.isdecimal() and int(major) < 2:
        return False
    listed = [f for f in installed.files or () if str(f) == "qcore/__init__.py"]
    # an editable installation lists no module; where it points is what runs
    here = Path(__file__).resolve().parent / "__init__.py"
    return all(Path(str(f.locate())).resolve() == here for f in listed)
