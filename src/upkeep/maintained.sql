-- Schema 24: claims expiry, archive and purge of all queues if the last time is at least $1 float8 seconds ago.
UPDATE {schema}.version v SET maintained_on = {now}
WHERE extract(epoch FROM {now} - COALESCE(v.maintained_on, {now} - interval '1 week'))::float8 >= $1::float8
RETURNING 1
