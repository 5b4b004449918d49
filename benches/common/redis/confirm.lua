-- Sells what a hold holds.
-- KEYS: the stock's hash, the hold's hash, the index of expiries, the record.
-- ARGV: the hold's id. Answers 1, or 0 where there is no such hold, or its time is up.
local hold = redis.call('HMGET', KEYS[2], 'units', 'expires_at')
local time = redis.call('TIME')
if not hold[1] or time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(hold[2]) then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'sold', hold[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*',
  'type', 'Sold', 'stock', KEYS[1], 'units', hold[1], 'hold', ARGV[1])
return 1
