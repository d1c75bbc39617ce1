-- Uncount one hit, admitted at ARGV[1], in every window of KEYS.
for _, key in ipairs(KEYS) do redis.call('LREM', key, -1, ARGV[1]) end
return 0
