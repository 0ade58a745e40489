-- Removes the schedule of queue $1 (text) and key $2 (text); returns a row if there was one.
DELETE FROM {schema}.schedule s
WHERE s.name = $1::text
    AND $2::text = '' --? v10
    AND COALESCE(s.key, '') = $2::text --? !v10
RETURNING s.name
