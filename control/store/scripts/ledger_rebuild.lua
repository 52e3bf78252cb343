-- Rebuilds the ledger, in steps during which nothing can be granted. ARGV: 3 step, 4 incarnation.
-- 'begin': the new incarnation, not ready. 'put': records, then for each of KEYS: address, revision,
-- value. 'end': ready.
local refusal = refuse()
if refusal then return refusal end
if ARGV[3] == 'begin' then
  redis.call('HSET', KEYS[2], 'incarnation', ARGV[4], 'sequence', 0, 'ready', 0)
  return 'begun'
end
local now = redis.call('HMGET', KEYS[2], 'incarnation', 'ready')
if now[1] ~= ARGV[4] or now[2] ~= '0' then
  return redis.error_reply('STALE another rebuild has begun')
end
if ARGV[3] == 'end' then
  redis.call('HSET', KEYS[2], 'ready', 1)
  record('ready')
  return 'ready'
end
for i = 5, #KEYS do
  local at = 5 + (i - 5) * 3
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  redis.call('SET', KEYS[i], ARGV[at + 2])
end
return 'put'
