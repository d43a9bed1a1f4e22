"""The Lua scripts: what must happen in one step, or must carry a delivery count.

Plain commands do the frequent work. Every script keeps to two rules:

- ``KEYS`` are always the four keys of one queue (tasks, due, parked, wake), so that a
  script runs on one node of a Redis Cluster; those of the bands of a queue are in one
  script, ``LOOK``, which a Redis Cluster does not run.
- A script that only drains removes before it adds. Redis refuses commands that need
  memory when it is full, but not after the first write of a script, so that a full
  server can still be emptied. (That rule is of Redis 2.6 and later; the flag
  ``allow-oom`` is of Redis 7 only.)

Durations are milliseconds, the unit of stream ids, and all times are the server's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """One script and the digest that the server knows it by."""

    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        # SHA-1 is how EVALSHA names a script; nothing is secured by it.
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# How many milliseconds the claims of a consumer last: its name. A consumer that a person
# has made by hand has a name that is none; its claims last as long as a lease by default.
_LEASE = """
local function lease_of(name)
  if #name <= 16 and string.match(name, '^%d+$') then
    return name
  end
  return '60000'
end
"""

# Whether a receipt (id, delivery count) is the claim in force: that very delivery, and
# within its lease, which is the name of its consumer. Expects ARGV: group.
_HOLDS = (
    _LEASE
    + """
local function holds(id, count)
  local claim = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  return claim and claim[4] == tonumber(count)
    and claim[3] < tonumber(lease_of(claim[2]))
end
"""
)

# The package of an entry, and the attempts before it was parked. An entry that somebody
# has added by hand may have other fields; then all of them are the package.
_FIELDS = """
local function field(fields, name)
  for at = 1, #fields, 2 do
    if fields[at] == name then
      return fields[at + 1]
    end
  end
end
local function package_of(fields)
  return field(fields, 'p') or table.concat(fields, '\\n')
end
local function attempts_of(fields)
  local said = field(fields, 'n')
  return said and #said <= 10 and string.match(said, '^%d+$') and tonumber(said) or 0
end
"""

# Wakes one cluster that waits for packages, or the next one that would. One entry is
# enough, so that they do not pile up where no cluster runs.
_WAKE = """
local function wake()
  redis.call('XADD', KEYS[4], 'MAXLEN', 1, '*', 'w', '')
end
"""

# Parks a package, and wakes a cluster where it is due before all others. Expects now.
_PARK = (
    _WAKE
    + """
local function park(id, delay, text)
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', KEYS[2], now + delay, id)
  redis.call('HSET', KEYS[3], id, text)
  if not first or now + delay < tonumber(first) then
    wake()
  end
end
"""
)

#: ARGV: packages. Stores all or none of them, and returns their ids.
STORE = Script("""
local ids = {}
for index, package in ipairs(ARGV) do
  ids[index] = redis.call('XADD', KEYS[1], '*', 'p', package)
end
return ids
""")

#: ARGV: delay, then id and package of each. They wait in the sorted set (by time) and
#: the hash (as "attempts so far:package") until they are due.
PARK = Script(
    _NOW
    + _PARK
    + """
for at = 2, #ARGV, 2 do
  park(ARGV[at], ARGV[1], '0:' .. ARGV[at + 1])
end
"""
)

#: ARGV: group. Makes the group of both streams, and those where there are none; entries
#: that were stored before are delivered. XDEL of nothing is the first write.
CREATE_GROUP = Script("""
redis.call('XDEL', KEYS[1], '0-1')
for _, stream in ipairs({KEYS[1], KEYS[4]}) do
  local made = redis.pcall('XGROUP', 'CREATE', stream, ARGV[1], '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    return made
  end
end
return 1
""")

#: ARGV: group, consumer, limit. Moves up to 1000 due packages to the stream and claims
#: up to ``limit`` entries whose lease is over. (XAUTOCLAIM knows one lease for all, and
#: does not tell the delivery counts.) Returns those entries as [id, count, fields], in
#: how many milliseconds the next package is due (-1: none waits), its id, and how many
#: packages are claimed. What has been read of the stream of wakes has served, whoever has read it.
SWEEP = Script(
    _NOW
    + _LEASE
    + """
for _, read in ipairs(redis.call('XPENDING', KEYS[4], ARGV[1], '-', '+', 100)) do
  redis.call('XACK', KEYS[4], ARGV[1], read[1])
end
local ready = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)
for _, id in ipairs(ready) do
  local parked = redis.call('HGET', KEYS[3], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  if parked then
    local _, colon = string.find(parked, '^%d+:')
    local attempts, package = '0', parked
    if colon then
      attempts = string.sub(parked, 1, colon - 1)
      package = string.sub(parked, colon + 1)
    end
    if attempts == '0' then
      redis.call('XADD', KEYS[1], '*', 'p', package)
    else
      redis.call('XADD', KEYS[1], '*', 'p', package, 'n', attempts)
    end
  end
end
local found = {}
local room = tonumber(ARGV[3])
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])
for _, consumer in ipairs(pending[4] or {}) do
  local over = room > 0 and redis.call(
    'XPENDING', KEYS[1], ARGV[1], 'IDLE', lease_of(consumer[1]), '-', '+', room,
    consumer[1])
  for _, claim in ipairs(over or {}) do
    local id = claim[1]
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)[1]
    if entry then
      found[#found + 1] = {id, claim[4] + 1, entry[2]}
      room = room - 1
    else
      redis.call('XACK', KEYS[1], ARGV[1], id)
    end
  end
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local due = first[2] and math.max(0, first[2] - now) or -1
return {found, due, first[1] or '', pending[1]}
"""
)

#: KEYS: tasks and wake of each of several queues. ARGV: group, consumer. Returns for each
#: queue whether it has entries that nobody has had, and whether its stream of wakes had one,
#: which has served. One command reads all streams of wakes: five took two fifths of the
#: commands of a claim. The entries themselves are not for a script: it would translate them
#: twice, which takes a server three times as long as to send them.
LOOK = Script("""
local found, wakes, place = {}, {}, {}
for at = 1, #KEYS, 2 do
  local waiting = 0
  if redis.call('XLEN', KEYS[at]) > 0 then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[at])) do
      if group[2] == ARGV[1] then
        local next = redis.call('XRANGE', KEYS[at], '(' .. group[8], '+', 'COUNT', 1)
        waiting = #next
      end
    end
  end
  found[#found + 1] = {waiting, 0}
  wakes[#found] = KEYS[at + 1]
  place[KEYS[at + 1]] = #found
end
for at = 1, #found do
  wakes[#found + at] = '>'
end
local woken = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1,
  'STREAMS', unpack(wakes))
for _, read in ipairs(woken or {}) do
  found[place[read[1]]][2] = 1
end
return found
""")

#: ARGV: group, consumer, then id and count of each receipt. Renews the leases that are
#: in force and returns the places (from 0) of the others. JUSTID leaves the delivery
#: counts alone.
EXTEND = Script(
    _HOLDS
    + """
local lost = {}
for at = 3, #ARGV, 2 do
  if holds(ARGV[at], ARGV[at + 1]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
  else
    lost[#lost + 1] = (at - 3) / 2
  end
end
return lost
"""
)

#: ARGV: as for EXTEND. Gives the entries to a consumer whose lease is always over, and
#: wakes a cluster for them.
RELEASE = Script(
    _HOLDS
    + _WAKE
    + """
local released = false
for at = 3, #ARGV, 2 do
  if holds(ARGV[at], ARGV[at + 1]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
    released = true
  end
end
if released then
  wake()
end
"""
)

#: ARGV: group, delay, then id and count of each receipt. Takes the entries off the
#: stream and parks them with the attempts they have had.
RELEASE_LATER = Script(
    _NOW
    + _HOLDS
    + _FIELDS
    + _PARK
    + """
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local entry = holds(id, ARGV[at + 1]) and redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
    local attempts = ARGV[at + 1] + attempts_of(entry[2])
    park(id, ARGV[2], string.format('%d:', attempts) .. package_of(entry[2]))
  end
end
"""
)

#: ARGV: group. Returns how many packages wait and how many are claimed; one whose lease
#: is over waits again.
COUNT = Script(
    _LEASE
    + """
local claimed = 0
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
for _, consumer in ipairs(pending[4] or {}) do
  local over = redis.call('XPENDING', KEYS[1], ARGV[1],
    'IDLE', lease_of(consumer[1]), '-', '+', consumer[2], consumer[1])
  claimed = claimed + consumer[2] - #over
end
local stored = redis.call('XLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
return {math.max(0, stored - claimed), claimed}
"""
)

#: ARGV: group. Returns for how many milliseconds the longest waiting package could have
#: been claimed, -1 where none waits. Of each lease the first 100 claims that are over
#: are looked at; there are more only after a disaster, which those 100 tell of, too.
OLDEST = Script(
    _NOW
    + _LEASE
    + """
local oldest = -1
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
local start = '-'
for _, group in ipairs(not groups.err and groups or {}) do
  if group[2] == ARGV[1] then
    start = '(' .. group[8]
  end
end
local first = redis.call('XRANGE', KEYS[1], start, '+', 'COUNT', 1)[1]
if first then
  oldest = math.max(0, now - tonumber(string.match(first[1], '^%d+')))
end
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1])
for _, consumer in ipairs(pending[4] or {}) do
  local over = redis.call('XPENDING', KEYS[1], ARGV[1],
    'IDLE', lease_of(consumer[1]), '-', '+', 100, consumer[1])
  for _, claim in ipairs(over) do
    oldest = math.max(oldest, claim[3] - tonumber(lease_of(consumer[1])))
  end
end
local due = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
if due and tonumber(due) <= now then
  oldest = math.max(oldest, now - tonumber(due))
end
return oldest
"""
)

#: KEYS: expiry times (sorted set), values (hash). ARGV: key, value, ttl.
SET_STAT = Script(
    _NOW
    + """
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], key)
  redis.call('HDEL', KEYS[2], key)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
"""
)

#: KEYS: as for SET_STAT. ARGV: prefix. Returns the values in force.
GET_STATS = Script(
    _NOW
    + """
local found = {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  if string.sub(key, 1, #ARGV[1]) == ARGV[1] then
    found[#found + 1] = redis.call('HGET', KEYS[2], key)
  end
end
return found
"""
)
