-- Everything the catalog knows of schema $1 that a program could notice, as one text a row, the schema's name left out.
-- Partitions of queue_stats are named after days, and so are the same in two schemas made on one day.
WITH classes AS (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
), facts AS (
    SELECT concat_ws(' ', 'relation', c.relname, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity,
                     c.relreplident, c.reloptions, pg_get_expr(c.relpartbound, c.oid),
                     CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
                     (SELECT p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
                      WHERE h.inhrelid = c.oid)) AS fact
    FROM classes c
    UNION ALL
    SELECT concat_ws(' ', 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                     a.attidentity, a.attgenerated, a.attstorage, a.attcollation::regcollation,
                     pg_get_expr(d.adbin, d.adrelid))
    FROM classes c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND c.relkind IN ('r', 'p')
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT concat_ws(' ', 'constraint', c.relname, k.conname, k.convalidated, pg_get_constraintdef(k.oid))
    FROM classes c JOIN pg_constraint k ON k.conrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(x.indexrelid), x.indisvalid, x.indisready, x.indisprimary)
    FROM classes c JOIN pg_index x ON x.indrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'function', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                     l.lanname, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.procost,
                     p.proretset, p.proconfig, p.prokind)
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname = $1
    UNION ALL
    SELECT concat_ws(' ', 'type', t.typname, t.typtype,
                     (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e
                      WHERE e.enumtypid = t.oid))
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = $1
    UNION ALL
    SELECT concat_ws(' ', 'trigger', c.relname, t.tgenabled, t.tgdeferrable, t.tginitdeferred, t.tgtype)
    FROM classes c JOIN pg_trigger t ON t.tgrelid = c.oid
)
SELECT replace(fact, $1 || '.', '') AS fact FROM facts ORDER BY 1
