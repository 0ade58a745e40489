-- The events of the name $1 (text) whose ids are not among $2 (uuid[]), the oldest first: metadata and payload as text.
-- From the outbox and from the history, for an event may be in one of them only. Takes no locks.
SELECT e.metadata::text, e.data::text FROM (
  SELECT DISTINCT ON (1) f.metadata->>'eventId' AS id, f.metadata, f.data, f.at FROM (
    SELECT metadata, event_data AS data, created_at AS at FROM {app}.event_outbox WHERE event_name = $1
    UNION ALL
    SELECT metadata, event_data, emitted_at FROM {app}.event_history WHERE event_name = $1
  ) f ORDER BY 1, f.at
) e
WHERE e.id <> ALL ($2::uuid[]::text[])
ORDER BY e.at, e.id
