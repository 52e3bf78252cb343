-- Writes or deletes the merged status of one Service and tells those who follow its source.
-- KEYS: 1 leader, 2 stream of the source's statuses, 3 status. ARGV: 1 leader's instance, 2 its token,
-- 3 NAMESPACE/NAME, 4 value or '' to delete, 5 '1' to tell or '' for what nobody follows,
-- 6 incarnation of the stream if there is none.
-- Returns 'written', 'deleted' or 'unchanged'. Numbers of entries are dense in one incarnation.
local leader = redis.call('HMGET', KEYS[1], 'instance', 'token')
if leader[1] ~= ARGV[1] or leader[2] ~= ARGV[2] then
  return redis.error_reply('NOTLEADER this gateway does not lead any more')
end
for key, expected in pairs({[KEYS[2]] = 'stream', [KEYS[3]] = 'string'}) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= expected then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is not ours')
  end
end
local old = redis.call('GET', KEYS[3]) or ''
if old == ARGV[4] then return 'unchanged' end
local delete = ARGV[4] == ''
-- DEL comes first: after it a Redis at its maxmemory lets the rest pass too.
if delete then redis.call('DEL', KEYS[3]) end
if delete or old == '' or ARGV[5] == '1' then
  local sequence, incarnation = 0, ARGV[6]
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if last then
    local fields = {}
    for i = 1, #last[2], 2 do fields[last[2][i]] = last[2][i + 1] end
    if fields.incarnation and string.match(fields.sequence or '', '^%d+$') then
      sequence, incarnation = tonumber(fields.sequence), fields.incarnation
    end
  end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 16384, '*', 'key', ARGV[3],
             'op', delete and 'delete' or 'put', 'sequence', sequence + 1,
             'incarnation', incarnation)
end
if delete then return 'deleted' end
redis.call('SET', KEYS[3], ARGV[4])
return 'written'
