-- Deletes objects. ARGV: 5 unused, 6 time of sending, then for each object of KEYS: kind,
-- NAMESPACE/NAME, uid, time its event arrived or ''.
-- Returns for each 'deleted', 'absent' when there was nothing, or an error. DEL comes first: after it a
-- Redis at its maxmemory lets the rest pass too, so that one can always make room.
local refusal = refuse()
if refusal then return refusal end
local objects = (#ARGV - 6) / 4
local results = {}
for i = 1, objects do
  local object = KEYS[#KEYS - objects + i]
  local at = 3 + i * 4
  local count_field = 'count:' .. ARGV[at]
  if not integer(count_field) then
    results[i] = redis.error_reply('DAMAGED ' .. KEYS[1] .. ' counts no number of ' .. ARGV[at])
  elseif wrong_type(object, 'string') then
    results[i] = redis.error_reply('WRONGTYPE ' .. object .. ' is not ours')
  elseif redis.call('DEL', object) == 0 then
    results[i] = 'absent'
  else
    record(ARGV[at], ARGV[at + 1], 'delete', ARGV[at + 2], times_of(ARGV[at + 3]))
    local count = tonumber(redis.call('HGET', KEYS[1], count_field) or '0')
    if count > 0 then redis.call('HINCRBY', KEYS[1], count_field, -1) end
    results[i] = 'deleted'
  end
end
finish()
return results
