-- Whether a schema can be made for comparison: one row. No parameters.
SELECT has_database_privilege(current_database(), 'TEMPORARY') AS may,
       current_setting('transaction_read_only') = 'on' AS read_only,
       current_database()::text AS database,
       current_user::text AS role
