"""Where the server is: several seeds of a cluster, Sentinels, and what is told of them."""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.test import override_settings
from redis.crc import key_slot
from servers.base import free_port
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster, Watched

from qcore.brokers.addresses import Address
from qcore.errors import BrokerError, BrokerUnavailable, ConfigError
from qcore.testing.speed import Patience
from qcore_redis.addresses import read_addresses
from qcore_redis.broker import RedisBroker

Open = Callable[..., RedisBroker]
CACHE = "django_redis.cache.RedisCache"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three masters; none of them tells its host."""
    made = RedisCluster("--cluster-preferred-endpoint-type", "unknown-endpoint")
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    made = Watched()
    try:
        made.start()
        yield made
    finally:
        made.close()


def round_trip(broker: RedisBroker) -> None:
    broker.enqueue(b"package")
    (delivery,) = broker.dequeue(wait=5)
    assert delivery.package == b"package"
    broker.acknowledge(delivery.receipt)
    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


def owner(cluster: RedisCluster, queue: str) -> RedisServer:
    return cluster.owner(key_slot(f"{{qcore:{queue}}}".encode()))


# -- Redis Cluster -----------------------------------------------------------------------
def test_a_node_that_does_not_tell_its_host_means_the_same_one(
    cluster: RedisCluster, open_broker: Open
) -> None:
    """MOVED with `?` or nothing for a host: it is where the answer came from."""
    for node in cluster.nodes:
        for number in range(4):
            round_trip(open_broker({"port": node.port}, f"queue-{number}"))


@pytest.mark.fault("D20")
@pytest.mark.parametrize("form", ["dict", "urls"])
def test_any_seed_that_is_there_will_do(
    cluster: RedisCluster, open_broker: Open, form: str
) -> None:
    """The first of them may be gone."""
    for node in cluster.nodes:
        places = [f"127.0.0.1:{free_port()}", node.address]
        setting: object = {"startup_nodes": places}
        if form == "urls":
            setting = [f"redis://{place}/0" for place in places]
        broker = open_broker(setting)
        round_trip(broker)
        assert broker._brief.address == f"redis://{','.join(places)}/0"


def test_no_seed_at_all(open_broker: Open) -> None:
    """It costs no more time than one, and the message names all."""
    places = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    broker = open_broker({"startup_nodes": places})
    with pytest.raises(BrokerUnavailable) as raised:
        broker.enqueue(b"package")
    assert all(place in str(raised.value) for place in places)


@pytest.mark.live
@pytest.mark.fault("D20")
def test_a_seed_that_dies_is_not_missed(open_broker: Open) -> None:
    """Only the queue's own node is."""
    made = RedisCluster(appendonly=True)
    try:
        made.start()
        queue = f"seeds-{secrets.token_hex(4)}"
        home = owner(made, queue)
        others = [node for node in made.nodes if node is not home]
        with redis.Redis(port=home.port) as client:
            # a cluster of three without copies would serve nothing without one of them
            client.config_set("cluster-require-full-coverage", "no")
        broker = open_broker({"startup_nodes": made.addresses}, queue)
        round_trip(broker)
        others[0].kill()
        broker.close()
        round_trip(broker)
        home.kill()
        with pytest.raises(BrokerUnavailable):
            broker.enqueue(b"package")
        home.start()
        others[0].start()
        made.wait()
        round_trip(broker)
    finally:
        made.close()


def test_a_database_of_a_cluster(cluster: RedisCluster, open_broker: Open) -> None:
    broker = open_broker({"port": cluster.nodes[0].port, "db": 1})
    with pytest.raises(BrokerError, match=r"database 0 only. Set 'db'") as raised:
        broker.enqueue(b"package")
    assert not isinstance(raised.value, BrokerUnavailable)


# -- Sentinel ----------------------------------------------------------------------------
@pytest.mark.fault("D20")
def test_sentinels_lead_to_the_master_and_to_the_next_one(
    watched: Watched, open_broker: Open
) -> None:
    setting = {
        "sentinels": [f"127.0.0.1:{free_port()}", *watched.addresses],
        "service_name": "mymaster",
    }
    broker = open_broker(setting)
    round_trip(broker)
    assert broker._brief.address == "redis+sentinel://mymaster/0"
    # a Sentinel is no server
    for_queue = open_broker({"port": watched.sentinels[0].port})
    for call in (for_queue.dequeue, lambda: for_queue.enqueue(b"x")):
        with pytest.raises(BrokerError, match="'service_name': 'mymaster'") as raised:
            call()
        assert not isinstance(raised.value, BrokerUnavailable)
    if importlib.util.find_spec("django_redis"):
        django_redis = open_broker_of_cache(watched, open_broker)
    else:
        django_redis = open_broker(setting)
    with redis.Redis(port=watched.master.port) as client:
        broker.enqueue(b"kept")
        client.wait(1, 5000)
    watched.master.kill()
    deadline = Patience(60)
    while True:
        try:
            found = broker.dequeue(wait=1)
            break
        except BrokerUnavailable:
            assert not deadline.is_over(), "nobody has taken over"
            time.sleep(0.2)
    assert [one.package for one in found] == [b"kept"]
    broker.acknowledge(found[0].receipt)
    round_trip(broker)
    round_trip(django_redis)


def open_broker_of_cache(watched: Watched, open_broker: Open) -> RedisBroker:
    """Return a broker on the cache that the README shows."""
    places = [(one.host, one.port) for one in watched.sentinels]
    options = {
        "CLIENT_CLASS": "django_redis.client.SentinelClient",
        "CONNECTION_POOL_CLASS": "redis.sentinel.SentinelConnectionPool",
        "SENTINELS": places,
    }
    factory = "django_redis.pool.SentinelConnectionFactory"
    cache = {"BACKEND": CACHE, "LOCATION": "redis://mymaster/0", "OPTIONS": options}
    complete = {**cache, "OPTIONS": {**options, "CONNECTION_FACTORY": factory}}
    with override_settings(CACHES={"default": cache, "complete": complete}):
        with pytest.raises(ConfigError, match="CONNECTION_FACTORY"):
            open_broker(django_redis="default")
        broker = open_broker(django_redis="complete")
        round_trip(broker)  # connects, which looks the cache up once more
        return broker


def test_a_master_of_another_name(watched: Watched, open_broker: Open) -> None:
    setting = {"sentinels": watched.addresses, "service_name": "another"}
    with pytest.raises(BrokerUnavailable, match="'service_name'"):
        open_broker(setting).enqueue(b"package")


# -- TLS ---------------------------------------------------------------------------------
@pytest.mark.live
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_that_is_not_trusted(tmp_path: Path, open_broker: Open) -> None:
    """Waiting does not help; the message names the option that does."""
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    files = ["-keyout", key, "-out", certificate]
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", *words, *files, *alternative], check=True, capture_output=True
    )
    port = free_port()
    place = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    own = ["--tls-cert-file", certificate, "--tls-key-file", key]
    server = RedisServer(*place, *own, "--tls-ca-cert-file", certificate)
    server.start()
    try:
        setting = {"host": "127.0.0.1", "port": port, "ssl": True}
        with pytest.raises(BrokerError, match="Set 'ssl_ca_certs'") as raised:
            open_broker(setting).enqueue(b"package")
        assert not isinstance(raised.value, BrokerUnavailable)
        round_trip(open_broker({**setting, "ssl_ca_certs": certificate}))
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
        round_trip(open_broker(url))
    finally:
        server.close()


# -- reading -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "places"),
    [
        (["h"], [("h", 7)]),
        (["h:1", " h:1 ", "[::1]:2"], [("h", 1), ("::1", 2)]),
        ([("h", 1), ["i", 2]], [("h", 1), ("i", 2)]),
        ([{"host": "h"}, {"host": "i", "port": 3}], [("h", 7), ("i", 3)]),
    ],
)
def test_places_are_read(given: list[object], places: list[tuple[str, int]]) -> None:
    assert read_addresses(given, "startup_nodes", 7) == [
        Address(*one) for one in places
    ]


@pytest.mark.parametrize(
    "given",
    ["h:1", [], [""], ["redis://h:1"], ["h:port"], ["h:0"], [("h",)], [7], [("", 1)],
     [("h", "1")], [("h", True)], [{"hots": "h"}], {"h": 1}],
)  # fmt: skip
def test_what_is_no_place_is_refused(given: object) -> None:
    with pytest.raises(ConfigError, match=r"\['sentinels'\]: .* expected: a list"):
        read_addresses(given, "sentinels", 26379)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"cluster": True}, "unknown option 'cluster'.*'startup_nodes'"),
        ({"sentinel": "h"}, "unknown option 'sentinel'.*'service_name'"),
        ({"startup_node": ["h:1"]}, "did you mean 'startup_nodes'"),
        ({"sentinels": ["h:1"]}, "'sentinels' and 'service_name'.*go together"),
        ({"service_name": "m"}, "'sentinels' and 'service_name'.*go together"),
        ({"startup_nodes": ["h"], "host": "h"}, "'startup_nodes' and 'host'.*Keep one"),
        ({"sentinels": ["h"], "service_name": "m", "host": "h"}, "Keep one"),
        ("redis+cluster://h:1/0", "give a list of redis:// URLs"),
        ("redis+sentinel://h:1/mymaster/0", "'service_name': 'mymaster'"),
        (["redis://h/0", "redis://i/1"], "differ in more than host and port"),
        (["redis://u:hush@h/0", "redis://i/0"], "differ in more than host and port"),
    ],
)
def test_what_is_meant_is_told(open_broker: Open, setting: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        open_broker(setting)
    assert "Q_CLUSTER['redis']" in str(raised.value)
    assert "hush" not in str(raised.value)
