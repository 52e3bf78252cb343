-- Raises the marker after a finished differ run. ARGV: 5 incarnation and 6 sequence the run saw
-- ('' and '0' for a source that was not there), 7 marker, 8 '' or the new incarnation of a source whose
-- Redis lost writes, 9.. pairs of kind and objects counted.
-- Refused when anything was written since the run counted: it counts again.
-- Returns incarnation and sequence as they are now.
local refusal = refuse()
if refusal then return refusal end
local now = redis.call('HMGET', KEYS[1], 'incarnation', 'sequence')
if (now[1] or '') ~= ARGV[5] or (now[2] or '0') ~= ARGV[6] then
  return redis.error_reply('CHANGED objects of ' .. ARGV[1] .. ' were written meanwhile')
end
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'incarnation', ARGV[8], 'sequence', 0) end
record('', '', 'marker', '')
for i = 9, #ARGV, 2 do redis.call('HSET', KEYS[1], 'count:' .. ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'marker', ARGV[7])
finish()
return {incarnation, tostring(sequence)}
