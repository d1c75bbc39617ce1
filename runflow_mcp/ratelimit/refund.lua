-- Remove one hit, admitted at stamp ARGV[1], from every window in KEYS. The newest equal stamp goes first.
for _, key in ipairs(KEYS) do redis.call('LREM', key, -1, ARGV[1]) end
return 0
