// A Node app as many run one: pg-boss sends the jobs and looks after the tables. What is new is that no `boss.work()`
// runs them: strawboss claims them and posts them to `/api/jobs/email` below.
//
//   POST /signup          {"to": "ada@example.com"}   sends a job
//   POST /api/jobs/email  the job, signed             runs it

import { createServer } from 'node:http'
import { PgBoss } from 'pg-boss'
import { Webhook } from 'standardwebhooks'

const { DATABASE_URL, EMAIL_WEBHOOK_SECRET, PGBOSS_SCHEMA = 'pgboss', PORT = '3000' } = process.env

const boss = new PgBoss({ connectionString: DATABASE_URL, schema: PGBOSS_SCHEMA })
boss.on('error', console.error)
await boss.start()
await boss.createQueue('email-dead')
await boss.createQueue('email', { retryLimit: 3, retryDelay: 1, deadLetter: 'email-dead', notify: true })

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

async function signUp (headers, body) {
  const { to } = JSON.parse(body)
  return [202, { job: await boss.send('email', { to }) }]
}

const routes = { '/signup': signUp, '/api/jobs/email': runEmailJob }

const server = createServer(async (request, response) => {
  let [status, answer, headers] = [404, { error: 'not found' }]
  try {
    // The signature is over the body as it came, so it is read as text and parsed by whoever has verified it.
    const chunks = await request.toArray()
    const body = Buffer.concat(chunks).toString()
    const route = request.method === 'POST' && routes[request.url]
    if (route) [status, answer, headers] = await route(request.headers, body)
  } catch (error) {
    console.error(error)
    ;[status, answer] = [500, { error: 'see the log' }]
  }
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(answer) + '\n')
})
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening at http://127.0.0.1:${server.address().port}`))

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    server.close()
    server.closeAllConnections()
    await boss.stop()
  })
}
