SELECT 0::bigint AS queues, e.metadata::text AS metadata, $1::text, $2::text FROM event e
