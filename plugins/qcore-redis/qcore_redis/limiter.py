"""The limiter on Redis: token buckets of `qcore-limits`, for ``Q_CLUSTER['limiter']``.

A bucket is a hash with the starts that it had at a moment. Times are the server's. A bucket that is
full again is the same as one that is not there, so each key expires when its bucket is full.
All buckets of a project are on one node of a Redis Cluster: a batch is one script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from qcore.brokers.tools import CALLER_REPLY_SECONDS
from qcore.errors import BrokerError, ConfigError, QcoreError

from .connection import Connection
from .options import make_pool, seeds
from .scripts import Script

if TYPE_CHECKING:
    from qcore.conf import Conf

E = TypeVar("E", bound=QcoreError)

#: Draws starts. ``KEYS`` are the buckets; ``ARGV`` are for each its pace in seconds, its burst
#: and how many starts are wanted. The answer is what each bucket had.
DRAW = Script("""
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local found = {}
for at, key in ipairs(KEYS) do
  local pace = tonumber(ARGV[3 * at - 2])
  local burst = tonumber(ARGV[3 * at - 1])
  local most = tonumber(ARGV[3 * at])
  local had = tonumber(redis.call('HGET', key, 'starts') or '')
  local since = tonumber(redis.call('HGET', key, 'at') or '')
  local starts = burst
  if had and since then
    starts = math.min(burst, had + math.max(0, now - since) / pace)
  end
  found[at] = string.format('%.6f', starts)
  if most > 0 then
    local left = math.max(0, starts - math.min(most, math.floor(starts + 0.001)))
    redis.call('HSET', key, 'starts', string.format('%.9f', left),
      'at', string.format('%.6f', now), 'burst', string.format('%.0f', burst))
    redis.call('PEXPIRE', key,
      string.format('%.0f', math.ceil((burst - left) * pace * 1000) + 1000))
  end
end
return found
""")

#: Gives starts back. ``KEYS`` are the buckets; ``ARGV`` says how many to each. What is not there
#: is full.
GIVE_BACK = Script("""
for at, key in ipairs(KEYS) do
  local had = tonumber(redis.call('HGET', key, 'starts') or '')
  local burst = tonumber(redis.call('HGET', key, 'burst') or '')
  if had and burst then
    redis.call('HSET', key, 'starts',
      string.format('%.9f', math.min(burst, had + tonumber(ARGV[at]))))
  end
end
""")


@dataclass(frozen=True, slots=True)
class _Server:
    """Where the server is, as the settings of the broker say it."""

    options: Mapping[str, Any]


class RedisLimiter:
    """Keeps token buckets on the server of ``redis_limiter``, or else on that of the broker."""

    def __init__(self, conf: Conf) -> None:
        """Connect on first use.

        Args:
            conf: its ``redis_limiter`` wins over ``django_redis`` and ``redis``. Projects of one
                ``name`` on one server share their buckets.

        Raises:
            ConfigError: an option of the server is unknown or wrong.
        """
        given = conf.options.get("redis_limiter")
        self._setting = "redis" if given is None else "redis_limiter"
        options = conf.options if given is None else {"redis": given}
        self._tag = f"{{qcore:limits:{conf.name}}}"
        server = _Server(options)
        try:
            # locks of the database are held while a reply is waited for
            pool, nodes = make_pool(server, CALLER_REPLY_SECONDS), seeds(server)
        except ConfigError as error:
            raise self._named(error) from error
        self._server = Connection(pool, nodes)

    def draw(self, buckets: Sequence[tuple[str, float, int, int]]) -> list[float]:
        """Take starts out of some buckets in one step.

        Args:
            buckets: of each the key, the seconds between two starts, the starts that it can
                have, and how many are wanted.

        Returns:
            How many starts each bucket had.

        Raises:
            BrokerError: the server is away, or refuses; where the reply was lost, starts may
                be lost, too.
        """
        keys = [self._key(key) for key, *_ in buckets]
        words = [word for _, *numbers in buckets for word in numbers]
        return [float(found) for found in self._run(DRAW, keys, *map(repr, words))]

    def give_back(self, starts: Mapping[str, int]) -> None:
        """Put starts back that were not made.

        Args:
            starts: how many, by the keys of their buckets.

        Raises:
            BrokerError: as `draw`.
        """
        self._run(GIVE_BACK, list(map(self._key, starts)), *starts.values())

    def close(self) -> None:
        """Disconnect; the next call connects again."""
        self._server.close()

    def _key(self, bucket: str) -> str:
        return f"{self._tag}:{bucket}"

    def _run(self, script: Script, keys: Sequence[str], *words: object) -> list[bytes]:
        try:
            found: list[bytes] | None = self._server.run(script, keys, *words)
        except BrokerError as error:
            raise self._named(error) from error
        return found or []

    def _named(self, error: E) -> E:
        """Return an error that names the setting that says where the server is."""
        told = str(error).replace("Q_CLUSTER['redis']", f"Q_CLUSTER['{self._setting}']")
        return type(error)(told)
