-- Writes one object. KEYS: last object. ARGV: 5 kind, 6 NAMESPACE/NAME, 7 uid, 8 value, 9 'NX' or ''.
-- Returns 'created', 'configured' or 'unchanged'; NX leaves an object that is there as it is.
local object = KEYS[#KEYS]
local count_field = 'count:' .. ARGV[5]
local refusal = refuse(count_field)
if refusal then return refusal end
if wrong_type(object, 'string') then
  return redis.error_reply('WRONGTYPE ' .. object .. ' is not ours')
end
local old = redis.call('GET', object)
if old and (old == ARGV[8] or ARGV[9] == 'NX') then return 'unchanged' end
record(ARGV[5], ARGV[6], 'put', ARGV[7])
if not old then redis.call('HINCRBY', KEYS[1], count_field, 1) end
redis.call('SET', object, ARGV[8])
return old and 'configured' or 'created'
