-- The states of a job and the schema's clock.
-- Wants: an empty schema. Hole: {schema}, quoted.

-- Comparisons such as "state < 'active'" lean on this order.
CREATE TYPE {schema}.job_state AS ENUM ('created', 'retry', 'active', 'completed', 'cancelled', 'failed');

-- Every statement reads time here, so that a test can put another clock in its place. A plain SQL expression,
-- because only that is inlined and folded by the planner.
CREATE FUNCTION {schema}.job_now() RETURNS timestamptz
LANGUAGE sql STABLE
AS $body$SELECT pg_catalog.transaction_timestamp()$body$;
