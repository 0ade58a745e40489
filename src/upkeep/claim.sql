-- Claims those of the queues $1 text[] whose last pass is at least $2 float8 seconds old, by the database's clock: whoever
-- moves the time does all of the work. Flag `monitor`: counting and expiry; flag `maintain`: deletion. Returns (name,
-- counting, stamp): whether the counting is not to rest, and what the claim has written. Rows are locked in the order of
-- their names, as all who lock several of them do, and what another holds is passed over: it is claimed there.
WITH due AS (
  SELECT q.name FROM {schema}.queue q
  WHERE q.name = ANY($1::text[])
    AND extract(epoch FROM {now} - COALESCE(
      q.monitor_claim_on,                                                      --? +monitor monitor_claim
      q.monitor_on,                                                            --? +monitor
      q.maintain_on,                                                           --? +maintain
      {now} - interval '1 week'))::float8 >= $2::float8
  ORDER BY q.name
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE {schema}.queue q SET
  monitor_claim_on = {now}                                                     --? +monitor monitor_claim
  monitor_on = {now}                                                           --? +monitor !monitor_claim
  maintain_on = {now}                                                          --? +maintain
FROM due WHERE q.name = due.name
RETURNING q.name
  , NOT EXISTS (SELECT FROM {schema}.version v WHERE v.monitor_backoff_on > {now}) AS counting --? +monitor monitor_claim
  , q.monitor_claim_on AS stamp                                                --? +monitor monitor_claim
  , true AS counting, q.monitor_on AS stamp                                    --? +monitor !monitor_claim
  , true AS counting, q.maintain_on AS stamp                                   --? +maintain
