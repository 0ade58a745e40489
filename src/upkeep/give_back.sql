-- Gives back the claims of the queues $1 text[] that were stamped $2 timestamptz and could not be worked off, so that the
-- next pass of anybody takes them. Flags `monitor` and `maintain` as in claim.sql.
UPDATE {schema}.queue q SET
  monitor_claim_on = NULL                                                      --? +monitor monitor_claim
  monitor_on = NULL                                                            --? +monitor !monitor_claim
  maintain_on = NULL                                                           --? +maintain
FROM (
  SELECT h.name FROM {schema}.queue h
  WHERE h.name = ANY($1::text[])
    AND h.monitor_claim_on = $2::timestamptz                                   --? +monitor monitor_claim
    AND h.monitor_on = $2::timestamptz                                         --? +monitor !monitor_claim
    AND h.maintain_on = $2::timestamptz                                        --? +maintain
  ORDER BY h.name
  FOR NO KEY UPDATE SKIP LOCKED
) mine
WHERE q.name = mine.name
