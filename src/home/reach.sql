-- Notes that the part $1 has come to step $2, or is further already. $1 text, $2 int.
INSERT INTO {home}.step AS s (part, taken) VALUES ($1, $2)
ON CONFLICT (part) DO UPDATE SET taken = GREATEST(s.taken, excluded.taken)
