-- Takes a new incarnation (ARGV 4) for a source whose Redis went back to an older state; readers then
-- hold what they have until its marker is complete again. ARGV: 5 the incarnation to leave.
local refusal = refuse()
if refusal then return refusal end
local now = redis.call('HGET', KEYS[1], 'incarnation') or ''
if now ~= ARGV[5] then
  return redis.error_reply('CHANGED ' .. ARGV[1] .. ' has another incarnation already')
end
redis.call('HSET', KEYS[1], 'incarnation', ARGV[4], 'sequence', 0)
redis.call('HDEL', KEYS[1], 'marker')
record('', '', 'renew', '')
finish()
return 'renewed'
