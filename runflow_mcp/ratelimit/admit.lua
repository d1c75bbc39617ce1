-- Count hits in the sliding windows of KEYS, or, when one of them has no room for them, in none.
-- KEYS: one list of admitted stamps (microseconds, oldest first) a window.
-- ARGV: window length in microseconds, cost, then for each window its limit and whether hits are added to it (1) or
-- it must only have room for them (0).
-- Returns {microseconds to wait (0: admitted), number of the fullest window, stamp of the admission}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local length, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
local longest, fullest = 0, 1
for i, key in ipairs(KEYS) do
  local oldest = redis.call('LINDEX', key, 0)
  while oldest and tonumber(oldest) <= now - length do
    redis.call('LPOP', key)
    oldest = redis.call('LINDEX', key, 0)
  end
  local count = redis.call('LLEN', key)
  local excess = count + cost - tonumber(ARGV[1 + 2 * i])
  if excess > 0 then
    local wait = length
    if excess <= count then
      wait = tonumber(redis.call('LINDEX', key, excess - 1)) + length - now
    end
    if wait > longest then longest, fullest = wait, i end
  end
end
local stamp = string.format('%.0f', now)
if longest > 0 then return {string.format('%.0f', longest), fullest, stamp} end
for i, key in ipairs(KEYS) do
  if ARGV[2 + 2 * i] == '1' then
    for _ = 1, cost do redis.call('RPUSH', key, stamp) end
    redis.call('PEXPIRE', key, math.ceil(length / 1000))
  end
end
return {0, 1, stamp}
