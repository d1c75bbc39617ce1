-- Add hits to the sliding windows in KEYS, or to none of them if any has no room.
-- KEYS: one list per window, of the stamps of its admitted hits (microseconds, oldest first).
-- ARGV: window length in microseconds, cost, then two values per window: its limit, and 1 when hits are added to it
-- or 0 when it must only have room for them.
-- Returns {microseconds to wait (0: admitted), index of the window with the longest wait, stamp of the admission}.
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
