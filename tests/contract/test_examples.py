"""Each example of the document: read, checked, and used for a task, as it stands.

Only addresses are changed, to those of servers on this machine, and the two misprints
that ``document.MENDED`` lists.
"""

from __future__ import annotations

from typing import Any

import pytest
from contract.document import Example, example_of, examples
from django.core import checks as framework
from support.declared import from_dict, problems

from qcore.conf import cpu_count
from qcore.runtime import current
from qcore.tasks import async_task

sentence = pytest.mark.sentence

EXAMPLES = [one for one in examples() if one.setting != "cpu_affinity"]

#: The warnings that an example earns: its retry does not exceed its timeout, or it
#: sets retry and no timeout; its worker has as many processors as this host.
EARNED = {("retry", 1): "qcore.W002", ("disque_nodes", 1): "qcore.W001"}


#: What must be installed for an example.
PLUGINS = {
    "Q_CLUSTER": "qcore_redis",
    "retry": "qcore_orm",
    "redis": "qcore_redis",
    "django_redis": "qcore_redis",
    "disque_nodes": "qcore_disque",
    "iron_mq": "qcore_ironmq",
    "sqs": "qcore_sqs",
    "orm": "qcore_orm",
    "mongo": "qcore_mongo",
    "broker_class": "qcore_orm",
    "error_reporter": "qcore_rollbar",
}


def installed(setting: str, number: int = 1) -> dict[str, Any]:
    """Return the settings of an example, where its plugin is installed."""
    pytest.importorskip(PLUGINS[setting])
    return example_of(setting, number)


# -- read and checked ----------------------------------------------------------------------
@sentence("Q_CLUSTER", "(example 1)")
@sentence("Q_CLUSTER", "Configuration is handled via the ``Q_CLUSTER`` dictionary")
@sentence("redis", "(example 1)")
@sentence("redis", "(example 2)")
@sentence("django_redis", "(example 1)")
@sentence("disque_nodes", "(example 1)")
@sentence("disque_nodes", "(example 2)")
@sentence("iron_mq", "(example 1)")
@sentence("sqs", "(example 1)")
@sentence("orm", "(example 1)")
@sentence("mongo", "(example 1)")
@sentence("broker_class", "(example 1)")
@sentence("error_reporter", "(example 1)")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.setting}-{e.number}")
def test_an_example_is_read_and_every_value_is_kept(example: Example):
    given = example.q_cluster
    assert problems(given) == []
    kept = from_dict(given).masked()
    for key in given.keys() - {"redis", "sqs", "iron_mq", "mongo", "error_reporter"}:
        if key != "disque_auth":
            assert kept[key] == given[key] or list(kept[key]) == given[key]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.setting}-{e.number}")
def test_an_example_has_no_error_and_the_warning_that_it_earns(
    example: Example, settings, custom_class
):
    pytest.importorskip("qcore_orm")
    pytest.importorskip(PLUGINS[example.setting])
    settings.CACHES = {"default": REDIS_CACHE | {"LOCATION": "redis://127.0.0.1:1/0"}}
    settings.Q_CLUSTER = example.q_cluster
    if example.setting == "error_reporter":  # it chooses no broker
        settings.Q_CLUSTER["orm"] = "default"
    found = framework.run_checks(tags=["qcore"])
    assert [one for one in found if one.is_serious()] == []
    warned = {one.id for one in found if one.id.startswith("qcore.W")}
    expected = {EARNED.get((example.setting, example.number))} - {None}
    if example.q_cluster.get("cpu_affinity") == cpu_count():
        expected.add("qcore.W007")
    assert warned == expected


# -- used ----------------------------------------------------------------------------------
REDIS_CACHE = {"BACKEND": "django_redis.cache.RedisCache"}


@pytest.fixture
def travel(settings):
    """Send a task with the settings of an example, claim it, acknowledge it."""

    def there_and_back(given: dict[str, object]) -> None:
        settings.Q_CLUSTER = given
        current.reset()
        broker = current.broker()
        assert broker.queue == given.get("name", "default")
        task_id = async_task("chores.kind.echo", "on its way", commit="now")
        (delivery,) = broker.dequeue(1, wait=5)
        task = current.signer.verify(delivery.package, broker.queue)
        assert (task.id, delivery.attempt) == (task_id, 1)
        broker.acknowledge(delivery.receipt)
        assert broker.dequeue(1) == []
        broker.delete_queue()

    yield there_and_back
    current.close()
    current.reset()


@sentence("Q_CLUSTER", "(example 1)")
def test_the_first_example(travel, redis_server):
    given = installed("Q_CLUSTER")
    given["redis"]["port"] = redis_server.port
    travel(given)


@sentence("redis", "Connection settings for Redis.")
@sentence("redis", "(example 1)")
def test_a_dictionary_for_redis(travel, redis_server):
    given = installed("redis", 1)
    given["redis"]["port"] = redis_server.port
    travel(given)


@sentence("redis", "It's also possible to use a Redis connection URI::")
@sentence("redis", "(example 2)")
def test_a_uri_for_redis(travel, redis_server):
    redis = pytest.importorskip("redis")
    given = installed("redis", 2)
    far = "ec2-111-1-1-1.compute-1.amazonaws.com:111"
    assert far in given["redis"]
    given["redis"] = given["redis"].replace(far, f"127.0.0.1:{redis_server.port}")
    with redis.Redis(port=redis_server.port) as admin:
        everything = {"commands": ["+@all"], "keys": ["*"], "channels": ["*"]}
        admin.acl_setuser(
            "h", enabled=True, passwords=["+asdfqwer1234asdf"], **everything
        )
        try:
            travel(given)
        finally:
            admin.acl_deluser("h")


@sentence("django_redis", "(example 1)")
@sentence("django_redis", "the name of the cache connection you want to use")
def test_a_cache_connection(travel, redis_server, settings):
    pytest.importorskip("django_redis")
    settings.CACHES = {"default": REDIS_CACHE | {"LOCATION": redis_server.url(6)}}
    travel(installed("django_redis"))


@sentence("disque_nodes", "(example 1)")
def test_nodes_of_disque(travel, disque_server):
    given = installed("disque_nodes", 1)
    port = disque_server.port
    given["disque_nodes"] = [f"127.0.0.1:{port}", f"localhost:{port}"]
    travel(given)


@sentence("disque_nodes", "Django Q is also compatible with the `Tynd Disque")
@sentence("disque_nodes", "(example 2)")
@sentence("disque_auth", "Optional Disque password for servers that require")
def test_nodes_with_a_password(travel, own_disque_server):
    redis = pytest.importorskip("redis")
    given = installed("disque_nodes", 2)
    with redis.Redis(port=own_disque_server.port, protocol=2) as admin:
        admin.execute_command("CONFIG", "SET", "requirepass", given["disque_auth"])
    given["disque_nodes"] = [own_disque_server.address]
    travel(given)


@sentence("iron_mq", "Connection settings for IronMQ::")
@sentence("iron_mq", "(example 1)")
def test_ironmq(travel, own_ironmq_server):
    given = installed("iron_mq")
    assert given["iron_mq"].keys() < own_ironmq_server.options.keys()
    given["iron_mq"] |= own_ironmq_server.options
    travel(given)


@sentence("sqs", "provide the AWS region and credentials either via the config")
@sentence("sqs", "(example 1)")
def test_sqs(travel, moto_server):
    given = installed("sqs")
    given["sqs"]["endpoint_url"] = moto_server.url
    travel(given)


@sentence("orm", "If you want to use Django's database backend as a message broker")
@sentence("orm", "(example 1)")
def test_orm(travel, database):
    travel(installed("orm"))


@sentence("mongo", "simply provide the connection information in a dictionary::")
@sentence("mongo", "(example 1)")
def test_mongo(travel, mongo_server):
    given = installed("mongo")
    given["mongo"]["port"] = mongo_server.port
    travel(given)


@sentence(
    "broker_class", "You can use a custom broker class for your cluster workers::"
)
@sentence("broker_class", "(example 1)")
@sentence("broker_class", "inherits from either the base :class:`Broker` class or one")
def test_a_custom_class(travel, database, custom_class):
    given = installed("broker_class")
    assert given["broker_class"] == custom_class
    travel(given | {"orm": "default"})
    assert type(current.broker()).__name__ == "CustomBroker"
