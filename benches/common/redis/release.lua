-- Gives back what a hold holds.
-- KEYS: the stock's hash, the hold's hash, the index of expiries, the record.
-- ARGV: the hold's id. Answers 1, or 0 where there is no such hold.
local units = redis.call('HGET', KEYS[2], 'units')
if not units then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'available', units)
redis.call('HINCRBY', KEYS[1], 'reserved', -units)
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*',
  'type', 'Returned', 'stock', KEYS[1], 'units', units, 'hold', ARGV[1])
return 1
