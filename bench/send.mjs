// Sends jobs with pg-boss's own send(), one after the other on each of so many loops; prints one JSON line.
// node send.mjs JOBS LOOPS
import { createRequire } from 'node:module'

// The release that the Node proxy runs on.
const { PgBoss } = createRequire(new URL('../tests/node/proxy/', import.meta.url))('pg-boss')
const [jobs, loops] = process.argv.slice(2).map(Number)
const boss = new PgBoss({
  connectionString: process.env.DATABASE_URL, schema: process.env.PGBOSS_SCHEMA, supervise: false, schedule: false, migrate: false
})
await boss.start()

async function load (count) {
  let n = 0
  const latencies = []
  const start = performance.now()
  await Promise.all(Array.from({ length: loops }, async () => {
    while (n < count) {
      const begun = performance.now()
      await boss.send('bench', { n: n++, to: 'somebody@example.com', subject: 'A job of ordinary size' })
      latencies.push(performance.now() - begun)
    }
  }))
  return { seconds: (performance.now() - start) / 1000, latencies: latencies.sort((a, b) => a - b) }
}

await load(Math.min(2000, jobs))
const { seconds, latencies } = await load(jobs)
const at = share => Number(latencies[Math.floor(share * (latencies.length - 1))].toFixed(3))
console.log(JSON.stringify({
  jobs, connections: loops, seconds: Number(seconds.toFixed(3)), jobs_per_s: Math.round(jobs / seconds), p50_ms: at(0.5), p99_ms: at(0.99)
}))
await boss.stop({ graceful: false })
