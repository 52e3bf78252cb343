-- Takes or renews the lease. KEYS: 1 leader, 2 counter of tokens. ARGV: 1 gateway, 2 instance,
-- 3 time to live in ms, 4 largest token this gateway has seen.
-- Returns {1 if leading else 0, token, name of the leader}. Tokens only grow, also over a lost counter.
local now = redis.call('HMGET', KEYS[1], 'name', 'instance', 'token')
if now[2] and now[2] ~= ARGV[2] then return {0, now[3], now[1]} end
local token = now[3]
if not token then
  local known = tonumber(ARGV[4])
  token = redis.call('INCR', KEYS[2])
  if token <= known then
    token = known + 1
    redis.call('SET', KEYS[2], token)
  end
  redis.call('HSET', KEYS[1], 'name', ARGV[1], 'instance', ARGV[2], 'token', token)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, tostring(token), ARGV[1]}
