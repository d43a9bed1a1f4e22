"""What a server says of itself: name, version, memory, and what it keeps on disk."""

from __future__ import annotations

from dataclasses import dataclass

from qcore.errors import BrokerError

# XAUTOCLAIM and XPENDING with IDLE came with it.
OLDEST = (6, 2)


@dataclass(frozen=True, slots=True)
class Server:
    """The part of INFO that matters to a queue."""

    name: str  # "Redis" or "Valkey"
    version: str
    mode: str  # "standalone", "cluster" or "sentinel"
    compatible: str  # the version of Redis whose commands it has
    policy: str  # maxmemory-policy
    max_memory: int  # bytes; 0: no limit
    memory: int  # bytes in use
    replica: bool  # it copies another server and takes no writes
    appends: bool  # every write goes to the append-only file
    saved: bool  # the last snapshot and the last append reached the disk

    @classmethod
    def parse(cls, info: bytes) -> Server:
        """Read the reply to INFO."""
        lines = info.decode("utf-8", "replace").splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        compatible = said.get("redis_version", "?")
        return cls(
            # Valkey says redis_version:7.2.4 for the sake of old clients.
            name="Valkey" if "valkey_version" in said else "Redis",
            version=said.get("valkey_version", compatible),
            mode=said.get("redis_mode", ""),
            compatible=compatible,
            policy=said.get("maxmemory_policy", ""),
            max_memory=int(said.get("maxmemory", 0)),
            memory=int(said.get("used_memory", 0)),
            replica=said.get("role") == "slave",
            appends=said.get("aof_enabled") == "1",
            saved=all(
                said.get(name, "ok") == "ok"
                for name in ("rdb_last_bgsave_status", "aof_last_write_status")
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def require_streams(self) -> None:
        """Raise ``BrokerError`` for a server that is too old."""
        if self.mode == "sentinel":
            raise BrokerError(
                f"{self} is a Sentinel, which holds no queues. Set Q_CLUSTER['redis'] to"
                " {'sentinels': ['host:26379'], 'service_name': 'mymaster'}."
            )
        numbers = self.compatible.split(".")[:2]
        if all(n.isdigit() for n in numbers) and tuple(map(int, numbers)) < OLDEST:
            raise BrokerError(
                f"{self} is too old: the broker needs Redis 6.2 or later, or Valkey."
            )

    @property
    def evicts(self) -> bool:
        """Whether it throws queues away when memory is full."""
        return self.max_memory > 0 and self.policy.startswith("allkeys")
