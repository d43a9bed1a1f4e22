"""A private Redis Cluster, and a master with replica and Sentinels."""

from __future__ import annotations

import time

import redis

from qcore.testing.speed import Patience

from .redis import RedisServer, SentinelServer

SLOTS = 16_384
FORM_SECONDS = 30.0
#: Milliseconds. A node waits this long before it serves again after a restart; but a node
#: that stands still as long on a busy machine is taken for dead, so they get more later.
QUICK, PATIENT = "2000", "30000"


class RedisCluster:
    """Masters that share the slots, each of them a server of its own."""

    def __init__(self, *options: str, size: int = 3, appendonly: bool = False) -> None:
        words = ("--cluster-enabled", "yes", "--cluster-node-timeout", QUICK, *options)
        self.nodes = [RedisServer(*words, appendonly=appendonly) for _ in range(size)]

    def start(self) -> None:
        """Start the nodes, let them meet, and return when all slots are served."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            slots = [slot for slot in range(SLOTS) if self.owner(slot) is node]
            with redis.Redis(port=node.port) as client:
                client.execute_command("CLUSTER", "ADDSLOTS", *slots)
                other = self.nodes[0]
                client.execute_command("CLUSTER", "MEET", other.host, other.port)
        self.wait()

    def wait(self) -> None:
        """Return when every node says that the cluster is well."""
        deadline = Patience(FORM_SECONDS)
        for node in self.nodes:
            with redis.Redis(port=node.port) as client:
                while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    assert not deadline.is_over(), "the cluster has not formed"
                    time.sleep(0.05)
        for node in self.nodes:
            with redis.Redis(port=node.port) as client:
                client.config_set("cluster-node-timeout", PATIENT)

    def restart(self, kill: bool = False) -> None:
        """Restart all nodes on their ports and data."""
        for node in self.nodes:
            node.restart(kill)
        self.wait()

    def owner(self, slot: int) -> RedisServer:
        """Return the node that serves a slot."""
        return self.nodes[slot * len(self.nodes) // SLOTS]

    @property
    def addresses(self) -> list[str]:
        """The nodes as ``host:port``."""
        return [node.address for node in self.nodes]

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()


class Watched:
    """A master, a replica of it, and three Sentinels that watch them."""

    def __init__(self) -> None:
        self.master = RedisServer()
        self.replica = RedisServer(
            "--replicaof", f"{self.master.host} {self.master.port}"
        )
        self.sentinels = [SentinelServer(self.master, 2) for _ in range(3)]

    def start(self) -> None:
        """Start all of them; return when the Sentinels know each other and the replica."""
        for server in (self.master, self.replica, *self.sentinels):
            server.start()
        deadline = Patience(FORM_SECONDS)
        for sentinel in self.sentinels:
            with redis.Redis(port=sentinel.port) as client:
                while not _knows_all(client.sentinel_masters().get("mymaster", {})):
                    assert not deadline.is_over(), "the Sentinels have not met"
                    time.sleep(0.05)

    @property
    def addresses(self) -> list[str]:
        """The Sentinels as ``host:port``."""
        return [sentinel.address for sentinel in self.sentinels]

    def close(self) -> None:
        """End all of them."""
        for server in (*self.sentinels, self.replica, self.master):
            server.close()


def _knows_all(master: dict[str, int]) -> bool:
    return master.get("num-other-sentinels") == 2 and master.get("num-slaves") == 1
