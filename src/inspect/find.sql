-- The jobs of queue $1, each whole, oldest first: no row if the queue does not exist, one without a job if there are none.
-- $1 text queue, $2 uuid[] only these ids (flag `id`), $3 text only this singleton key (`key`), $4 text only jobs whose data
-- contains this JSON (`data`), $5 uuid only jobs after this one (`after`), $6 bigint at most so many; flag `queued`: only
-- those that no worker holds. The table is `job`, or `archive` on schema 24. Takes no lock. By id the primary key is used; else the queue is read by created_on (i15 from
-- schema 46 on), and by i17 for a key of queued jobs.
SELECT j.*
  , anchor.created_on IS NOT NULL AS anchored                                  --? +after
FROM {schema}.queue q
LEFT JOIN {job} anchor ON anchor.name = $1 AND anchor.id = $5                  --? +after
LEFT JOIN LATERAL (
  SELECT j.id, j.name, j.data, j.policy, j.state::text AS state, j.priority, j.retry_limit, j.retry_count, j.retry_delay
    , j.retry_backoff, j.start_after, j.started_on, j.singleton_key, j.singleton_on, j.created_on, j.completed_on
    , j.keep_until, j.dead_letter, j.output
    , EXTRACT(epoch FROM j.expire_in)::float8 AS expire                        --? v10
    , NULL::int AS retry_delay_max, NULL::int AS deletion_seconds              --? v10
    , j.expire_seconds::float8 AS expire, j.retry_delay_max, j.deletion_seconds --? !v10
    , j.group_id, j.group_tier                                                 --? groups
    , NULL::text AS group_id, NULL::text AS group_tier                         --? !groups
    , j.heartbeat_on, j.heartbeat_seconds                                      --? heartbeat
    , NULL::timestamptz AS heartbeat_on, NULL::int AS heartbeat_seconds        --? !heartbeat
    , j.blocked, j.blocking, j.pending_dependencies                            --? flows
    , NULL::bool AS blocked, NULL::bool AS blocking, NULL::int AS pending_dependencies --? !flows
    , j.source_name, j.source_id, j.source_created_on, j.source_retry_count    --? lineage
    , NULL::text AS source_name, NULL::uuid AS source_id                       --? !lineage
    , NULL::timestamptz AS source_created_on, NULL::int AS source_retry_count  --? !lineage
    , j.source_output, j.source_root_id                                        --? source_output
  FROM {table} j
  WHERE j.name = $1
    AND j.id = ANY ($2::uuid[])                                                --? +id
    AND j.singleton_key = $3                                                   --? +key
    AND j.data @> $4::text::jsonb                                              --? +data
    AND j.state < 'active'                                                     --? +queued
    AND (j.created_on, j.id) > (anchor.created_on, anchor.id)                  --? +after
  ORDER BY j.created_on, j.id
  LIMIT $6
) j ON true
WHERE q.name = $1
ORDER BY j.created_on, j.id
