"""The one script: whatever is changed in the store is changed by it, in one atomic step.

KEYS  the room's hash, the stream, and the hashes of people, nicks, sessions and hosts
ARGV  room id, host, turn, known, keep, operation, and what the operation takes

It answers a list whose first is a word: "ok", or why nothing was done:
  other   the store has no such room, or another of that name
  wrong   the room's keys have something that no room has put there, which it answers, too
  protected  the room has another protection than this host offers, which it answers, too
  behind  the room is shorter than what this host has a copy of: the store has lost its end
  swept   this host was taken for dead: its people were announced as dropped
  stale   a later call of the same host was here before this one

What is done twice is done once:
- A host's calls have turns that only grow, so that a call that was given up and is carried out late
  (a stopped server reads what is in its socket's buffer when it goes on, whoever has hung up) comes
  to nothing. The calls of one pipeline have the same turn, and may be made again.
- What a connection says is numbered. Its last number stands beside the offset that it got, in a key
  that outlives the connection being swept (a day), so that it is known even by then what was said.
- A letter is taken, and what comes of it told to its sender, in one step.
- A host's id has a part for each of its hubs, behind a dot. When one begins, those before it are
  done with: nothing that was asked for them is carried out any more.
- A connection comes, enters, is renamed and leaves only if it has not already.
An error can only come from the first write of an operation (no memory, a read-only replica, too few
replicas), and that is where the stream is added to: so nothing is ever done by half.

What protection a room has (none, tls, code: each more than the one before) is said by its first
host. All hosts of a room have the same at any time, for what is said at the one is read at the
other; and a room never gets less than it had, for what was said stays to be read. So it is only
raised, by a host that is alone. A room of version 0.1.0 does not say: then the next host says it.

Knows Lua and Redis; no socket.
"""

from __future__ import annotations

from duplex.store.entry import HEAD

LEASE = 9.0  # s after which a host that has not been heard of is taken for dead
BEAT = 2.0  # s between two times that a host is heard of
# If no host at all was heard of for so long it is the store that was away, and all begin anew:
GRACE = 5.0  # s
SWEPT_AT_ONCE = 500  # people in one call; the next beat goes on
REMEMBERED = 86_400  # s that it is known what a connection has said
LETTERS = 10_000  # in a host's mail, or the oldest go: it has been away
DEAD = "its host is gone"
ENDED = "the hub of its host has ended"

_SCRIPT = """
local room, log, people, nicks, sessions, hosts = unpack(KEYS)
local base = string.sub(room, 1, -5)
local id, host, turn, known, keep, op = unpack(ARGV, 1, 6)
turn, known, keep = tonumber(turn), tonumber(known), tonumber(keep)
local call = redis.call

local function integer(number) return string.format('%%.0f', number) end

local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

local function lease(of, last)
  call('HSET', hosts, of, string.format('%%.3f %%.0f', now + %(lease)f, last))
end

-- Whether some other host is alive, or has just been let in.
local function alone()
  local all = call('HGETALL', hosts)
  for at = 1, #all, 2 do
    local until_ = tonumber(string.match(all[at + 1], '^%%S+'))
    if all[at] ~= host and until_ >= now then return false end
  end
  return true
end

-- What keeps this host out of a room of that name: the protection that the room has, or nil.
local function refused(own)
  local of_room = call('HGET', room, 'protection')
  if own == '' or of_room == own then return nil end
  local rank = {none = 1, tls = 2, code = 3}
  if of_room and ((rank[own] or 0) < (rank[of_room] or 4) or not alone()) then return of_room end
  call('HSET', room, 'protection', own)
  return nil
end

-- What stands under the room's keys and is not a room's, or nil.
local function damage()
  for at, key in ipairs(KEYS) do
    local found = call('TYPE', key).ok
    if found ~= 'none' and found ~= (at == 2 and 'stream' or 'hash') then
      return key .. ' is a ' .. found
    end
  end
  for _, field in ipairs({'end', 'here', 'guests'}) do
    local value = call('HGET', room, field)
    if value and not string.match(value, '^%%d+$') then
      return room .. ' has no number as ' .. field
    end
  end
  return nil
end

if op == 'found' then
  local wrong = damage()
  if wrong then return {'wrong', wrong} end
  if call('EXISTS', room) == 0 then
    if ARGV[9] == '0' or call('EXISTS', log) == 1 then return {'other'} end
    call('HSET', room, 'id', ARGV[7], 'secret', ARGV[8], 'end', 0, 'here', 0, 'guests', 0)
  end
  local of_room = refused(ARGV[10])
  if of_room then return {'protected', of_room} end
  if ARGV[10] ~= '' then lease(host, 0) end
  local first = call('XRANGE', log, '-', '+', 'COUNT', 1)
  local start = call('HGET', room, 'end')
  if first[1] then
    for at = 1, #first[1][2], 2 do
      if first[1][2][at] == 'o' then start = first[1][2][at + 1] end
    end
  end
  local found = call('HMGET', room, 'id', 'secret', 'end')
  return {'ok', found[1], found[2], found[3], start}
end

local state = call('HMGET', room, 'id', 'end')
if state[1] ~= id then return {'other'} end
local stop = tonumber(state[2])

local function add(field, body, length)
  local start = stop
  if keep > 0 then
    call('XADD', log, 'MAXLEN', '~', integer(keep), '*', 'o', integer(start), field, body)
  else
    call('XADD', log, '*', 'o', integer(start), field, body)
  end
  stop = call('HINCRBY', room, 'end', integer(length))
  return start
end

if op == 'restore' then
  if stop ~= tonumber(ARGV[7]) then return {'ok', stop} end
  add('s', ARGV[8], #ARGV[8])
  return {'ok', stop}
end

if stop < known then return {'behind', stop} end

-- Who comes gets a number greater than all before, whatever the clock does. It keeps up with the
-- clock where it can, because hosts of an earlier version give out the time itself.
local function number()
  local next_ = math.max(tonumber(call('HGET', room, 'came') or '0') + 1, math.ceil(now))
  call('HSET', room, 'came', integer(next_))
  return integer(next_)
end

local function get(connection)
  local packed = call('HGET', people, connection)
  return packed and cjson.decode(packed)
end

local function put(connection, person)
  call('HSET', people, connection, cjson.encode(person))
end

local function here() return tonumber(call('HGET', room, 'here')) end

local function event(texts)
  local body, length = {}, 0
  for _, text in ipairs(texts) do
    body[#body + 1] = '* ' .. text .. '\\n'
    length = length + #text + 3 + %(head)d
  end
  return add('b', table.concat(body), length)
end

local function remove(connection, person)
  call('HDEL', people, connection)
  call('SREM', base .. 'at:' .. person.h, connection)
  for _, held in ipairs({person.k or '', ' ' .. (person.l or '')}) do
    if call('HGET', nicks, held) == connection then call('HDEL', nicks, held) end
  end
  if person.e then
    call('HINCRBY', room, 'here', -1)
    if call('HGET', sessions, person.s) == connection then call('HDEL', sessions, person.s) end
  end
end

-- A nick is somebody's by its key, and by a space and what it looks like.
local function hold(connection, person, nick, key, look)
  if person.k and person.k ~= key then call('HDEL', nicks, person.k) end
  if person.l and person.l ~= look then call('HDEL', nicks, ' ' .. person.l) end
  call('HSET', nicks, key, connection)
  if look then call('HSET', nicks, ' ' .. look, connection) end
  person.n, person.k, person.l = nick, key, look
end

local function post(to, person, letter, from)
  call('XADD', base .. 'mail:' .. person.h, 'MAXLEN', '~', %(letters)d, '*',
       'n', person.n, 'c', to, 'l', letter, 'f', from)
end

-- Some of a host's people go; whether all are gone by now.
local function sweep(of, why)
  local connections = call('SRANDMEMBER', base .. 'at:' .. of, %(swept)d)
  local texts, gone = {}, {}
  for _, connection in ipairs(connections) do
    local person = get(connection)
    if person then
      gone[connection] = person
      if person.e then texts[#texts + 1] = person.n .. ' was dropped (' .. why .. ')' end
    end
  end
  table.sort(texts)
  if #texts > 0 then event(texts) end
  for connection, person in pairs(gone) do remove(connection, person) end
  if #connections > 0 then call('SREM', base .. 'at:' .. of, unpack(connections)) end
  if #connections < %(swept)d then
    call('HDEL', hosts, of)
    call('DEL', base .. 'at:' .. of, base .. 'mail:' .. of)
    return true
  end
  return false
end

-- Whether its client is in a later connection by now, or was, and has gone from there, too.
local function has_moved(connection, session)
  local other = call('HGET', sessions, session)
  return (other and other ~= connection) or call('GET', base .. 'moved:' .. connection) == session
end

if op == 'begin' then
  local of_room = refused(ARGV[7])
  if of_room then return {'protected', of_room} end
  local first = call('HINCRBY', room, 'epoch', 1) * 4294967296
  lease(host, first)
  if call('HEXISTS', room, 'beat') == 0 then call('HSET', room, 'beat', integer(now)) end
  local own = string.match(host, '^[^.]+')
  for _, of in ipairs(call('HKEYS', hosts)) do
    if of ~= host and string.match(of, '^[^.]+') == own then
      call('HSET', hosts, of, '0 ' .. integer(first)) -- nothing of it is heeded, however late
      sweep(of, '%(ended)s')
    end
  end
  return {'ok', first}
end

local mine = call('HGET', hosts, host)
if not mine then return {'swept'} end
local last = tonumber(string.match(mine, ' (%%d+)'))
if turn < last then return {'stale'} end
if turn > last then
  call('HSET', hosts, host, string.match(mine, '^%%S+') .. ' ' .. integer(turn))
end

if op == 'add' then
  local answers, bodies, numbers, length = {'ok'}, {}, {}, 0
  for at = 7, #ARGV, 5 do
    local connection, session, number = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
    local said = numbers[connection] or call('GET', base .. 'said:' .. connection)
    local former, offset
    if said then former, offset = string.match(said, '^(%%d+) (%%d+)$') end
    local answer
    if former and number <= tonumber(former) then
      answer = number == tonumber(former) and tonumber(offset) or -3
    elseif call('HEXISTS', people, connection) == 0 then
      answer = has_moved(connection, session) and -2 or -1
    else
      answer = stop + length
      length = length + tonumber(ARGV[at + 3])
      bodies[#bodies + 1] = ARGV[at + 4]
      numbers[connection] = integer(number) .. ' ' .. integer(answer)
    end
    answers[#answers + 1] = answer
  end
  if #bodies > 0 then add('b', table.concat(bodies), length) end
  for connection, said in pairs(numbers) do
    call('SET', base .. 'said:' .. connection, said, 'EX', %(remembered)d)
  end
  return answers
end

if op == 'beat' then
  local heard = tonumber(call('HGET', room, 'beat') or '0')
  call('HSET', room, 'beat', string.format('%%.3f', now))
  local all, swept = call('HGETALL', hosts), {'ok', here()}
  for at = 1, #all, 2 do
    local until_, of_turn = string.match(all[at + 1], '^(%%S+) (%%d+)$')
    if all[at] == host then of_turn = turn end
    if all[at] == host or now - heard > %(grace)f then
      lease(all[at], tonumber(of_turn))
    elseif tonumber(until_) < now then
      sweep(all[at], '%(dead)s')
      swept[#swept + 1] = all[at]
    end
  end
  return swept
end

if op == 'retire' then
  return {'ok', sweep(host, ARGV[9]) and 1 or 0}
end

if op == 'taken' then
  call('XDEL', base .. 'mail:' .. host, ARGV[7])
  local sender = get(ARGV[8])
  if sender then post(ARGV[8], sender, ARGV[9], '') end
  return {'ok'}
end

if op == 'who' then
  local names = {'ok'}
  for _, packed in ipairs(call('HVALS', people)) do
    local person = cjson.decode(packed)
    if person.e then names[#names + 1] = person.n end
  end
  return names
end

local connection, session = ARGV[7], ARGV[8]
local person = get(connection)

if op == 'claim' then
  local nick, key, text, look = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
  if not person then
    if has_moved(connection, session) then return {'moved'} end
    person = {h = host, s = session, t = number()}
  elseif nick == '' or nick == person.n then -- it may have been asked before
    return {'ok', person.n, here(), text ~= '' and tonumber(person.r) or -1}
  end
  while nick == '' do
    local guest = 'guest-' .. integer(call('HINCRBY', room, 'guests', 1))
    look = string.gsub(string.gsub(guest, '1', 'l'), '0', 'o') .. ''
    if call('HEXISTS', nicks, guest) == 0 and call('HEXISTS', nicks, ' ' .. look) == 0 then
      nick, key = guest, guest
    end
  end
  local holder = call('HGET', nicks, key)
  if holder and holder ~= connection then return {'taken'} end
  local twin = look and call('HGET', nicks, ' ' .. look)
  if twin and twin ~= connection then return {'alike', (get(twin) or {n = nick}).n} end
  local start = -1
  if text ~= '' and person.e then
    start = event({text})
    person.r = integer(start)
  end
  hold(connection, person, nick, key, look)
  put(connection, person)
  call('SADD', base .. 'at:' .. host, connection)
  return {'ok', nick, here(), start}
end

if op == 'leave' then
  if not person then return {'ok', -1} end
  local start = -1
  if person.e and ARGV[9] ~= '' then start = event({person.n .. ' ' .. ARGV[9]}) end
  remove(connection, person)
  call('DEL', base .. 'said:' .. connection)
  return {'ok', start}
end

if op == 'post' then
  local number, key, letter = tonumber(ARGV[9]), ARGV[10], ARGV[11]
  local said = call('GET', base .. 'said:' .. connection)
  if said and number <= tonumber(string.match(said, '^%%d+')) then return {'ok'} end
  local holder = call('HGET', nicks, key)
  local reader = holder and get(holder)
  if not reader then return {'nobody'} end
  post(holder, reader, letter, connection)
  call('SET', base .. 'said:' .. connection, integer(number) .. ' 0', 'EX', %(remembered)d)
  return {'ok', reader.n}
end

if not person then return {'gone'} end

if op == 'enter' then
  if person.e then return {'ok', tonumber(person.e), here()} end
  person.e = integer(event({ARGV[9]}))
  put(connection, person)
  call('HSET', sessions, person.s, connection)
  return {'ok', tonumber(person.e), call('HINCRBY', room, 'here', 1)}
end

if op == 'resume' then
  local nick, key, text, look = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
  if person.e and person.s == session then return {'ok', tonumber(person.e), here()} end
  local other = call('HGET', sessions, session)
  local former = other and other ~= connection and get(other)
  if former and tonumber(former.t) > tonumber(person.t) then return {'later'} end
  local holder = call('HGET', nicks, key)
  if holder and holder ~= connection and holder ~= other then return {'taken'} end
  local twin = look and call('HGET', nicks, ' ' .. look)
  if twin and twin ~= connection and twin ~= other then return {'taken'} end
  local start
  if person.e then -- it has been here as a guest
    local left = person.n .. ' left'
    start = event({left, text}) + #left + 3 + %(head)d
    if call('HGET', sessions, person.s) == connection then call('HDEL', sessions, person.s) end
    call('HINCRBY', room, 'here', -1)
  else
    start = event({text})
  end
  if former then
    remove(other, former)
    call('SET', base .. 'moved:' .. other, session, 'EX', %(remembered)d)
    if former.h ~= host then post(other, former, 't' .. other, '') end
  end
  hold(connection, person, nick, key, look)
  person.s, person.e = session, integer(start)
  put(connection, person)
  call('HSET', sessions, session, connection)
  return {'ok', start, call('HINCRBY', room, 'here', 1)}
end

return redis.error_reply('no operation ' .. op)
"""

SCRIPT = _SCRIPT % {
    "head": HEAD,
    "letters": LETTERS,
    "swept": SWEPT_AT_ONCE,
    "lease": LEASE,
    "grace": GRACE,
    "remembered": REMEMBERED,
    "dead": DEAD,
    "ended": ENDED,
}
