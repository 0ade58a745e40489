// Measures pg-boss itself, as the other side of `strawboss bench`: drain, latency or idle; prints one JSON line.
// node pgboss.mjs drain JOBS [batchSize localConcurrency]   without the last two: a default worker, for 20 seconds
// node pgboss.mjs latency COUNT GAP_MS                      with LISTEN/NOTIFY
// node pgboss.mjs idle QUEUES SECONDS
// DATABASE_URL and PGBOSS_SCHEMA say where; the schema has to be there.
import { PgBoss } from 'pg-boss'

const [what, ...rest] = process.argv.slice(2)
const numbers = rest.map(Number)
const boss = new PgBoss({
  connectionString: process.env.DATABASE_URL,
  schema: process.env.PGBOSS_SCHEMA ?? 'pgboss',
  migrate: false,
  schedule: false,
  supervise: what === 'idle',
  useListenNotify: what === 'latency',
  max: 10
})
boss.on('error', (error) => console.error(error.message))
await boss.start()
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const query = (sql) => boss.getDb().executeSql(sql)

async function drain (jobs, batchSize, localConcurrency) {
  const queue = 'pgboss-bench'
  await boss.createQueue(queue)
  await boss.deleteAllJobs(queue)
  for (let n = 0; n < jobs; n += 5000) {
    const batch = Array.from({ length: Math.min(5000, jobs - n) }, (_, i) => ({ data: { n: n + i } }))
    await boss.insert(queue, batch)
  }
  let done = 0
  let finish
  const finished = new Promise((resolve) => { finish = resolve })
  const options = batchSize
    ? { batchSize, localConcurrency, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
    : {}
  const cpu = process.cpuUsage()
  const start = performance.now()
  await boss.work(queue, options, async (batch) => {
    done += batch.length
    if (done >= jobs) finish()
  })
  if (batchSize) {
    await finished
    // The last batches are handled, and not completed yet.
    const left = `SELECT 1 FROM ${process.env.PGBOSS_SCHEMA ?? 'pgboss'}.job WHERE name = '${queue}' AND state < 'completed' LIMIT 1`
    while ((await query(left)).rows.length > 0) await sleep(2)
  } else {
    await sleep(20000)
  }
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  return { jobs: done, seconds, jobs_per_s: done / seconds, cpu_s: (used.user + used.system) / 1e6, rss_mb: process.memoryUsage().rss / 1e6 }
}

async function latency (count, gap) {
  const queue = 'pgboss-bench-latency'
  await boss.createQueue(queue, { notify: true })
  const arrived = new Map()
  await boss.work(queue, async ([job]) => arrived.get(job.id)?.())
  const waits = []
  for (let n = 0; n < count + 20; n++) {
    await sleep(gap)
    const id = crypto.randomUUID()
    const arrival = new Promise((resolve) => arrived.set(id, resolve))
    const sent = performance.now()
    await boss.send(queue, null, { id })
    await arrival
    if (n >= 20) waits.push(performance.now() - sent)
  }
  waits.sort((a, b) => a - b)
  const at = (share) => waits[Math.ceil(waits.length * share) - 1]
  return { count, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1) }
}

async function idle (queues, seconds) {
  for (let n = 0; n < queues; n++) {
    const queue = `pgboss-bench-idle-${n}`
    await boss.createQueue(queue)
    await boss.work(queue, async () => {})
  }
  await sleep(5000)
  const count = async () => {
    await sleep(1200)
    const { rows } = await query('SELECT xact_commit + xact_rollback AS n FROM pg_stat_database WHERE datname = current_database()')
    return Number(rows[0].n)
  }
  const cpu = process.cpuUsage()
  const before = await count()
  const start = performance.now()
  await sleep(seconds * 1000)
  const elapsed = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  const after = await count()
  return { queues, xact_per_s: (after - before) / elapsed, cpu_pct: (used.user + used.system) / 1e4 / elapsed, rss_mb: process.memoryUsage().rss / 1e6 }
}

const result = await { drain, latency, idle }[what](...numbers)
console.log(JSON.stringify(result, (_, value) => typeof value === 'number' ? Math.round(value * 1000) / 1000 : value))
process.exit(0)
