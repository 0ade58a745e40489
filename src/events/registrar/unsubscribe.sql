-- Ends subscriptions. Arrays of one length: $1 text[] event, $2 text[] queue. Locks the rows; by the primary key (event, name).
DELETE FROM {schema}.subscription s USING unnest($1::text[], $2::text[]) AS v(event, name)
WHERE s.event = v.event AND s.name = v.name
