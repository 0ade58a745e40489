-- Of each queue its place in $1; in how many seconds the first of its claimable jobs may start: none or fewer if one is due,
-- NULL if there is none; and the same of the first that is not due yet. $1 text[] queues, $2 int[] the number of each one's
-- table; this statement is of the queues of table `{number}`, those of several tables are joined by UNION ALL. Takes no locks.
-- Wants i5 (name, start_after) up to schema 39 and i14 (name, state, blocked, start_after) where that is; between them there
-- is no index by time but only i11 (name, priority DESC, created_on, start_after): there any due job will do, and only without
-- one is the next one sought. One statement of all queues rather than one of each: it is planned in a millisecond or two,
-- however many they are.
-- Numbers are subtracted, not times: PostgreSQL refuses to subtract from a `start_after` of infinity.
SELECT q.place::int - 1, EXTRACT(epoch FROM (
  SELECT j.start_after FROM {table} j WHERE j.name = q.name AND j.state < 'active' --? !live_index !priority_index
    AND NOT j.blocked                                                          --? !live_index !priority_index flows
  ORDER BY j.start_after LIMIT 1                                               --? !live_index !priority_index
  SELECT COALESCE((                                                            --? !live_index priority_index
    SELECT j.start_after FROM {table} j WHERE j.name = q.name                  --? !live_index priority_index
      AND j.state < 'active' AND NOT j.blocked AND j.start_after <= {now} LIMIT 1 --? !live_index priority_index
  ), (                                                                         --? !live_index priority_index
    SELECT min(j.start_after) FROM {table} j WHERE j.name = q.name             --? !live_index priority_index
      AND j.state < 'active' AND NOT j.blocked                                 --? !live_index priority_index
  ))                                                                           --? !live_index priority_index
  SELECT LEAST((                                                               --? live_index
    SELECT j.start_after FROM {table} j WHERE j.name = q.name                  --? live_index
      AND j.state = 'created' AND j.blocked = false ORDER BY j.start_after LIMIT 1 --? live_index
  ), (                                                                         --? live_index
    SELECT j.start_after FROM {table} j WHERE j.name = q.name                  --? live_index
      AND j.state = 'retry' AND j.blocked = false ORDER BY j.start_after LIMIT 1 --? live_index
  ))                                                                           --? live_index
))::float8 - EXTRACT(epoch FROM {now})::float8, EXTRACT(epoch FROM (
  SELECT j.start_after FROM {table} j WHERE j.name = q.name AND j.state < 'active' --? !live_index !priority_index
    AND NOT j.blocked                                                          --? !live_index !priority_index flows
    AND j.start_after > {now} ORDER BY j.start_after LIMIT 1                   --? !live_index !priority_index
  NULL::timestamptz                                                            --? !live_index priority_index
  SELECT LEAST((                                                               --? live_index
    SELECT j.start_after FROM {table} j WHERE j.name = q.name                  --? live_index
      AND j.state = 'created' AND j.blocked = false AND j.start_after > {now}  --? live_index
    ORDER BY j.start_after LIMIT 1                                             --? live_index
  ), (                                                                         --? live_index
    SELECT j.start_after FROM {table} j WHERE j.name = q.name                  --? live_index
      AND j.state = 'retry' AND j.blocked = false AND j.start_after > {now}    --? live_index
    ORDER BY j.start_after LIMIT 1                                             --? live_index
  ))                                                                           --? live_index
))::float8 - EXTRACT(epoch FROM {now})::float8
FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS q(name, number, place)
WHERE q.number = {number}
