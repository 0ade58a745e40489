-- How far each part has come.
CREATE TABLE IF NOT EXISTS {home}.step (
  part text PRIMARY KEY,
  taken int NOT NULL
)
