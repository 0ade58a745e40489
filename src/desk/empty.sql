-- Empties a job table; the parent's are all. Locks it, or all of them, ACCESS EXCLUSIVE.
TRUNCATE {table}
