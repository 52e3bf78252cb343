-- Writes objects. ARGV: 5 'NX' or '', 6 time of sending, then for each object of KEYS: kind,
-- NAMESPACE/NAME, uid, time its event arrived or '', value. Times are in microseconds since 1970.
-- Returns for each 'created', 'configured', 'unchanged' or an error; NX leaves one that is there as it is.
local refusal = refuse()
if refusal then return refusal end
local objects = (#ARGV - 6) / 5
local results, damaged, created = {}, {}, {}
for i = 1, objects do
  local object = KEYS[#KEYS - objects + i]
  local at = 2 + i * 5
  local kind, value = ARGV[at], ARGV[at + 4]
  if damaged[kind] == nil then damaged[kind] = not integer('count:' .. kind) end
  if damaged[kind] then
    results[i] = redis.error_reply('DAMAGED ' .. KEYS[1] .. ' counts no number of ' .. kind)
  else
    local old = redis.pcall('GET', object)
    if type(old) == 'table' then
      local foreign = string.find(old.err, 'WRONGTYPE', 1, true)
      results[i] = foreign and redis.error_reply('WRONGTYPE ' .. object .. ' is not ours') or old
    elseif old and (old == value or ARGV[5] == 'NX') then
      results[i] = 'unchanged'
    else
      record(kind, ARGV[at + 1], 'put', ARGV[at + 2], times_of(ARGV[at + 3]))
      if not old then created[kind] = (created[kind] or 0) + 1 end
      redis.call('SET', object, value)
      results[i] = old and 'configured' or 'created'
    end
  end
end
for kind, count in pairs(created) do redis.call('HINCRBY', KEYS[1], 'count:' .. kind, count) end
finish()
return results
