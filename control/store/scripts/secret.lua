-- Writes the cluster's secret if there is none. KEYS: 1 leader, 2 secret. ARGV: 1 leader's instance,
-- 2 its token, 3 value. Returns the value that is there now.
local leader = redis.call('HMGET', KEYS[1], 'instance', 'token')
if leader[1] ~= ARGV[1] or leader[2] ~= ARGV[2] then
  return redis.error_reply('NOTLEADER this gateway does not lead any more')
end
local found = redis.call('TYPE', KEYS[2]).ok
if found ~= 'none' and found ~= 'string' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' is not ours')
end
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return redis.call('GET', KEYS[2])
