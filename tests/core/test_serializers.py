"""Values survive the trip through a queue unchanged, or are refused at the call."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import json
import math
import pickle
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import models
from django.http import QueryDict
from django.utils import translation
from django.utils.functional import SimpleLazyObject, lazy, lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from qcore.errors import BadPackage, ConfigError, SerializeError
from qcore.serializers import (
    JsonSerializer,
    PickleSerializer,
    describe,
    get_serializer,
)
from qcore.serializers.jsontags import _READERS, MAX_DEPTH

JSON = JsonSerializer()
PICKLE = PickleSerializer()
BERLIN = ZoneInfo("Europe/Berlin")


def same(a: object, b: object) -> bool:
    """Return whether two values are equal with all types, zones and folds."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, (dt.datetime, dt.time)):
        zone_a, zone_b = a.tzinfo, b.tzinfo
        naive = a.replace(tzinfo=None) == b.replace(tzinfo=None)
        return naive and a.fold == b.fold and same_zone(zone_a, zone_b)
    return a == b


def same_zone(a: dt.tzinfo | None, b: dt.tzinfo | None) -> bool:
    return a is b or (type(a) is type(b) and a == b)


offsets = st.integers(-86_399, 86_399).map(
    lambda seconds: dt.timezone(dt.timedelta(seconds=seconds))
)
zones = st.none() | st.timezones() | offsets
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$", "v"])
hashable_atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
    | st.floats()
    | texts
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.dates()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
)
# A signalling NaN has no hash, so it can be a member but not a key.
keys = st.recursive(
    hashable_atoms.filter(lambda v: not (isinstance(v, Decimal) and v.is_snan())),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3)
    ),
    max_leaves=4,
)
values = st.recursive(
    hashable_atoms | st.binary().map(bytearray) | st.just(Decimal("-sNaN123")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.fault("C5")
@given(values)
def test_json_gives_back_what_it_was_given(value: object) -> None:
    data = JSON.dumps(value)
    assert same(JSON.loads(data), value)
    assert JSON.dumps(JSON.loads(data)) == data
    data.decode("utf-8")


@pytest.mark.fault("C5")
@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -math.inf,
        -0.0,
        2**20_000,
        True,
        (1, (2, [3])),
        {1: "int", "1": "str"},
        {True: 1, None: 2, (1, 2): 3, dt.date(2026, 1, 1): 4},
        {"$": "date", "v": "2026-01-01"},
        {"a": {"$": 1}},
        {"$": "date", "\udcff": 1},
        "\ud800",
        {"\udcff": ["\udc80", {"$": "ok"}]},
        {frozenset({"\udcff"})},
        bytearray(b"\x00\xff"),
        Decimal("1.10"),
        UUID(int=7),
        dt.timedelta.min,
        dt.datetime(2026, 10, 25, 2, 30, fold=1),
        dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        dt.time(2, 30, tzinfo=BERLIN, fold=1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_json_keeps_the_classic_traps(value: object) -> None:
    assert same(JSON.loads(JSON.dumps(value)), value)


def test_plain_values_are_plain_json() -> None:
    value = {"a": [1, 2.5, None, True], "text": "Grüße"}
    assert JSON.dumps(value) == '{"a":[1,2.5,null,true],"text":"Grüße"}'.encode()


def test_tags_are_readable() -> None:
    assert JSON.dumps(dt.date(2026, 2, 28)) == b'{"$":"date","v":"2026-02-28"}'
    moment = dt.datetime(2026, 2, 28, 12, tzinfo=BERLIN)
    assert b'["2026-02-28T12:00:00","Europe/Berlin",0]' in JSON.dumps(moment)


def test_a_set_is_written_in_one_order() -> None:
    words = {f"word{number}" for number in range(50)}  # hashed anew by each process
    assert json.loads(JSON.dumps(words))["v"] == sorted(words)


def test_a_zone_without_a_key_is_kept_as_its_offset() -> None:
    class Fixed(dt.tzinfo):
        def utcoffset(self, _when: dt.datetime | None) -> dt.timedelta:
            return dt.timedelta(hours=3)

    moment = dt.datetime(2026, 1, 1, tzinfo=Fixed())
    found = JSON.loads(JSON.dumps(moment))
    assert found == moment
    assert found.tzinfo == dt.timezone(dt.timedelta(hours=3))


def test_a_zone_that_gives_no_offset_is_refused() -> None:
    class Nowhere(dt.tzinfo):
        def utcoffset(self, _when: dt.datetime | None) -> None:
            return None

    with pytest.raises(SerializeError, match=r"^\[0\]: "):
        JSON.dumps([dt.datetime(2026, 1, 1, tzinfo=Nowhere())])


class Colour(enum.Enum):
    RED = 1


class Size(models.IntegerChoices):
    BIG = 1


class Word(models.TextChoices):
    YES = "yes", "Yes"


class Letter(str, enum.Enum):  # noqa: UP042 - as many projects still have it
    A = "a"


class Point(NamedTuple):
    x: int


class Day(dt.date):
    """A date with a name."""


class Moment(dt.datetime):
    """As libraries that stop the clock make it."""


class Unhappy(dict[str, int]):
    def keys(self) -> object:  # type: ignore[override]
        raise RuntimeError("no keys")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no members")


def of_package(package: str, name: str, **members: object) -> object:
    """Return an object of a class as another package would define it."""
    return type(name, (), {"__module__": package, **members})()


class Model:
    _meta = "options"
    pk = 1


class QuerySet:
    def values_list(self) -> None: ...

    def iterator(self) -> None: ...


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (mark_safe("<b>"), "<b>"),
        (lazystr("x"), "x"),
        (Size.BIG, 1),
        (Word.YES, "yes"),
        (Letter.A, "a"),
        (Point(1), (1,)),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.OrderedDict(b=mark_safe("x")), {"b": "x"}),
        (QueryDict("a=1&a=2"), {"a": ["1", "2"]}),
        (type("Names", (list,), {})([Word.YES]), ["yes"]),
        (type("Few", (set,), {})({1}), {1}),
        (type("Fixed", (frozenset,), {})({1}), frozenset({1})),
        (type("Raw", (bytes,), {"__bytes__": None})(b"x"), b"x"),
        (type("Part", (bytearray,), {})(b"x"), bytearray(b"x")),
        (type("Share", (float,), {})(0.5), 0.5),
        (type("Money", (Decimal,), {})("1.10"), Decimal("1.10")),
        (type("Key", (UUID,), {})(int=7), UUID(int=7)),
        (type("Span", (dt.timedelta,), {})(1, 2, 3), dt.timedelta(1, 2, 3)),
        (type("Hour", (dt.time,), {})(1, 2, fold=1), dt.time(1, 2, fold=1)),
        (Day(2026, 1, 1), dt.date(2026, 1, 1)),
        (
            Moment(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
            dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_a_subclass_comes_back_as_one_of_its_base(
    value: object, plain: object
) -> None:
    assert same(JSON.loads(JSON.dumps(value)), plain)
    assert same(JSON.loads(JSON.dumps([{"deep": (value,)}])), [{"deep": (plain,)}])


def test_a_choice_is_a_key_as_well() -> None:
    assert JSON.loads(JSON.dumps({Word.YES: Size.BIG})) == {"yes": 1}


def test_a_lazy_translation_is_sent_in_the_language_of_the_sender() -> None:
    with translation.override("de"):
        data = JSON.dumps(gettext_lazy("Yes"))
    assert JSON.loads(data) == "Ja"


def test_what_a_lazy_value_stands_for_is_judged() -> None:
    models_of = lazy(Model, Model)
    with pytest.raises(SerializeError, match="cannot be sent"):
        JSON.dumps(models_of())


@pytest.mark.fault("C1")
@pytest.mark.parametrize(
    ("culprit", "hint"),
    [
        (Colour.RED, ".value"),
        (Model(), ".pk"),
        (QuerySet(), "values_list"),
        (Unhappy(), "dict(x)"),
        (of_package("numpy", "int64", item=None), "x.item()"),
        (of_package("numpy", "ndarray", item=None), "x.tolist()"),
        (of_package("numpy", "datetime64", item=None), "[us]').item()"),
        (of_package("pandas._libs.tslibs.nattype", "NaTType"), "pass None"),
        (of_package("pandas.core.frame", "DataFrame"), "to_dict('records')"),
        (of_package("pandas.core.indexes.base", "Index", tolist=None), "x.tolist()"),
        (Path("x"), "str(path)"),
        (lambda: None, "dotted path"),
        (len, "dotted path"),
        (int, "dotted path"),
        (math, "name"),
        (iter([]), "list(x)"),
        (ValueError("x"), "str(x)"),
        (threading.Lock(), "inside the task"),
        (memoryview(b"x"), "bytes(x)"),
        (1j, "'serializer': 'pickle'"),
        (Odd(), "'serializer': 'pickle'"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_json_refuses_with_path_and_hint(culprit: object, hint: str) -> None:
    with pytest.raises(SerializeError) as caught:
        JSON.dumps([1, {"user": ("x", culprit)}])
    assert caught.value.path == "[1]['user'][1]"
    assert hint in caught.value.hint
    assert type(culprit).__qualname__ in str(caught.value)
    assert str(caught.value).startswith("[1]['user'][1]: ")


@pytest.mark.fault("C1")
def test_a_lazy_object_is_not_made_to_be_refused() -> None:
    """``request.user`` is one: a query would run where the message is written."""
    user = SimpleLazyObject(Model)
    with pytest.raises(SerializeError, match="what it stands for"):
        JSON.dumps([user])
    assert user.pk == 1  # now it is made
    with pytest.raises(SerializeError, match=r"pass its \.pk"):
        JSON.dumps([user])


@pytest.mark.fault("B24")
def test_generators_files_and_coroutines_are_refused() -> None:
    async def later() -> None: ...

    coroutine = later()
    with pytest.raises(SerializeError, match=r"coroutine.*asyncio\.run"):
        JSON.dumps(coroutine)
    coroutine.close()
    with pytest.raises(SerializeError, match=r"type generator .*list\(x\)"):
        JSON.dumps(number for number in range(3))
    with (
        Path(__file__).open() as file,
        pytest.raises(SerializeError, match="pass its path"),
    ):
        JSON.dumps(file)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({Colour.RED: 1}, "[key Colour]"),
        (Point(1j), "[0]"),  # type: ignore[arg-type]
        (collections.OrderedDict(a=[1j]), "['a'][0]"),
        ({("a", 1j): 1}, "[key tuple][1]"),
        ({1: 1j}, "[1]"),
        ({2**20_000: 1j}, "[int]"),
        ({1j}, "[member complex]"),
        ({"x" * 60: 1j}, f"['{'x' * 36}...]"),
    ],
)
def test_the_path_leads_through_keys_and_sets(value: object, path: str) -> None:
    with pytest.raises(SerializeError) as caught:
        JSON.dumps(value)
    assert caught.value.path == path


def test_a_refusal_survives_pickle() -> None:
    error = SerializeError("no", "[0]", "try 1")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.hint) == (str(error), "[0]", "try 1")


def nested(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.fault("C6")
def test_nesting_up_to_the_limit_comes_back() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = {(1,): value}
    assert JSON.loads(JSON.dumps(value)) == value


@pytest.mark.fault("C6")
@pytest.mark.parametrize("levels", [MAX_DEPTH + 2, 5_000, 50_000])
def test_deep_nesting_is_refused_when_written(levels: int) -> None:
    with pytest.raises(SerializeError, match="levels deep"):
        JSON.dumps(nested(levels))


NESTED = pytest.mark.parametrize(
    ("left", "right"),
    [("[", "]"), ('{"$":"tuple","v":[', "]}"), ('{"a":', "}")],
)


@pytest.mark.fault("C6")
@NESTED
def test_deep_nesting_is_refused_when_read(left: str, right: str) -> None:
    bomb = f"{left * 200_000}1{right * 200_000}".encode()
    with pytest.raises(BadPackage, match="nested too deeply"):
        JSON.loads(bomb)


@pytest.mark.fault("C6")
@NESTED
def test_nesting_that_only_some_pythons_read_ends_in_an_answer(
    left: str, right: str
) -> None:
    """From Python 3.12 on, code in C may recurse deeper than code in Python."""
    nested = f"{left * 5_000}1{right * 5_000}".encode()
    try:
        answer: object = JSON.loads(nested)
    except BadPackage as refused:
        answer = refused
    assert isinstance(answer, list | dict | BadPackage)


@pytest.mark.fault("C6")
def test_a_cycle_is_refused() -> None:
    ring: list[object] = []
    ring.append({"again": (ring,)})
    with pytest.raises(SerializeError, match="holds itself"):
        JSON.dumps(ring)


def test_the_search_for_the_path_ends_in_a_cycle() -> None:
    ring: list[object] = [1j]
    ring.insert(0, {"again": ring})
    with pytest.raises(SerializeError):
        JSON.dumps(ring)


@given(st.binary())
def test_json_reads_any_bytes_or_says_bad_package(data: bytes) -> None:
    read_or_refuse(data)


tags = st.sampled_from(sorted(_READERS))
payloads = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["2026-01-01T00:00:00", "../x", "Europe", "UTC", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.fixed_dictionaries({"$": tags, "v": inner})
        | st.dictionaries(st.sampled_from(["$", "v", "a"]), inner)
    ),
    max_leaves=10,
)


@given(tags, payloads)
def test_json_reads_any_tag_or_says_bad_package(tag: str, payload: object) -> None:
    tree = {"$": tag, "v": payload}
    read_or_refuse(json.dumps(tree, separators=(",", ":")).encode())


def read_or_refuse(data: bytes) -> None:
    try:
        JSON.loads(data)
    except BadPackage as error:
        assert str(error)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[1",
        b"NaN",
        b'{"$":"object","v":"os.system"}',
        b'{"$":"date"}',
        b'{"$":"date","v":"2026-01-01","x":1}',
        b'{"$":[],"v":1}',
        b'{"$":"set","v":[[1]]}',
        b'{"$":"set","v":"abc"}',
        b'{"$":"bytes","v":"*"}',
        b'{"$":"dict","v":{"ab":1}}',
        b'{"$":"datetime","v":["2026-01-01T00:00:00","../../etc/passwd",0]}',
        b'{"$":"datetime","v":["2026-01-01T00:00:00","Europe",0]}',
        b'{"$":"timedelta","v":[1e300,0,0]}',
    ],
)
def test_bad_json_is_a_bad_package(data: bytes) -> None:
    with pytest.raises(BadPackage):
        JSON.loads(data)


@pytest.mark.fault("G7")
def test_json_never_opens_a_pickle() -> None:
    with pytest.raises(BadPackage):
        JSON.loads(pickle.dumps(Path("x")))


@given(values)
def test_pickle_gives_back_what_it_was_given(value: object) -> None:
    assert same(PICKLE.loads(PICKLE.dumps(value)), value)


def test_pickle_takes_objects() -> None:
    assert PICKLE.loads(PICKLE.dumps(Point(1))) == Point(1)
    assert PICKLE.dumps(1)[:2] == b"\x80\x05"


def test_pickle_refuses_what_it_cannot_take() -> None:
    with pytest.raises(SerializeError, match="function cannot be pickled"):
        PICKLE.dumps(lambda: None)
    with pytest.raises(SerializeError):
        PICKLE.dumps(nested(50_000))


@pytest.mark.parametrize("data", [b"", b"x", pickle.dumps(Point(1))[:-3]])
def test_bad_pickle_is_a_bad_package(data: bytes) -> None:
    with pytest.raises(BadPackage, match="pickle payload cannot be read"):
        PICKLE.loads(data)


def test_an_unknown_serializer_is_named_with_its_neighbour() -> None:
    assert get_serializer("json").name == "json"
    assert get_serializer("pickle").name == "pickle"
    with pytest.raises(ConfigError, match="did you mean 'pickle'"):
        get_serializer("pickel")


def test_payloads_are_described_without_opening_pickles() -> None:
    assert describe(JSON.dumps({"day": dt.date(2026, 1, 2)}), "json") == (
        "{'day': datetime.date(2026, 1, 2)}"
    )
    data = PICKLE.dumps(1)
    assert describe(data, "pickle") == f"<pickle, {len(data)} bytes, not shown>"
    assert describe(b"[1", "json") == "<unreadable json, 2 bytes>"
    huge = JSON.dumps(2**20_000)
    assert describe(huge, "json") == huge.decode()
    assert describe(b'"' + b"x" * 99 + b'"', "json", limit=3) == '"xx… (101 bytes)'
