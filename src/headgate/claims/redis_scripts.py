"""What runs inside Redis: each script looks at the generation and does its work in one atomic step.

KEYS[1] is the marker, a hash of `generation`, `created` (µs, the server's clock), `identity` and `seen`; KEYS[2] the
shard numbers, a hash of `count`, `s<shard>` and `n<number>`; ARGV[1] the generation the client is bound to. A script
answers nil where that generation is not in force, and then has changed nothing.

The identity is the server's run id (another one after every restart), its replication id (another one after every
change of roles, also where a server becomes master again that was one before) and its count of evicted keys. It is
compared in every script, so that no claim is answered by a server that may have lost others. The first replica that a
server gets changes the replication id too: that costs a refill and no more.
"""

from __future__ import annotations

from typing import Final

_HEADER: Final = """
local function identity()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local replication = redis.call('INFO', 'replication')
  if string.match(replication, 'role:(%w+)') ~= 'master' then return 'replica' end
  local history = string.match(replication, 'master_replid:(%w+)') or ''
  local evicted = string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)') or ''
  return run .. '/' .. history .. '/' .. evicted
end
local function is_in_force()
  local marker = redis.call('HMGET', KEYS[1], 'generation', 'identity')
  return marker[1] == ARGV[1] and marker[2] == identity()
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function marker()
  local fields = redis.call('HMGET', KEYS[1], 'generation', 'created', 'seen')
  return {fields[1], fields[2], fields[3], string.format('%.0f', now())}
end
"""

#: KEYS: marker. Answers generation, created, seen, now, all as text.
LOOK: Final = (
    _HEADER
    + """
if redis.call('HGET', KEYS[1], 'identity') ~= identity() then return nil end
return marker()
"""
)

#: KEYS: marker, shards. ARGV: the generation to be replaced (empty: none), the new name. Answers as LOOK.
BEGIN: Final = (
    _HEADER
    + """
local is_lost = redis.call('HGET', KEYS[1], 'identity') ~= identity()
local stands = redis.call('HMGET', KEYS[1], 'generation', 'seen')
if is_lost or (stands[1] == ARGV[1] and stands[2] ~= '0') then
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'created', string.format('%.0f', now()),
    'identity', identity(), 'seen', '0')
end
return marker()
"""
)

#: KEYS: marker, shards. ARGV: generation, the shard's text. Answers its number.
ASSIGN: Final = (
    _HEADER
    + """
if not is_in_force() then return nil end
local number = redis.call('HGET', KEYS[2], 's' .. ARGV[2])
if not number then
  number = redis.call('HINCRBY', KEYS[2], 'count', 1)
  redis.call('HSET', KEYS[2], 's' .. ARGV[2], number, 'n' .. number, ARGV[2])
end
return tonumber(number)
"""
)

#: KEYS: marker, shards. ARGV: generation, number. Answers the shard's text, empty where there is none.
FIND: Final = (
    _HEADER
    + """
if not is_in_force() then return nil end
return redis.call('HGET', KEYS[2], 'n' .. ARGV[2]) or ''
"""
)

#: KEYS: marker. ARGV: generation, ledger number. Answers what stands there now.
MARK_SEEN: Final = (
    _HEADER
    + """
if not is_in_force() then return nil end
local seen = tonumber(redis.call('HGET', KEYS[1], 'seen'))
if tonumber(ARGV[2]) > seen then
  redis.call('HSET', KEYS[1], 'seen', ARGV[2])
  seen = tonumber(ARGV[2])
end
return seen
"""
)

#: What CLAIM, TAKE_OVER and RELEASE begin with. KEYS: marker. ARGV: generation, prefix of a claim's key, time to live
#: in ms, the latest arrival in ms, n keys of 16 bytes, n owners of 48 bytes, and what the script says. A claim lives
#: from now or, where its arrival lies in the future, from then. MSETEX (Valkey 9.1, Redis 8.4) writes all rows at
#: twice the rate; where the server does not know it, or fails, they are written one by one, which says why.
_ROWS: Final = """
if not is_in_force() then return nil end
local prefix, keys, owners, more, sub = ARGV[2], ARGV[5], ARGV[6], ARGV[7], string.sub
local ttl = ARGV[3] + math.max(0, ARGV[4] - math.floor(now() / 1000))
local names, count = {}, #keys / 16
for row = 1, count do names[row] = prefix .. sub(keys, row * 16 - 15, row * 16) end
local held = redis.call('MGET', unpack(names))
local answer = {}
local function is_position(owner, others, row) return sub(owner, 1, 32) == sub(others, row * 48 - 47, row * 48 - 16) end
local entered, width = {}, 0
local function enter(row)
  entered[width + 1], entered[width + 2] = names[row], sub(owners, row * 48 - 47, row * 48)
  width = width + 2
end
local function write()
  if width == 0 then return end
  entered[width + 1], entered[width + 2] = 'PX', ttl
  local written = redis.pcall('MSETEX', width / 2, unpack(entered, 1, width + 2))
  if type(written) ~= 'table' or not written.err then return end
  for at = 1, width, 2 do redis.call('SET', entered[at], entered[at + 1], 'PX', ttl) end
end
"""

_KEEP: Final = "answer[#answer + 1] = struct.pack('>I4', row - 1) .. owner"

#: More: n times 8 bytes, the arrival that an owner must lie before to be replaced (signed, big-endian; compared in
#: halves because Lua's numbers hold 53 bits). Answers (row, owner) of the rows that were not entered, as HELD.
CLAIM: Final = (
    _HEADER
    + _ROWS
    + f"""
local function is_expired(owner, row)
  if is_position(owner, owners, row) then return false end
  local high, low = struct.unpack('>i4I4', owner, 33)
  local limit_high, limit_low = struct.unpack('>i4I4', more, row * 8 - 7)
  return limit_high > high or (limit_high == high and limit_low > low)
end
for row = 1, count do
  local owner = held[row]
  if not owner or is_expired(owner, row) then enter(row) else {_KEEP} end
end
write()
return table.concat(answer)
"""
)

#: More: n owners of 48 bytes that are expected. Answers as CLAIM.
TAKE_OVER: Final = (
    _HEADER
    + _ROWS
    + f"""
for row = 1, count do
  local owner = held[row]
  if not owner or is_position(owner, more, row) then enter(row) else {_KEEP} end
end
write()
return table.concat(answer)
"""
)

#: More: nothing. Answers how many were released.
RELEASE: Final = (
    _HEADER
    + _ROWS
    + """
local released = 0
for row = 1, count do
  if held[row] and is_position(held[row], owners, row) then
    released = released + redis.call('DEL', names[row])
  end
end
return released
"""
)

ALL: Final = (LOOK, BEGIN, ASSIGN, FIND, MARK_SEEN, CLAIM, TAKE_OVER, RELEASE)
