-- Changes records of the ledger, all or none. ARGV: 3 incarnation and 4 sequence the decision was made
-- on, then for each record of KEYS: address, revision it was read with, new revision, value.
local refusal = refuse()
if refusal then return refusal end
local now = redis.call('HMGET', KEYS[2], 'incarnation', 'sequence', 'ready')
if now[3] ~= '1' or now[1] ~= ARGV[3] or now[2] ~= ARGV[4] then
  return redis.error_reply('STALE the ledger is not the one this was decided on')
end
for i = 5, #KEYS do
  local at = 5 + (i - 5) * 4
  local revision = redis.call('HGET', KEYS[3], ARGV[at]) or '0'
  if revision ~= ARGV[at + 1] then
    return redis.error_reply('STALE ' .. ARGV[at] .. ' has revision ' .. revision .. ', not ' ..
                             ARGV[at + 1])
  end
end
record('put')
for i = 5, #KEYS do
  local at = 5 + (i - 5) * 4
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 2])
  redis.call('SET', KEYS[i], ARGV[at + 3])
end
return redis.call('HGET', KEYS[2], 'sequence')
