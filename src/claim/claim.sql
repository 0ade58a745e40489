-- Claims up to $2 due jobs of queue $1 and returns them, in no order.
-- $1 text queue, $2 int limit, $3 int lease lent to jobs without a heartbeat (NULL: none), $4 int lowest and $5 int
-- highest priority (NULL: any), $6 int jobs of a group that may be active, $7 jsonb the same by tier (NULL: no tiers),
-- $8 text[] groups whose jobs stay. Flags `early`: also jobs that are not due; `any_priority`, `any_age`: in another order.
-- Locks the rows it takes and skips locked ones. Wants i5 (name, start_after) up to schema 39 and i11
-- (name, priority DESC, created_on, start_after) from 40 on, and i2, i3, i7, i8, i10 for what policies and groups ask; the
-- update goes to where the rows are, by ctid. Two turns of phrase keep the planner to that when its statistics are of an
-- emptier table: it cannot see through the sub-select in LIMIT, so it prefers the index that has the order to sorting the
-- few rows it expects; and a ctid leaves it no choice of an index, of which several begin with the name. A row that somebody
-- changes between the two is left to the next claim.
WITH
heads AS MATERIALIZED (                                                        --? +strict_fifo
  SELECT DISTINCT ON (h.singleton_key) h.id                                    --? +strict_fifo
  FROM {table} h                                                               --? +strict_fifo
  WHERE h.name = $1 AND h.state < 'active' AND h.policy = 'key_strict_fifo'    --? +strict_fifo
    AND NOT h.blocked                                                          --? +strict_fifo flows
    AND h.start_after <= {now}                                                 --? +strict_fifo !+early
  ORDER BY h.singleton_key, h.state DESC, h.created_on, h.id                   --? +strict_fifo
),                                                                             --? +strict_fifo
busy AS MATERIALIZED (                                                         --? +group_limit
  SELECT b.group_id, count(*)::int AS running                                  --? +group_limit
  FROM {table} b                                                               --? +group_limit
  WHERE b.name = $1 AND b.state = 'active' AND b.group_id IS NOT NULL          --? +group_limit
  GROUP BY b.group_id                                                          --? +group_limit
),                                                                             --? +group_limit
next AS MATERIALIZED (
  SELECT j.id, j.ctid AS place
    , j.singleton_key, j.priority, j.created_on                                --? +singleton
    , j.heartbeat_seconds AS own_heartbeat                                     --? heartbeat
    , j.group_id, COALESCE(busy.running, 0) AS running                         --? +group_limit
    , COALESCE(($7::jsonb ->> j.group_tier)::int, $6::int) AS group_limit      --? +group_limit
  FROM {table} j
  LEFT JOIN busy ON busy.group_id = j.group_id                                 --? +group_limit
  WHERE j.name = $1
    AND j.state < 'active'
    AND NOT j.blocked                                                          --? flows
    AND j.start_after <= {now}                                                 --? fetch_inclusive !+early
    AND j.start_after < {now}                                                  --? !fetch_inclusive !+early
    AND (j.group_id IS NULL OR j.group_id <> ALL ($8::text[]))                 --? +without_groups
    AND j.priority >= $4::int                                                  --? +min_priority
    AND j.priority <= $5::int                                                  --? +max_priority
    AND j.id IN (SELECT id FROM heads)                                         --? +strict_fifo
    AND NOT EXISTS (                                                           --? +strict_fifo
      SELECT 1 FROM {table} o                                                  --? +strict_fifo
      WHERE o.name = $1 AND o.singleton_key = j.singleton_key                  --? +strict_fifo
        AND o.state IN ('active', 'retry', 'failed')                           --? +strict_fifo
        AND o.policy = 'key_strict_fifo' AND o.id <> j.id                      --? +strict_fifo
    )                                                                          --? +strict_fifo
    AND NOT EXISTS (                                                           --? +singleton
      SELECT 1 FROM {table} o                                                  --? +singleton
      WHERE o.name = $1 AND o.state = 'active'                                 --? +singleton
        AND o.policy = 'singleton'                                             --? +singleton !+stately
        AND o.policy = 'stately'                                               --? +singleton +stately
        AND COALESCE(o.singleton_key, '') = COALESCE(j.singleton_key, '')      --? +singleton
    )                                                                          --? +singleton
    AND (j.group_id IS NULL OR COALESCE(busy.running, 0)                       --? +group_limit
      < COALESCE(($7::jsonb ->> j.group_tier)::int, $6::int))                  --? +group_limit
  ORDER BY j.priority DESC, j.created_on                                       --? !+any_priority !+any_age
  ORDER BY j.priority DESC                                                     --? !+any_priority +any_age
  ORDER BY j.created_on                                                        --? +any_priority !+any_age
  ORDER BY j.id                                                                --? +any_priority +any_age
    , j.id                                                                     --? fetch_order_by_id
  LIMIT (SELECT $2::int)
  FOR UPDATE OF j SKIP LOCKED
),
first_of_key AS (                                                              --? +singleton
  SELECT next.*, row_number() OVER (                                           --? +singleton
    PARTITION BY COALESCE(singleton_key, '') ORDER BY priority DESC, created_on, id --? +singleton
  ) AS rank                                                                    --? +singleton
  FROM next                                                                    --? +singleton
),                                                                             --? +singleton
in_group AS (                                                                  --? +group_limit
  SELECT n.*, row_number() OVER (PARTITION BY n.group_id ORDER BY n.id) AS group_place --? +group_limit
  FROM next n                                                                  --? +group_limit !+singleton
  FROM first_of_key n WHERE n.rank = 1                                         --? +group_limit +singleton
),                                                                             --? +group_limit
chosen AS (
  SELECT * FROM next                                                           --? !+group_limit !+singleton
  SELECT * FROM first_of_key WHERE rank = 1                                    --? !+group_limit +singleton
  SELECT * FROM in_group                                                       --? +group_limit
  WHERE group_id IS NULL OR running + group_place <= group_limit               --? +group_limit
)
UPDATE {table} j
SET state = 'active'
  , started_on = {now}
  , heartbeat_on = {now}                                                       --? heartbeat
  , heartbeat_seconds = COALESCE(j.heartbeat_seconds, $3::int)                 --? heartbeat
  , retry_count = j.retry_count + (j.started_on IS NOT NULL)::int
WHERE j.ctid = ANY (ARRAY(SELECT place FROM chosen))
RETURNING j.id, j.ctid::text AS ctid, j.retry_count, j.data, j.retry_limit, j.priority, j.created_on, j.start_after, j.started_on,
  j.singleton_key
  , EXTRACT(epoch FROM j.expire_in)::float8 AS expire                          --? v10
  , j.expire_seconds::float8 AS expire                                         --? !v10
  , j.heartbeat_seconds, j.id NOT IN (SELECT id FROM next WHERE own_heartbeat IS NOT NULL) AS lent --? heartbeat
  , NULL::int AS heartbeat_seconds, false AS lent                              --? !heartbeat
  , j.group_id, j.group_tier                                                   --? groups
  , NULL::text AS group_id, NULL::text AS group_tier                           --? !groups
  , j.trace_context                                                            --? trace_context
  , NULL::jsonb AS trace_context                                               --? !trace_context
