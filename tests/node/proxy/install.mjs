// Makes a schema with the queue `bench` in it: node install.mjs, with DATABASE_URL and PGBOSS_SCHEMA.
import { PgBoss } from 'pg-boss'

const { DATABASE_URL: connectionString, PGBOSS_SCHEMA: schema = 'pgboss' } = process.env
const boss = new PgBoss({ connectionString, schema, supervise: false, schedule: false })
await boss.start()
await boss.createQueue('bench')
await boss.stop({ graceful: false })
process.exit(0)
