-- Deletes one object. KEYS: last object. ARGV: 5 kind, 6 NAMESPACE/NAME, 7 uid.
-- Returns 'deleted', or 'absent' when there was nothing. DEL comes first: after it a Redis at its
-- maxmemory lets the rest pass too, so that one can always make room.
local object = KEYS[#KEYS]
local count_field = 'count:' .. ARGV[5]
local refusal = refuse(count_field)
if refusal then return refusal end
if wrong_type(object, 'string') then
  return redis.error_reply('WRONGTYPE ' .. object .. ' is not ours')
end
if redis.call('DEL', object) == 0 then return 'absent' end
record(ARGV[5], ARGV[6], 'delete', ARGV[7])
local count = tonumber(redis.call('HGET', KEYS[1], count_field) or '0')
if count > 0 then redis.call('HINCRBY', KEYS[1], count_field, -1) end
return 'deleted'
