-- Whether the index $2 text of the schema $1 text (both unquoted) is valid; no row if it is not there.
SELECT x.indisvalid AS valid
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE n.nspname = $1::text AND i.relname = $2::text
