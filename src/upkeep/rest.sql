-- Has the counting of all instances rest after a pass whose counting held the horizon of vacuum for $1 float8 seconds, if
-- that is more than a tenth of autovacuum's naptime: for two naptimes, and no less than it took, up to ten minutes of it; an
-- hour at most. What another pass has asked for is never cut short. Schema 40 and later. Returns a row if it has to rest.
UPDATE {schema}.version v SET monitor_backoff_on = GREATEST(v.monitor_backoff_on,
  {now} + interval '1s' * LEAST(GREATEST(2 * n.naptime, LEAST($1::float8, 600)), 3600))
FROM (SELECT extract(epoch FROM current_setting('autovacuum_naptime')::interval)::float8 AS naptime) n
WHERE $1::float8 > n.naptime / 10
RETURNING n.naptime, extract(epoch FROM v.monitor_backoff_on - {now})::float8 AS seconds, v.monitor_backoff_on AS until
