-- How many jobs of which queue are in which state. Takes no locks; reads all of them.
SELECT j.name, j.state::text AS state, count(*) AS jobs FROM {job} j GROUP BY j.name, j.state ORDER BY 1, 2
