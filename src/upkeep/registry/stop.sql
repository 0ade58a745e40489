-- Says that an instance has ended in good order: $1 uuid its id. Locks that row. Schema 44 and later.
UPDATE {schema}.instance SET stopped_on = {now} WHERE id = $1::uuid
