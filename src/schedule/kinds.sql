-- Has a schedule's kind say how its text was read. $1 text[] names, $2 text[] keys, $3 text[] texts, $4 text[] kinds.
-- One whose text has changed meanwhile is left alone.
UPDATE {schema}.schedule s
SET kind = k.kind
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (name, key, cron, kind)
WHERE s.name = k.name AND COALESCE(s.key, '') = k.key AND s.cron = k.cron
