-- Claims a pass of something pg-boss does to its own tables, if the last one is at least $1 float8 seconds old; returns a row
-- to whoever does it. Flag `build`: the commands that migrations have put off (schema 27 and later); flag `rebuild`: bloated
-- indexes (39 and later).
UPDATE {schema}.version v SET
  bam_on = {now}                                                               --? +build
WHERE extract(epoch FROM {now} - COALESCE(v.bam_on, {now} - interval '1 week'))::float8 >= $1::float8 --? +build
  reindex_on = {now}                                                           --? +rebuild
WHERE extract(epoch FROM {now} - COALESCE(v.reindex_on, {now} - interval '1 week'))::float8 >= $1::float8 --? +rebuild
RETURNING 1
