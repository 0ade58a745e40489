-- Claims the release of children if the last one is at least $1 float8 seconds old; returns a row to whoever does it.
UPDATE {schema}.version v SET flow_on = {now}
WHERE extract(epoch FROM {now} - COALESCE(v.flow_on, {now} - interval '1 week'))::float8 >= $1::float8
RETURNING 1
