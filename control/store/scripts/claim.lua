-- Takes a source over: whoever has a smaller token is refused from now on, even if this publisher finds
-- nothing to write. KEYS: 1 source hash. ARGV: 1 token. Returns '', or the token that is as large or
-- larger, and then nothing has changed.
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'none' and found ~= 'hash' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is not ours')
end
local newest = redis.call('HGET', KEYS[1], 'token')
if newest and (tonumber(newest) or 0) >= tonumber(ARGV[1]) then return newest end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return ''
