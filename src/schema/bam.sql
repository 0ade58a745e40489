-- The index builds that migrations left to be done and that are not done, oldest first.
-- No parameters. Hole: {schema}, quoted. Wants schema 27 or later.
SELECT b.status, b.command, b.error
FROM {schema}.bam b
WHERE b.status <> 'completed'
ORDER BY b.created_on, b.id
