-- Ends the subscription of queue $2 text to event $1 text. Locks the row.
DELETE FROM {schema}.subscription WHERE event = $1 AND name = $2
