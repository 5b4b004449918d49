-- Holds units, all or nothing.
-- KEYS: the stock's hash, the hold's hash, the index of expiries, the record.
-- ARGV: the hold's id, units, time to live in milliseconds. Answers 1, or 0 where the stock is short.
local units = tonumber(ARGV[2])
local available = tonumber(redis.call('HGET', KEYS[1], 'available') or 0)
if available < units then
  return 0
end
local time = redis.call('TIME')
local expires_at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('HINCRBY', KEYS[1], 'available', -units)
redis.call('HINCRBY', KEYS[1], 'reserved', units)
redis.call('HSET', KEYS[2], 'stock', KEYS[1], 'units', units, 'expires_at', expires_at)
redis.call('ZADD', KEYS[3], expires_at, ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*',
  'type', 'Reserved', 'stock', KEYS[1], 'units', units, 'hold', ARGV[1])
return 1
