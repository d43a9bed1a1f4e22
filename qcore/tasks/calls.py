"""Calls: what somebody asks for, on its way to becoming a Task."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec

from ..envelope import RESENT_FROM, Attempt, Result, Task, new_ids, task_name
from ..errors import EnqueueError
from ..serializers import get_serializer
from . import plugin_options
from .build import Builder, Link, builder_of, travelling
from .functions import takes_keyword
from .options import OPTIONS, OWN_FIELDS, TASK_FIELDS, YIELDING, unknown_option


def split_options(
    kwargs: dict[str, Any],
    func: Callable[..., Any] | str | None = None,
    *,
    with_id: bool = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split keywords into those for the function and those about the task.

    An option may stand among the keywords or in ``q_options``. What stands in both is
    an option there and an argument here, so that a function can have a keyword of
    that name. A keyword whose option yields is an argument, too, where the function
    takes it. The dictionaries passed in are not changed.

    Args:
        kwargs: the keywords of a call.
        func: a function of a module, or its dotted path; None: no function is to have
            any of the keywords.
        with_id: whether the options may hold a ``task_id``; as a keyword that is always
            one for the function.

    Raises:
        EnqueueError: ``q_options`` holds an unknown option.
    """
    if not kwargs:
        return kwargs, {}  # nearly always
    given = kwargs.get("q_options")
    of_plugins = plugin_options.names()
    names = kwargs.keys() & OPTIONS
    if of_plugins:
        names |= kwargs.keys() & of_plugins.keys()
    if given is None:
        if not names and "q_options" not in kwargs:
            return kwargs, {}
        given = {}
    else:
        if not isinstance(given, dict):
            raise EnqueueError(
                f"q_options is {type(given).__name__}, expected a dictionary of options."
            )
        for key in given:
            if (
                key not in OPTIONS
                and not (with_id and key == "task_id")
                and key not in of_plugins
            ):
                raise EnqueueError(f"q_options: {unknown_option(key)}")
    yielding = YIELDING | of_plugins.keys() if of_plugins else YIELDING
    if func is not None and (doubtful := names & yielding):
        names -= {word for word in doubtful if takes_keyword(func, word)}
    options = {key: kwargs[key] for key in names} | given
    taken = names - given.keys()
    rest = {k: v for k, v in kwargs.items() if k not in taken and k != "q_options"}
    return rest, options


def unambiguous(
    kwargs: dict[str, Any], func: Callable[..., Any] | str
) -> dict[str, Any]:
    """Return keywords that every reader splits in the same way.

    Options that yield go into ``q_options`` unless the function takes them: who splits
    the keywords later may not have loaded the function, and could not tell. Options of
    plugins become plain data.

    Raises:
        EnqueueError: a plugin refuses the value of its option.
    """
    of_plugins = plugin_options.names()
    doubtful = kwargs.keys() & (YIELDING | of_plugins.keys())
    words = {word for word in doubtful if not takes_keyword(func, word)}
    given = kwargs.get("q_options") or {}
    if not isinstance(given, dict) or not (words or given.keys() & of_plugins.keys()):
        return kwargs
    rest = {key: value for key, value in kwargs.items() if key not in words}
    options = {word: kwargs[word] for word in words} | given
    for name in options.keys() & of_plugins.keys():
        if options[name] is not None:
            options[name] = plugin_options.read(of_plugins[name], options[name])
    return rest | {"q_options": options}


def build(
    func: Callable[..., Any] | str,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    *,
    task_id: str | None = None,
    chain: Sequence[Link] = (),
    slot: float | None = None,
    iter_index: int | None = None,
    iter_count: int | None = None,
    announced: bool = False,
    **options: Any,
) -> Task:
    """Return the Task of a call; nothing is sent.

    Args:
        func: a function of a module, or its dotted path.
        args: positional arguments, of types that the serializer knows.
        kwargs: keyword arguments.
        task_id: 32 hexadecimal digits; None makes a new one.
        chain: the links that follow.
        slot: the moment of the schedule that it is made for, epoch seconds.
        iter_index: its place among ``iter_count`` calls of one ``async_iter``.
        iter_count: how many they are.
        announced: receivers of ``pre_enqueue`` are not to be asked (again).
        options: see ``options.TaskOptions``.

    Raises:
        EnqueueError: the function has no path, or an argument cannot be sent.
    """
    kwargs = kwargs or {}
    if not announced:
        func, args, kwargs, options = announce(func, args, kwargs, options)
    return builder_of(func, options).task(
        args,
        kwargs,
        task_id=task_id,
        chain=chain,
        slot=slot,
        iter_index=iter_index,
        iter_count=iter_count,
    )


def build_many(
    builder: Builder,
    func: Callable[..., Any] | str,
    calls: Sequence[Sequence[Any]],
    kwargs: dict[str, Any] | None = None,
    *,
    iter_id: str | None = None,
) -> list[Task]:
    """Return the Tasks of many calls of one function.

    Args:
        builder: of the function, with the options of all calls.
        func: a function of a module, or its dotted path.
        calls: the positional arguments of each.
        kwargs: keyword arguments, the same for all.
        iter_id: they are the calls of one ``async_iter``, whose id this is.

    Raises:
        EnqueueError: the function has no path, or an argument cannot be sent.
    """
    kwargs, count = kwargs or {}, len(calls)
    is_announced = bool(_pre_enqueue().receivers)
    if iter_id is None and not is_announced:
        return [
            builder.task(args, kwargs, task_id=id)
            for args, id in zip(calls, new_ids(count), strict=True)
        ]
    own: Iterable[dict[str, Any]] = ({"task_id": id} for id in new_ids(count))
    if iter_id is not None:
        # ids in the order of the calls: the group's beginning, then the place
        own = (
            {"task_id": f"{iter_id[:24]}{n:08x}", "iter_index": n, "iter_count": count}
            for n in range(count)
        )
    if is_announced:
        # a receiver may make each of them a call of another function
        return [
            build(func, args, kwargs, **more, **builder.options)
            for args, more in zip(calls, own, strict=True)
        ]
    return [
        builder.task(args, kwargs, **more)
        for args, more in zip(calls, own, strict=True)
    ]


def announce(
    func: Callable[..., Any] | str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Callable[..., Any] | str, Sequence[Any], dict[str, Any], dict[str, Any]]:
    """Let receivers of ``pre_enqueue`` change a call, where there are any."""
    signal = _pre_enqueue()
    if not signal.receivers:
        return func, args, kwargs, options
    from ..signals import SENDER

    call = {"func": func, "args": args, "kwargs": kwargs, **options}
    signal.send_robust(sender=SENDER, task=call)
    try:
        func, args, kwargs = call.pop("func"), call.pop("args"), call.pop("kwargs")
    except KeyError as error:
        raise EnqueueError(
            f"a receiver of pre_enqueue has removed {error} from the call. Receivers may"
            " change 'func', 'args' and 'kwargs' and add options, but remove none of"
            " the three."
        ) from None
    if not isinstance(args, (list, tuple)) or not are_keywords(kwargs):
        raise EnqueueError(
            "a receiver of pre_enqueue has changed the type of args or kwargs; expected"
            " args as a list or tuple, and kwargs as a dictionary whose keys are names."
        )
    return func, args, kwargs, call


def are_keywords(kwargs: object) -> bool:
    """Whether something is a dictionary of keyword arguments."""
    return isinstance(kwargs, dict) and all(isinstance(key, str) for key in kwargs)


@functools.cache
def _pre_enqueue() -> Any:
    # Django's, so imported late; and once, for an import costs each call half a µs
    from ..signals import pre_enqueue

    return pre_enqueue


# -- tasks that come of a task ---------------------------------------------------
def follow_on_id(task_id: str) -> str:
    """Return the id of the link after a task: the same however often it is asked."""
    return hashlib.blake2b(f"{task_id} next".encode(), digest_size=16).hexdigest()


def next_link(task: Task, ended: Attempt | Result | None = None) -> Task | None:
    """Return the task that follows in a chain, or None at its end.

    Its id is derived from its predecessor's, so a predecessor that is delivered
    twice makes the same follower twice, and the second is recognised.

    Args:
        task: has succeeded.
        ended: its success, with the value; needed where it passes that on.

    Raises:
        ValueError: it passes its value on, and that was not given.
    """
    if not task.links:
        return None
    split = _split_json if task.content == "json" else _split
    path, body, links, own = split(task)
    if task.passes_result:
        if ended is None:
            raise ValueError(f"{task.func} id={task.id} passes a value on: give it")
        body = _with_result(body, task.content, ended)
    task_id = follow_on_id(task.id)
    changed: dict[str, Any] = {}
    if own is not None:
        changed = {key: own.get(key, _DEFAULT[key]) for key in LINK_FIELDS}
        changed["options"] = msgspec.structs.replace(
            travelling(own), pass_results=task.options.pass_results
        )
    return msgspec.structs.replace(
        task,
        id=task_id,
        name=task_name(path, task_id),
        func=path,
        created=time.time(),
        body=body,
        links=links,
        link=task.link + 1,
        gen=0,
        relayed=False,
        needs=(),  # plugins are asked anew
        headers=_for_followers(task.headers),
        **changed,
    )


def _with_result(body: bytes, content: str, ended: Attempt | Result) -> bytes:
    """Return the body of a link with the result of the one before as its first argument."""
    if content == ended.content == "json":
        # it is not decoded: it is, once, where the link runs
        args, *rest = _values(body)
        return _json([[msgspec.Raw(ended.value), *_values(args)], *rest])
    value = get_serializer(ended.content).loads(ended.value)
    serializer = get_serializer(content)
    call: Any = serializer.loads(body)
    return serializer.dumps([[value, *call[0]], *call[1:]])


def _for_followers(headers: dict[str, str] | None) -> dict[str, str] | None:
    """Return the headers that go to the next link: it is not what was sent again."""
    if headers is None or RESENT_FROM not in headers:
        return headers
    return {k: v for k, v in headers.items() if k != RESENT_FROM} or None


#: What a link says of itself on the wire; the group is that of the chain.
LINK_OPTIONS = (OWN_FIELDS | TASK_FIELDS) - {"group"}
#: Those of them that are fields of a Task.
LINK_FIELDS = TASK_FIELDS - {"group"}
#: Field of a Task -> what it is where nothing is said; the fields without stand first.
_DEFAULT = dict(
    zip(Task.__struct_fields__[::-1], Task.__struct_defaults__[::-1], strict=False)
)

#: Of the next link: path, body, how many links the body carries, options of its own.
Split = tuple[str, bytes, int, dict[str, Any] | None]


def _split_json(task: Task) -> Split:
    """Split off the next link.

    The values of the links are not decoded: each of them is, once, where it runs.
    """
    links = _values(_values(task.body)[2])
    path, args, kwargs, *own = _values(links[0])
    rest = links[1:]
    body = [args, kwargs, rest] if rest else [args, kwargs]
    return _text(path), _json(body), len(rest), _options(own[0]) if own else None


def _split(task: Task) -> Split:
    """The same, with a serializer whose values cannot be told apart without decoding."""
    serializer = get_serializer(task.content)
    links: Any = cast("Any", serializer.loads(task.body))[2]
    path, args, kwargs, *own = links[0]
    rest = links[1:]
    body = [list(args), kwargs, rest] if rest else [list(args), kwargs]
    return path, serializer.dumps(body), len(rest), own[0] if own else None


#: Of a JSON list its values, each as the text that it is.
_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_options = msgspec.json.Decoder(dict[str, Any]).decode
_json = msgspec.json.Encoder().encode
