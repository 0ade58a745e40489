-- The rows of the queues $1 text[], as far as a worker needs them.
SELECT q.name, q.policy, q.dead_letter
  , 'job' AS table_name                                                        --? v10
  , q.table_name                                                               --? !v10
  , q.notify                                                                   --? notify
  , false AS notify                                                            --? !notify
  , q.heartbeat_seconds                                                        --? heartbeat
  , NULL::int AS heartbeat_seconds                                             --? !heartbeat
FROM {schema}.queue q
WHERE q.name = ANY($1::text[])
