// A Node app as many run one: pg-boss sends the jobs and looks after the tables. What is new is that no `boss.work()`
// runs those of `email` and `thumbnail`: strawboss claims them and posts them to the routes below. The queue `report`
// is still worked here, as before: the two live side by side.
//
//   POST /signup                {"to": "ada@example.com"}   sends a job
//   POST /api/jobs/email        the job, signed             runs it
//   POST /api/jobs/thumbnail    likewise
//   POST /api/events/inventory  an event, signed            handles it
//   GET  /healthz

import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'

const {
  DATABASE_URL, EMAIL_WEBHOOK_SECRET, PGBOSS_SCHEMA = 'pgboss', PORT = '3000', HOST = '127.0.0.1',
  DEMO_RATE = '0', OTEL_EXPORTER_OTLP_ENDPOINT
} = process.env

// The SDK has to be there before pg-boss is loaded. Its traces then run from the `send` here through the worker and back
// into the routes below, for `propagateContext` puts the producer's context into the job.
const tracing = OTEL_EXPORTER_OTLP_ENDPOINT ? await import('./tracing.mjs') : undefined
const { PgBoss } = await import('pg-boss')

const boss = new PgBoss({
  connectionString: DATABASE_URL,
  schema: PGBOSS_SCHEMA,
  ...(tracing && { openTelemetry: { propagateContext: true } })
})
boss.on('error', console.error)
await boss.start()
await boss.createQueue('email-dead')
await boss.createQueue('email', { retryLimit: 3, retryDelay: 1, deadLetter: 'email-dead', notify: true })
await boss.createQueue('thumbnail', { retryLimit: 2, retryBackoff: true, deadLetter: 'email-dead' })
await boss.createQueue('report')
await boss.work('report', { batchSize: 50 }, async jobs => jobs.map(({ id }) => ({ id, lines: 3 })))

const webhook = new Webhook(EMAIL_WEBHOOK_SECRET)
// A job may come more than once (its worker may die after it has posted and before it has written so), always under
// the same id. A real app would keep the ids beside what it did for them, in one transaction.
const delivered = new Map()

// Answers [status, body, headers]: 2xx completes the job, 5xx tries it again, 4xx sends it to the dead letter queue.
async function runEmailJob (headers, body) {
  try {
    webhook.verify(body, headers)
  } catch {
    return [401, { error: 'not signed by our worker' }]
  }
  const id = headers['webhook-id']
  const { to } = JSON.parse(body)
  if (delivered.has(id)) return [200, delivered.get(id)]
  if (!to.includes('@')) return [422, { error: `${to} is no address` }]
  if (to.startsWith('busy') && headers['pgboss-retry-count'] === '0') {
    return [503, { error: 'the mail server is busy' }, { 'retry-after': '1' }]
  }
  console.log(`mail to ${to}, attempt ${Number(headers['pgboss-retry-count']) + 1}`)
  delivered.set(id, { deliveredTo: to })
  return [200, { deliveredTo: to }]
}

// Takes a while, and fails now and then.
async function runThumbnailJob (headers, body) {
  try {
    webhook.verify(body, headers)
  } catch {
    return [401, { error: 'not signed by our worker' }]
  }
  await sleep(50 + Math.random() * 400)
  if (Math.random() < 0.05) return [500, { error: 'the picture could not be read' }]
  return [200, { width: 128 }]
}

// An event comes as a job does, with its id and its name in headers of their own.
const reserved = new Set()
async function reserveStock (headers, body) {
  try {
    webhook.verify(body, headers)
  } catch {
    return [401, { error: 'not signed by our worker' }]
  }
  const { orderId } = JSON.parse(body).data
  if (!orderId) return [422, { error: 'an order without a number' }]
  reserved.add(orderId)
  return [200, { reserved: reserved.size }]
}

async function signUp (headers, body) {
  const { to } = JSON.parse(body)
  return [202, { job: await boss.send('email', { to }) }]
}

async function sayHealth () {
  return [200, { ok: true }]
}

const routes = {
  'POST /signup': signUp,
  'POST /api/jobs/email': runEmailJob,
  'POST /api/jobs/thumbnail': runThumbnailJob,
  'POST /api/events/inventory': reserveStock,
  'GET /healthz': sayHealth
}

const server = createServer(async (request, response) => {
  let [status, answer, headers] = [404, { error: 'not found' }]
  try {
    // The signature is over the body as it came, so it is read as text and parsed by whoever has verified it.
    const chunks = await request.toArray()
    const body = Buffer.concat(chunks).toString()
    const name = `${request.method} ${request.url}`
    const route = routes[name]
    const run = () => route(request.headers, body)
    if (route) [status, answer, headers] = await (tracing ? tracing.serve(name, request.headers, run) : run())
  } catch (error) {
    console.error(error)
    ;[status, answer] = [500, { error: 'see the log' }]
  }
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(answer) + '\n')
})
server.listen(Number(PORT), HOST, () => console.log(`listening at http://127.0.0.1:${server.address().port}`))

// Something to look at in the dashboards: so many jobs a second, of which some are tried twice and a few die.
let demo
if (Number(DEMO_RATE) > 0) {
  const { outbox } = await import('./events.mjs')
  const emit = await outbox(boss.getDb())
  let sent = 0
  demo = setInterval(async () => {
    const n = sent++
    const to = n % 50 === 0 ? 'nobody' : n % 10 === 0 ? `busy-${n}@example.com` : `user-${n}@example.com`
    try {
      if (n % 4 === 0) await boss.send('thumbnail', { picture: n })
      else await boss.send('email', { to })
      if (n % 20 === 0) await boss.send('report', { n })
      // Every order is reported twice, and handled once; one in twenty has no number, and is dead.
      if (n % 5 === 0) await emit('order:completed', { orderId: n % 100 === 0 ? null : `o-${Math.floor(n / 10)}` })
    } catch (error) {
      console.error(error)
    }
  }, 1000 / Number(DEMO_RATE))
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    clearInterval(demo)
    server.close()
    server.closeAllConnections()
    await boss.stop()
    await tracing?.stop()
  })
}
