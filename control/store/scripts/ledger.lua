-- Common to the scripts of the ledger; put before them when they are compiled in.
-- KEYS: 1 leader, 2 ledger, 3 index, 4 stream, 5.. records. ARGV: 1 leader's instance, 2 its token.

-- An error reply when this is not the leader or a key is not ours, else nil.
local function refuse()
  local leader = redis.call('HMGET', KEYS[1], 'instance', 'token')
  if leader[1] ~= ARGV[1] or leader[2] ~= ARGV[2] then
    return redis.error_reply('NOTLEADER this gateway does not lead any more')
  end
  local expected = {false, 'hash', 'hash', 'stream'}
  for i = 2, #KEYS do
    local found = redis.call('TYPE', KEYS[i]).ok
    if found ~= 'none' and found ~= (expected[i] or 'string') then
      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is not ours')
    end
  end
  return nil
end

-- Numbers the change and tells the readers.
local function record(op)
  local sequence = redis.call('HINCRBY', KEYS[2], 'sequence', 1)
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 65536, '*', 'source', '-', 'kind', 'Address', 'key', '',
             'op', op, 'uid', '', 'sequence', sequence,
             'incarnation', redis.call('HGET', KEYS[2], 'incarnation'))
end
