"""``Q_CLUSTER`` as django-q reads it, in the words of qcore.

django-q validates nothing: unknown keys are passed over, and of two brokers the first one
in its documented order counts. So nothing here is an error. What is read in another way
than it is written is noted, and the system checks show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qcore.errors import did_you_mean

#: The keys that select a broker, the strongest first. What none of them selects is Redis.
PRECEDENCE = ("broker_class", "disque_nodes", "iron_mq", "sqs", "orm", "mongo")
REDIS = ("django_redis", "redis")

#: What the classes of django-q are here: the key that selects the same service.
CLASSES = {
    "django_q.brokers.redis_broker.Redis": "redis",
    "django_q.brokers.disque.Disque": "disque_nodes",
    "django_q.brokers.ironmq.IronMQBroker": "iron_mq",
    "django_q.brokers.aws_sqs.Sqs": "sqs",
    "django_q.brokers.orm.ORM": "orm",
    "django_q.brokers.mongo.Mongo": "mongo",
}

#: What a key says that is there and says nothing, in django-q.
_EMPTY: dict[str, Any] = {"orm": "default", "disque_nodes": ["127.0.0.1:7711"]}

#: The broker of qcore that runs a broker class of django-q.
ADAPTER = "django_q.brokers.adapter.OldBroker"

#: Keys whose false value means the default.
_FALSE_IS_DEFAULT = ("workers", "queue_limit", "timeout", "max_rss", "poll", "bulk")

_SAVE_LIMIT_PER = ("group", "name", "func", None)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that is read in another way than it is written."""

    id: str
    message: str
    hint: str


@dataclass(slots=True)
class Adapted:
    """``Q_CLUSTER`` for qcore, and what there is to say of it."""

    options: dict[str, Any]
    notes: list[Note] = field(default_factory=list)

    def note(self, id: str, message: str, hint: str) -> None:
        self.notes.append(Note(f"django_q.{id}", message, hint))


def is_used() -> bool:
    """Return whether the project has ``django_q`` among its apps."""
    from django.conf import settings

    named = (str(entry) for entry in settings.INSTALLED_APPS)
    return any(name.partition(".")[0] == "django_q" for name in named)


def adapt(options: Mapping[str, Any], known: Iterable[str]) -> Adapted:
    """Return what qcore is to read.

    Args:
        options: the dictionary of the project; it is not changed.
        known: the keys of qcore and of its plugins.
    """
    from .overrides import overrides

    adapted = Adapted({**options, **overrides})
    _drop_unknown(adapted, adapted.options, set(known), "")
    alternatives = adapted.options.get("ALT_CLUSTERS")
    if isinstance(alternatives, Mapping):
        adapted.options["ALT_CLUSTERS"] = dict(
            _alternatives(adapted, alternatives, set(known))
        )
    _plain_values(adapted.options)
    _choose_broker(adapted)
    _check_save_limit(adapted)
    _renew(adapted)
    adapted.options.setdefault("serializer", "pickle")
    adapted.options.setdefault("accept_content", ["json", "pickle"])
    adapted.options.setdefault("commit", "now")
    return adapted


def _alternatives(
    adapted: Adapted, alternatives: Mapping[Any, Any], known: set[str]
) -> Iterator[tuple[Any, Any]]:
    for name, overrides in alternatives.items():
        if isinstance(overrides, Mapping):
            own = dict(overrides)
            _drop_unknown(adapted, own, known, f"['ALT_CLUSTERS'][{name!r}]")
            _plain_values(own)
            yield name, own
        else:
            yield name, overrides


def _drop_unknown(
    adapted: Adapted, options: dict[str, Any], known: set[str], where: str
) -> None:
    for key in [key for key in options if key not in known]:
        del options[key]
        adapted.note(
            "W001",
            f"Q_CLUSTER{where} has the key {key!r}, which nothing reads"
            f"{did_you_mean(str(key), known)}",
            "Correct it, or leave it out.",
        )


def _plain_values(options: dict[str, Any]) -> None:
    """Leave out what says nothing, and turn a lazy label into a text."""
    for key in _FALSE_IS_DEFAULT:
        if key in options and not options[key]:
            del options[key]
    for key in ("max_attempts", "recycle", "error_reporter", "cached", "label"):
        if key in options and options[key] is None:
            del options[key]
    if "label" in options:
        options["label"] = str(options["label"])


# -- brokers ---------------------------------------------------------------------------
def _choose_broker(adapted: Adapted) -> None:
    options = adapted.options
    chosen = next((key for key in PRECEDENCE if _selects(options, key)), None)
    for key in PRECEDENCE:
        if key != chosen and key in options:
            _leave_out(adapted, key, chosen)
    if chosen is not None:
        for key in REDIS:
            _leave_out(adapted, key, chosen)
    elif all(key in options for key in REDIS) and options["django_redis"]:
        _leave_out(adapted, "redis", "django_redis")
    elif not options.get("django_redis"):
        options.pop("django_redis", None)
    if chosen == "broker_class":
        _translate_class(adapted)


def _selects(options: Mapping[str, Any], key: str) -> bool:
    value = options.get(key)
    return isinstance(value, dict) if key == "sqs" else bool(value)


def _leave_out(adapted: Adapted, key: str, chosen: str | None) -> None:
    options = adapted.options
    if key not in options:
        return
    value = options.pop(key)
    if value or (key == "sqs" and isinstance(value, dict)):
        adapted.note(
            "W002",
            f"Q_CLUSTER has both {chosen!r} and {key!r}: the broker is that of"
            f" {chosen!r}, as in django-q.",
            f"Leave {key!r} out.",
        )


def _translate_class(adapted: Adapted) -> None:
    """Let a broker class of django-q be what qcore has for it."""
    options = adapted.options
    path = str(options["broker_class"])
    if key := CLASSES.get(path):
        del options["broker_class"]
        given = _given(key)
        options[key] = given or _EMPTY.get(key, {})
        return
    if _is_old(path):
        options["broker_class"] = ADAPTER


def _given(key: str) -> Any:
    from django.conf import settings

    return getattr(settings, "Q_CLUSTER", {}).get(key)


def _is_old(path: str) -> bool:
    """Return whether a path leads to a broker class as django-q has them."""
    from django.utils.module_loading import import_string

    from .brokers.contract import Broker

    try:
        found = import_string(path)
    except ImportError:
        return False  # the choice of the broker says what is wrong
    return isinstance(found, type) and issubclass(found, Broker)


# -- what contradicts itself ---------------------------------------------------------------
def _check_save_limit(adapted: Adapted) -> None:
    options = adapted.options
    value = options.get("save_limit_per")
    if value not in _SAVE_LIMIT_PER:
        del options["save_limit_per"]
        adapted.note(
            "W003",
            f"Q_CLUSTER['save_limit_per'] is {value!r}, expected 'group', 'name' or"
            " 'func': save_limit counts all successful tasks together.",
            "Correct it, or leave it out.",
        )


def _renew(adapted: Adapted) -> None:
    options = adapted.options
    retry, timeout = options.get("retry"), options.get("timeout")
    if not isinstance(retry, int | float) or not isinstance(timeout, int | float):
        return  # the validation says what is wrong, if anything is
    if "renew" in options or timeout < retry:
        return
    options["renew"] = True
    adapted.note(
        "W004",
        f"Q_CLUSTER: retry ({retry} s) is not longer than timeout ({timeout} s), which"
        " would start a running task again. So the lease of a running task is renewed.",
        f"Raise retry above {timeout}, or write 'renew': True.",
    )
