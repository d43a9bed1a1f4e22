"""Packages: nobody but us makes one, and what is not one is refused as such."""

from __future__ import annotations

import hmac
import uuid
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.later_packages import of_a_later_release

from qcore.envelope import Attempt, Options, Task, new_id, new_ids
from qcore.errors import (
    BadPackage,
    BadSignature,
    EnqueueError,
    NewerPackage,
    PackageError,
)
from qcore.signing import (
    BOUND,
    VERSION,
    Mac,
    Signer,
    derive_key,
    peek,
    size_limit,
)
from qcore.tasks.calls import next_link

#: Packages of every release so far, one per file; they stay here for ever.
RELEASES = Path(__file__).parent / "packages"
SECRET = "a secret of these tests"


def make(**fields):
    given = {
        "id": new_id(),
        "name": "mail-1",
        "func": "shop.mail",
        "queue": "tests",
        "created": 1_767_225_600.0,
        "content": "json",
        "body": b'[["a"],{}]',
    }
    return Task(**(given | fields))


@pytest.fixture
def signer():
    return Signer([SECRET], "site")


tasks = st.builds(
    Task,
    id=st.text(max_size=32),
    name=st.text(max_size=100),
    func=st.text(max_size=50),
    queue=st.text(max_size=20),
    created=st.floats(0, 4e9),
    content=st.sampled_from(["json", "pickle"]),
    body=st.binary(max_size=2000),
    group=st.none() | st.text(max_size=50),
    hook=st.none() | st.text(max_size=50),
    options=st.builds(
        Options,
        timeout=st.none() | st.floats(0, 1e6),
        save=st.booleans(),
        max_attempts=st.integers(0, 2**31),
    ),
    slot=st.none() | st.floats(0, 4e9),
    depth=st.integers(0, 1000),
    links=st.integers(0, 100),
    link=st.integers(0, 100),
)
#: What the ledger says of a task, for ``structs.replace``; a plain one says none of it.
of_the_ledger = st.fixed_dictionaries(
    {},
    optional={
        "gen": st.integers(0, 2**31),
        "relayed": st.booleans(),
        "needs": st.lists(st.text(max_size=20), max_size=3).map(tuple),
        "priority": st.integers(-100, 100),
        "expires": st.none() | st.floats(0, 4e9),
        "headers": st.none()
        | st.dictionaries(st.text(max_size=9), st.text(max_size=9)),
    },
)
#: A task as release 2.0 knows it.
Task20 = msgspec.defstruct(
    "Task20",
    [
        (field.name, field.type, field.default)
        if field.default is not msgspec.NODEFAULT
        else (field.name, field.type)
        for field in msgspec.structs.fields(Task)[:16]
    ],
    array_like=True,
    kw_only=True,
)


@given(task=tasks, compress=st.booleans())
def test_a_package_holds_its_task(task, compress):
    signer = Signer([SECRET], "site", compress=compress)
    package = signer.sign(task)
    assert signer.verify(package, task.queue) == task
    assert peek(package) == task


@pytest.mark.fault("G8")
@given(st.binary(max_size=300))
def test_bytes_of_others_are_refused_with_our_own_error(data):
    """Fault G8: whatever comes, no other exception leaves."""
    signer = Signer([SECRET], "site")
    for bytes_ in (data, b"qc\x01\x00" + data, b"qc\x01\x01" + data):
        with pytest.raises(PackageError):
            signer.verify(bytes_)


@pytest.mark.fault("G8")
@given(st.binary(max_size=300))
def test_signed_bytes_that_are_no_task(payload):
    """Somebody with the key, or a bug of ours: still refused, not crashed over."""
    key = derive_key(SECRET, "site")
    for flags in (b"\0", b"\1"):
        head = b"qc\x01" + flags
        mac = hmac.digest(key, head + payload, "sha256")
        with pytest.raises(BadPackage):
            Signer([SECRET], "site").verify(head + mac + payload)


@pytest.mark.fault("G1")
@pytest.mark.parametrize("compress", [False, True])
def test_each_byte_counts(compress):
    signer = Signer([SECRET], "site", compress=compress)
    package = signer.sign(make(body=b"x" * 200))
    for place in range(len(package)):
        for bit in (0x01, 0x80):
            changed = bytearray(package)
            changed[place] ^= bit
            with pytest.raises(PackageError):
                signer.verify(bytes(changed))


def test_one_byte_more_or_less(signer):
    package = signer.sign(make())
    for changed in (package + b"\0", package[:-1], b"\0" + package, b""):
        with pytest.raises(PackageError):
            signer.verify(changed)


@pytest.mark.fault("G2")
def test_a_key_that_was_rotated_is_still_accepted(signer):
    task = make()
    rotated = Signer(["a newer secret", SECRET], "site")
    assert rotated.verify(signer.sign(task)) == task
    with pytest.raises(BadSignature):
        signer.verify(rotated.sign(task))


@pytest.mark.fault("G3")
def test_a_key_that_is_no_longer_listed_is_refused(signer):
    with pytest.raises(BadSignature, match="SECRET_KEY_FALLBACKS"):
        Signer(["a newer secret"], "site").verify(signer.sign(make()))


@pytest.mark.fault("G5")
def test_a_package_belongs_to_its_queue_and_its_site(signer):
    package = signer.sign(make(queue="a"))
    with pytest.raises(BadSignature, match="signed for queue 'a' and came from 'b'"):
        signer.verify(package, "b")
    with pytest.raises(BadSignature):
        Signer([SECRET], "another site").verify(package, "a")


def test_keys_depend_on_secret_and_site():
    pairs = [("a", "b"), ("a", "c"), ("b", "b"), ("ab", ""), ("", "ab")]
    assert len({derive_key(*pair) for pair in pairs}) == len(pairs)


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_the_mac_is_the_standards(key, message):
    assert Mac(key).of(message) == hmac.digest(key, message, "sha256")


def test_a_key_that_would_have_to_be_hashed_first_is_refused():
    with pytest.raises(ValueError, match="at most 64 bytes, got 65"):
        Mac(bytes(65))


def test_ids_are_those_of_rfc_9562():
    ids = [new_id(), *new_ids(1000)]
    assert len(set(ids)) == 1001
    assert new_ids(0) == []
    for one in map(uuid.UUID, ids):
        assert (one.version, one.variant) == (7, uuid.RFC_4122)
    assert {one[16] for one in ids} == set("89ab")
    assert ids[0][:12] <= ids[1][:12] == ids[-1][:12]


@pytest.mark.fault("G9")
def test_a_package_of_a_later_release_says_so(signer):
    later = of_a_later_release(signer.sign(make()), signer)
    for read in (signer.verify, signer.read):
        with pytest.raises(NewerPackage, match="has version 9, this qcore reads up to"):
            read(later)


@pytest.mark.fault("G19")
def test_a_version_byte_proves_nothing(signer):
    """Anybody can write one: a package is genuine first, and of a later release then."""
    package = signer.sign(make())
    for version in (0, 2, 9, 255):
        with pytest.raises(BadSignature):
            signer.verify(package[:2] + bytes([version]) + package[3:])
    forged = of_a_later_release(package, Signer(["another secret"], "site"))
    with pytest.raises(BadSignature):
        signer.verify(forged)


# -- size ----------------------------------------------------------------------------------
@pytest.mark.fault("G20")
def test_nothing_over_the_limit_is_hashed_or_inflated(monkeypatch):
    signer = Signer([SECRET], "site", max_size=1000)
    fits = b"qc\x01\x00" + bytes(996)
    with pytest.raises(BadSignature):
        signer.verify(fits)

    def hashed(*_):
        raise AssertionError("it was hashed")

    monkeypatch.setattr(Mac, "of", hashed)
    monkeypatch.setattr(Signer, "_inflate", hashed)
    for head in (b"qc\x01\x00", b"qc\x01\x01", b"qc\x09\x01", b"zzzz"):
        for read in (signer.verify, signer.read):
            with pytest.raises(BadPackage, match=r"1,001 bytes, .* reads up to 1,000"):
                read(head + bytes(997))


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_sent_is_read(compress):
    """The limit is the same on both sides, so nobody gets an id of what is refused."""
    signer = Signer([SECRET], "site", compress=compress, max_size=1000)
    for length in range(700, 1000):
        try:
            package = signer.sign(make(body=b"x" * length))
        except EnqueueError as error:
            assert "clusters read up to 1,000" in str(error)
            assert length > 750
            break
        assert len(signer.verify(package).body) == length
    else:
        raise AssertionError("it has no limit")


def test_the_limit_leaves_room_for_the_largest_arguments():
    assert size_limit(1) == size_limit(1_048_576) == 16 * 1024 * 1024
    for most in (16 * 1024 * 1024, 10**9):
        assert size_limit(most) >= most + 1024 * 1024


# -- compression ---------------------------------------------------------------------------
def test_compression_only_where_it_helps():
    signer = Signer([SECRET], "site", compress=True)
    long, short = make(body=b"x" * 1000), make(id="", name="", func="", body=b"")
    assert len(signer.sign(long)) < 300
    assert signer.sign(long)[3] == 1
    assert signer.sign(short)[3] == 0


def test_what_was_compressed_is_read_without_the_setting(signer):
    task = make(body=b"x" * 1000)
    assert signer.verify(Signer([SECRET], "site", compress=True).sign(task)) == task


@pytest.mark.fault("C7")
def test_a_bomb_is_not_inflated():
    """A gigabyte in a megabyte, with a good signature: refused at the limit."""
    deflate = zlib.compressobj(9)
    # after a full flush the same million gives the same bytes, as often as one likes
    first, again = (
        deflate.compress(bytes(1_000_000)) + deflate.flush(zlib.Z_FULL_FLUSH)
        for _ in range(2)
    )
    payload = first + 999 * again
    inflate = zlib.decompressobj()
    assert sum(len(inflate.decompress(part)) for part in (first, again)) == 2_000_000
    head = b"qc\x01\x01"
    mac = hmac.digest(derive_key(SECRET, "site"), head + payload, "sha256")
    with pytest.raises(BadPackage, match="inflates to more than 16,777,216 bytes"):
        Signer([SECRET], "site").verify(head + mac + payload)


def test_a_torn_compressed_package():
    payload = zlib.compress(msgspec.msgpack.encode(make()))[:-5]
    head = b"qc\x01\x01"
    mac = hmac.digest(derive_key(SECRET, "site"), head + payload, "sha256")
    with pytest.raises(BadPackage):
        Signer([SECRET], "site").verify(head + mac + payload)


# -- releases ----------------------------------------------------------------------------
@pytest.mark.fault("G10")
@pytest.mark.parametrize(
    "path", sorted(RELEASES.glob("*.package")), ids=lambda p: p.stem
)
def test_packages_of_older_releases_are_read(signer, path):
    task = signer.verify(bytes.fromhex(path.read_text()), "tests")
    assert (task.func, task.body) == ("shop.mail", b'[["a"],{}]')
    assert (task.group, task.hook) == ("letters", "shop.sent")
    assert task.options.timeout == 30
    assert task.follows_up


def test_there_is_a_package_of_this_release():
    import qcore

    assert (RELEASES / f"{qcore.__version__}.package").exists()


def test_an_older_release_reads_what_has_fields_that_it_does_not_know(signer):
    """Fields are appended only, so that a cluster may be one release behind."""
    payload = msgspec.msgpack.encode(make())
    fields = [*msgspec.msgpack.decode(payload), "a field of the future"]
    payload = msgspec.msgpack.encode(fields)
    head = b"qc\x01\x00"
    mac = hmac.digest(derive_key(SECRET, "site"), head + payload, "sha256")
    assert signer.verify(head + mac + payload).func == "shop.mail"


def test_the_fields_stand_where_they_always_stood():
    assert Task.__struct_fields__[:16] == (
        "id", "name", "func", "queue", "created", "content", "body", "group", "hook",
        "options", "iter_index", "iter_count", "slot", "depth", "links", "link",
    )  # fmt: skip


# -- what the ledger says of a task ----------------------------------------------------------
@given(task=tasks, more=of_the_ledger, compress=st.booleans())
def test_what_the_ledger_says_arrives(task, more, compress):
    """All of it; and a release that would ignore it does not take it for a plain one."""
    task = msgspec.structs.replace(task, **more)
    signer = Signer([SECRET], "site", compress=compress)
    package = signer.sign(task)
    assert peek(package) == task
    bound = bool(task.gen or task.needs or task.expires is not None)
    assert package[2] == (BOUND if bound else VERSION)
    assert signer.verify(package) == task


@given(task=tasks)
def test_a_plain_package_has_the_bytes_of_2_0(task):
    values = {name: getattr(task, name) for name in Task20.__struct_fields__}
    payload = msgspec.msgpack.encode(Task20(**values))
    assert Signer([SECRET], "site").sign(task)[36:] == payload


@pytest.mark.fault("G9")
@given(
    task=tasks,
    relayed=st.booleans(),
    priority=st.integers(-100, 100),
    headers=st.none() | st.dictionaries(st.text(max_size=9), st.text(max_size=9)),
)
def test_2_0_reads_what_only_adds_to_a_plain_task(task, relayed, priority, headers):
    """A package through the outbox runs on a cluster that is not updated yet."""
    sent = msgspec.structs.replace(
        task, relayed=relayed, priority=priority, headers=headers
    )
    package = Signer([SECRET], "site").sign(sent)
    assert package[2] == VERSION
    read = msgspec.msgpack.Decoder(Task20).decode(package[36:])
    for name in Task20.__struct_fields__:
        assert getattr(read, name) == getattr(task, name)


def test_what_came_through_the_outbox_may_have_come_twice():
    assert not make().may_be_doubled
    assert make(relayed=True).may_be_doubled


def test_a_link_begins_anew():
    body = b'[["a"],{},[["shop.sent",[],{}]]]'
    first = make(body=body, links=1, gen=3, relayed=True, priority=7)
    link = next_link(first, Attempt("success", b"1", "json", 1.0, 2.0))
    assert link is not None
    assert (link.gen, link.relayed, link.priority) == (0, False, 7)
