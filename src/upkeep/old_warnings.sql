-- Deletes warnings older than $1 int days. Schema 29 and later.
DELETE FROM {schema}.warning w WHERE w.created_on < {now} - $1::int * interval '1 day'
