-- Common to every script that changes a source; put before it when the scripts are compiled in.
-- KEYS: 1 source hash, 2 stream, 3 set of sources, 4 leader if ARGV 3 is given; then the objects, if any.
-- ARGV: 1 source, 2 token or '', 3 leader's instance or '', 4 incarnation to use if there is none.
-- A script is not rolled back when it fails midway: everything is checked before the first write.

local function wrong_type(key, expected)
  local found = redis.call('TYPE', key).ok
  return found ~= 'none' and found ~= expected
end

-- At most 15 digits: Lua's numbers are exact so far.
local function integer(field)
  local value = redis.call('HGET', KEYS[1], field)
  return not value or (#value <= 15 and string.match(value, '^%d+$') ~= nil)
end

-- An error reply when this writer may not write, else nil.
local function refuse()
  if wrong_type(KEYS[1], 'hash') or wrong_type(KEYS[2], 'stream') or wrong_type(KEYS[3], 'set') then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ', ' .. KEYS[2] .. ' or ' .. KEYS[3] ..
                             ' is not ours')
  end
  if not (integer('sequence') and integer('token')) then
    return redis.error_reply('DAMAGED ' .. KEYS[1] .. ' has counters that are not numbers')
  end
  if ARGV[3] ~= '' then
    local leader = redis.call('HMGET', KEYS[4], 'instance', 'token')
    if leader[1] ~= ARGV[3] or leader[2] ~= ARGV[2] then
      return redis.error_reply('NOTLEADER this gateway does not lead any more')
    end
  end
  if ARGV[2] ~= '' then
    local newest = redis.call('HGET', KEYS[1], 'token')
    if newest and tonumber(ARGV[2]) < tonumber(newest) then
      return redis.error_reply('FENCED a publisher with token ' .. newest .. ' has taken over from ' ..
                               ARGV[2])
    end
  end
  return nil
end

local incarnation, sequence, entry

-- Numbers a change and tells the readers. Its first call begins with the first write of every script that
-- may grow memory, so that a full Redis refuses before anything is changed.
-- `times`, if given: when its event arrived and when it was sent, for readers that measure.
local function record(kind, name, op, uid, times)
  if not incarnation then
    redis.call('HSETNX', KEYS[1], 'incarnation', ARGV[4])
    if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'token', ARGV[2]) end
    redis.call('SADD', KEYS[3], ARGV[1])
    local now = redis.call('HMGET', KEYS[1], 'incarnation', 'sequence')
    incarnation, sequence = now[1], tonumber(now[2] or '0')
  end
  sequence = sequence + 1
  local fields = {'source', ARGV[1], 'kind', kind, 'key', name, 'op', op, 'uid', uid,
                  'sequence', string.format('%d', sequence), 'incarnation', incarnation}
  if times then
    fields[#fields + 1] = 'times'
    fields[#fields + 1] = times
  end
  entry = redis.call('XADD', KEYS[2], 'MAXLEN', '~', '65536', '*', unpack(fields))
end

-- Of a change whose event arrived then, '' if that is not known; ARGV 6: when this call was sent.
local function times_of(arrived)
  return arrived ~= '' and arrived .. ' ' .. ARGV[6] or nil
end

-- After the last record.
local function finish()
  if incarnation then redis.call('HSET', KEYS[1], 'sequence', string.format('%d', sequence), 'entry', entry) end
end
