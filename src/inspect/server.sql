-- What server this is and whether it can be worked with: one row.
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_number,
       pg_is_in_recovery() AS standby,
       current_database()::text AS database,
       current_user::text AS role
