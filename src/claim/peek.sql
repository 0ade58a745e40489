-- The number of one of the queues $1 text[], counted from 0; in how many seconds the first of its claimable jobs may start:
-- none or fewer if one is due, NULL if there is none; and the same of the first that is not due yet. `{position}` is its
-- place among them, counted from 1; the statements of several queues are joined by UNION ALL. Takes no locks. Wants i5
-- (name, start_after) up to schema 39 and i14 (name, state, blocked, start_after) where that is; between them there is no
-- index by time but only i11 (name, priority DESC, created_on, start_after): there any due job will do, and only without
-- one is the next one sought.
-- Numbers are subtracted, not times: PostgreSQL refuses to subtract from a `start_after` of infinity.
SELECT {position} - 1, EXTRACT(epoch FROM (
  SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}] AND state < 'active' --? !live_index !priority_index
    AND NOT blocked                                                            --? !live_index !priority_index flows
  ORDER BY start_after LIMIT 1                                                 --? !live_index !priority_index
  SELECT COALESCE((                                                            --? !live_index priority_index
    SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}]      --? !live_index priority_index
      AND state < 'active' AND NOT blocked AND start_after <= {now} LIMIT 1    --? !live_index priority_index
  ), (                                                                         --? !live_index priority_index
    SELECT min(start_after) FROM {table} WHERE name = ($1::text[])[{position}] --? !live_index priority_index
      AND state < 'active' AND NOT blocked                                     --? !live_index priority_index
  ))                                                                           --? !live_index priority_index
  SELECT LEAST((                                                               --? live_index
    SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}]      --? live_index
      AND state = 'created' AND blocked = false ORDER BY start_after LIMIT 1   --? live_index
  ), (                                                                         --? live_index
    SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}]      --? live_index
      AND state = 'retry' AND blocked = false ORDER BY start_after LIMIT 1     --? live_index
  ))                                                                           --? live_index
))::float8 - EXTRACT(epoch FROM {now})::float8, EXTRACT(epoch FROM (
  SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}] AND state < 'active' --? !live_index !priority_index
    AND NOT blocked                                                            --? !live_index !priority_index flows
    AND start_after > {now} ORDER BY start_after LIMIT 1                       --? !live_index !priority_index
  NULL::timestamptz                                                            --? !live_index priority_index
  SELECT LEAST((                                                               --? live_index
    SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}]      --? live_index
      AND state = 'created' AND blocked = false AND start_after > {now}        --? live_index
    ORDER BY start_after LIMIT 1                                               --? live_index
  ), (                                                                         --? live_index
    SELECT start_after FROM {table} WHERE name = ($1::text[])[{position}]      --? live_index
      AND state = 'retry' AND blocked = false AND start_after > {now}          --? live_index
    ORDER BY start_after LIMIT 1                                               --? live_index
  ))                                                                           --? live_index
))::float8 - EXTRACT(epoch FROM {now})::float8
