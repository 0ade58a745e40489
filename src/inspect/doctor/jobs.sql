-- Of each queue: how many jobs are due, for how long the first of them (seconds), how long ago a job was last begun, how many
-- active ones are beyond their expiry or their heartbeat by more than two minutes, in which any supervisor would have taken
-- them back, and how many wait for a retry that comes after their retention has run out. Takes no lock; one pass over the
-- job tables. Numbers are subtracted, not times: PostgreSQL refuses to subtract from infinity.
SELECT j.name,
       count(*) FILTER (WHERE j.due) AS ready,
       EXTRACT(epoch FROM {now})::float8 - min(EXTRACT(epoch FROM j.start_after)::float8) FILTER (WHERE j.due) AS oldest,
       EXTRACT(epoch FROM {now})::float8 - max(EXTRACT(epoch FROM j.started_on)::float8) AS begun,
       count(*) FILTER (WHERE j.state = 'active') AS active,
       count(*) FILTER (WHERE j.state = 'active' AND j.overdue > 120) AS overdue,
       max(j.overdue) FILTER (WHERE j.state = 'active') AS overdue_by,
       count(*) FILTER (WHERE j.state = 'active' AND j.silent > 120) AS silent,
       max(j.silent) FILTER (WHERE j.state = 'active') AS silent_for,
       count(*) FILTER (WHERE j.state = 'retry' AND j.keep_until < j.start_after) AS doomed,
       count(*) FILTER (WHERE j.state < 'active') AS waiting
FROM (
  SELECT j.name, j.state, j.start_after, j.started_on, j.keep_until
    , j.state < 'active' AND j.start_after <= {now}
      AND NOT j.blocked                                                        --? flows
      AS due
    , EXTRACT(epoch FROM {now} - (j.started_on + j.expire_in))::float8 AS overdue --? v10
    , EXTRACT(epoch FROM {now} - (j.started_on + j.expire_seconds * interval '1s'))::float8 AS overdue --? !v10
    , EXTRACT(epoch FROM {now} - (j.heartbeat_on + j.heartbeat_seconds * interval '1s'))::float8 AS silent --? heartbeat
    , NULL::float8 AS silent                                                   --? !heartbeat
  FROM {job} j
) j
GROUP BY j.name
