-- Gives the lease back if it is ours. KEYS: 1 leader. ARGV: 1 instance.
if redis.call('HGET', KEYS[1], 'instance') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
