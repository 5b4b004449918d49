-- Holds units for a customer, all or nothing, if the limit allows it.
-- KEYS: the stock's hash, the hold's hash, the index of expiries, the record, the limit's hash.
-- ARGV: the hold's id, units, time to live in milliseconds, the customer, the limit's maximum.
-- Answers 1, or 0 where the stock is short or the customer has too much.
-- The limit is one hash, with a field for each customer who has something: no key for each of them,
-- whose name and entry take more memory, and nothing that could expire before its hold.
local units = tonumber(ARGV[2])
local drawn = tonumber(redis.call('HGET', KEYS[5], ARGV[4]) or 0)
if drawn + units > tonumber(ARGV[5]) then
  return 0
end
local available = tonumber(redis.call('HGET', KEYS[1], 'available') or 0)
if available < units then
  return 0
end
local time = redis.call('TIME')
local expires_at = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('HINCRBY', KEYS[5], ARGV[4], units)
redis.call('HINCRBY', KEYS[1], 'available', -units)
redis.call('HINCRBY', KEYS[1], 'reserved', units)
redis.call('HSET', KEYS[2], 'stock', KEYS[1], 'units', units, 'expires_at', expires_at,
  'customer', ARGV[4])
redis.call('ZADD', KEYS[3], expires_at, ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 1000000, '*',
  'type', 'Reserved', 'stock', KEYS[1], 'units', units, 'hold', ARGV[1])
return 1
