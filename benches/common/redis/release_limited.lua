-- Gives back what a hold holds, to the stock and to the limit of its customer.
-- KEYS: the stock's hash, the hold's hash, the index of expiries, the record, the limit's hash.
-- ARGV: the hold's id. Answers 1, or 0 where there is no such hold.
local hold = redis.call('HMGET', KEYS[2], 'units', 'customer')
local units = hold[1]
if not units then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'available', units)
redis.call('HINCRBY', KEYS[1], 'reserved', -units)
-- A customer who has nothing is forgotten.
if redis.call('HINCRBY', KEYS[5], hold[2], -units) <= 0 then
  redis.call('HDEL', KEYS[5], hold[2])
end
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*',
  'type', 'Returned', 'stock', KEYS[1], 'units', units, 'hold', ARGV[1])
return 1
