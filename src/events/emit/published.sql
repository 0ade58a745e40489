SELECT (SELECT count(*) FROM entered) AS queues, e.metadata::text AS metadata, (SELECT count(*) FROM woken) AS woken
FROM event e
