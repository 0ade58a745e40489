-- Deletes dead letters. $1 uuid[]: which. Returns their ids. Locks the rows; by the primary key.
DELETE FROM {events}.event_dead_letter x WHERE x.id = ANY($1::uuid[]) RETURNING x.id
