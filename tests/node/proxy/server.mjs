// pg-boss's API over HTTP, for want of the package @pg-boss/proxy, which npm does not have: written anew from its
// contract, on the libraries it stands on (hono, @hono/zod-openapi, zod 4, pg-boss), so that what those decide is the
// real thing: the texts of refused requests, malformed bodies, media types, CORS, basic auth, rows as JSON.
//
//   npm install && DATABASE_URL=… PORT=0 node server.mjs        reads the variables of that proxy, and PGBOSS_SCHEMA
//
// Prints `listening on PORT` once it does.

import { serve } from '@hono/node-server'
import { OpenAPIHono, createRoute, z } from '@hono/zod-openapi'
import { basicAuth } from 'hono/basic-auth'
import { cors } from 'hono/cors'
import { PgBoss, events, policies, states } from 'pg-boss'

const {
  DATABASE_URL, PORT = '3000', HOST = 'localhost', PGBOSS_SCHEMA: schema = 'pgboss',
  PGBOSS_PROXY_PREFIX: path = '/api', PGBOSS_PROXY_EXPOSE_ERRORS: expose = 'false',
  PGBOSS_PROXY_BODY_LIMIT: limit = '1048576', PGBOSS_PROXY_ROUTES_ALLOW: allow = '', PGBOSS_PROXY_ROUTES_DENY: deny = '',
  PGBOSS_PROXY_AUTH_USERNAME: username, PGBOSS_PROXY_AUTH_PASSWORD: password, PGBOSS_PROXY_CORS_ORIGIN: origin,
  PGBOSS_PROXY_CORS_METHODS: methods = 'GET,POST,PUT,DELETE,PATCH,OPTIONS',
  PGBOSS_PROXY_CORS_HEADERS: headers = 'Content-Type,Authorization', PGBOSS_PROXY_CORS_EXPOSE_HEADERS: exposed = '',
  PGBOSS_PROXY_CORS_CREDENTIALS: credentials, PGBOSS_PROXY_CORS_MAX_AGE: maxAge
} = process.env

const text = z.string()
const name = text.min(1)
const number = z.number()
const flag = z.boolean()
const record = z.record(text, z.unknown())
const data = record.nullable().optional()
const date = z.union([text, number])
const ids = z.union([text, z.array(text)])
const all = shape => z.object(Object.fromEntries(Object.entries(shape).map(([key, type]) => [key, type.optional()])))

const group = z.object({ id: text, tier: text.optional() })
const timing = {
  expireInSeconds: number, retentionSeconds: number, deleteAfterSeconds: number, retryLimit: number, retryDelay: number,
  retryBackoff: flag, retryDelayMax: number, heartbeatSeconds: number
}
const job = { id: text, priority: number, startAfter: date, singletonKey: text, group, deadLetter: text, ...timing }
const sending = {
  id: text, priority: number, startAfter: date, singletonKey: text, singletonSeconds: number, singletonNextSlot: flag, group,
  deadLetter: text, ...timing
}
const updating = all({ ...job, match: z.enum(['newest', 'oldest', 'all']) })
const inserting = {
  priority: number, retryLimit: number, retryDelay: number, retryBackoff: flag, retryDelayMax: number, startAfter: date,
  singletonKey: text, singletonSeconds: number, expireInSeconds: number, deleteAfterSeconds: number,
  retentionSeconds: number, heartbeatSeconds: number, group, deadLetter: text
}
const queueing = { deadLetter: text, warningQueueSize: number, notify: flag }
const fetching = all({
  includeMetadata: flag, priority: flag, orderByCreatedOn: flag, batchSize: number, ignoreStartAfter: flag,
  groupConcurrency: z.union([number, z.object({ default: number, tiers: z.record(text, number).optional() })]),
  ignoreGroups: z.array(text).nullable(), minPriority: number.int(), maxPriority: number.int()
}).refine(
  ({ minPriority: min, maxPriority: max }) => min == null || max == null || min <= max,
  { message: 'minPriority must be <= maxPriority' }
)
const truth = z.enum(['true', 'false']).transform(value => value === 'true').optional()
const count = z.coerce.number().int().positive().optional()
const moment = z.iso.datetime().optional()

// The arguments of a call end with the last one that was given.
const call = (...values) => {
  while (values.length && values.at(-1) === undefined) values.pop()
  return values
}
const loose = (first, body) => call(...first, body.data ?? (body.options === undefined ? body.data : null), body.options)
const fixed = (body, ...rest) => call(body.name, body.data ?? null, body.options ?? null, ...rest)
const send = z.object({ name, data, options: all(sending).optional() })
const delayed = shape => z.object({ name, data, options: all(sending).nullable().optional(), ...shape })
const jobs = z.object({ name, id: ids })
const named = z.object({ name })
const maybe = z.object({ name: name.optional() })
const link = z.object({ event: name, name })
const change = z.object({ name, data, options: updating })
const byName = body => [body.name]
const byId = body => [body.name, body.id]

const POST = {
  send: [send, body => loose([body.name], body)],
  sendAfter: [delayed({ after: date }), body => fixed(body, body.after)],
  sendThrottled: [delayed({ seconds: number, key: text.optional() }), body => fixed(body, body.seconds, body.key)],
  sendDebounced: [delayed({ seconds: number, key: text.optional() }), body => fixed(body, body.seconds, body.key)],
  insert: [
    z.object({ name, jobs: z.array(all({ id: text, data: record, ...inserting })), options: all({ returnId: flag }).optional() }),
    body => call(body.name, body.jobs, body.options)
  ],
  update: [change, body => [body.name, body.data, body.options]],
  upsert: [change, body => [body.name, body.data, body.options]],
  flow: [
    z.object({
      jobs: z.array(z.object({
        ref: text, name, data: record.optional(), options: all({ id: text, ...inserting }).optional(), dependsOn: z.array(text).optional()
      }))
    }),
    body => [body.jobs]
  ],
  fetch: [z.object({ name, options: fetching.optional() }), body => call(body.name, body.options)],
  complete: [
    z.object({ name, id: ids, data, options: all({ includeQueued: flag }).optional() }),
    body => loose([body.name, body.id], body)
  ],
  fail: [z.object({ name, id: ids, data }), body => call(body.name, body.id, body.data)],
  cancel: [jobs, byId],
  resume: [jobs, byId],
  retry: [jobs, byId],
  deleteJob: [jobs, byId],
  redrive: [
    z.object({ name, options: all({ destination: name, sourceName: name, limit: number }).optional() }),
    body => call(body.name, body.options)
  ],
  deleteQueuedJobs: [named, byName],
  deleteStoredJobs: [named, byName],
  deleteAllJobs: [maybe, body => call(body.name)],
  createQueue: [
    z.object({
      name, options: all(timing).and(all({ policy: text, partition: flag, ...queueing })).optional()
    }),
    body => call(body.name, body.options)
  ],
  updateQueue: [
    z.object({ name, options: all(timing).and(all(queueing)).optional() }),
    body => call(body.name, body.options)
  ],
  deleteQueue: [named, byName],
  subscribe: [link, body => [body.event, body.name]],
  unsubscribe: [link, body => [body.event, body.name]],
  publish: [z.object({ event: name, data, options: all(sending).optional() }), body => loose([body.event], body)],
  schedule: [
    z.object({ name, cron: text, data, options: all({ ...sending, tz: text, key: text }).optional() }),
    body => loose([body.name, body.cron], body)
  ],
  unschedule: [z.object({ name, key: text.optional() }), body => call(body.name, body.key || undefined)],
  supervise: [maybe, body => call(body.name)]
}

const pair = z.object({ name, id: text.min(1) })
const GET = {
  isInstalled: [],
  schemaVersion: [],
  getBamStatus: [],
  getQueue: [named, byName],
  getQueues: [
    z.object({ names: z.union([z.array(text), text.transform(one => [one])]).optional() }), query => call(query.names)
  ],
  getBlockedKeys: [named, byName],
  getQueueStats: [
    z.object({
      name, from: moment, to: moment, limit: count, bucketSeconds: count, maxDataPoints: count,
      aggregate: z.enum(['max', 'min', 'avg']).optional(), force: truth
    }),
    ({ name, from, to, ...rest }) => {
      const options = { ...rest, ...(from && { from: new Date(from) }), ...(to && { to: new Date(to) }) }
      return Object.keys(options).length ? [name, options] : [name]
    }
  ],
  getSchedules: [
    all({ name: text, key: text }), query => call(query.name || undefined, (query.name && query.key) || undefined)
  ],
  getDependencies: [pair, byId],
  getDependents: [pair, byId],
  findJobs: [
    z.object({
      name, id: text.optional(), key: text.optional(), queued: truth, dataKey: text.optional(), dataValue: text.optional()
    }).refine(query => !query.dataValue || query.dataKey, { message: 'dataKey is required when dataValue is provided' }),
    ({ name, id, key, queued, dataKey, dataValue }) => [name, {
      ...(id && { id }), ...(key && { key }), ...(queued !== undefined && { queued }),
      ...(dataKey && { data: { [dataKey]: dataValue ?? null } })
    }]
  ]
}

const prefix = path === '/' ? '' : (path.startsWith('/') ? path : `/${path}`).replace(/\/$/, '')
const list = value => value.split(',').map(part => part.trim()).filter(Boolean)
const refused = (context, status, message) => context.json({ ok: false, error: { message } }, status)
const broken = (context, error) =>
  refused(context, 500, expose.toLowerCase() === 'true' ? error.message : 'Internal server error')

const boss = new PgBoss({ connectionString: DATABASE_URL, schema, supervise: false, schedule: false, migrate: false })
boss.on('error', error => console.error(error))
const app = new OpenAPIHono({
  defaultHook: (result, context) => result.success ? undefined : refused(context, 400, result.error.message)
})
// The contract has 401 as hono answers it, and all else that is thrown as 500.
app.onError((error, context) => error.status === 401 ? error.getResponse() : broken(context, error))
if (!username !== !password) throw new Error('PGBOSS_PROXY_AUTH_USERNAME and PGBOSS_PROXY_AUTH_PASSWORD go together')
if (username) app.use(`${prefix}/*`, basicAuth({ username, password }))
if (origin) {
  const origins = list(origin)
  app.use(`${prefix}/*`, cors({
    origin: origins.length === 1 && origins[0] === '*' ? '*' : origins,
    allowMethods: list(methods),
    allowHeaders: list(headers),
    exposeHeaders: list(exposed),
    credentials: credentials === 'true',
    maxAge: maxAge ? parseInt(maxAge, 10) : undefined
  }))
}
app.use(`${prefix}/*`, async (context, next) => {
  const length = context.req.method === 'POST' ? parseInt(context.req.header('content-length') ?? '0', 10) : 0
  if (length > Number(limit)) return refused(context, 413, `Request body too large (max ${limit} bytes)`)
  await next()
})
app.get(`${prefix}/meta`, context => context.json({ ok: true, result: { states, policies, events } }))

const [allowed, denied] = [list(allow), list(deny)]
for (const [verb, routes] of Object.entries({ post: POST, get: GET })) {
  for (const [method, [shape, args = () => []]] of Object.entries(routes)) {
    if ((allowed.length && !allowed.includes(method)) || denied.includes(method)) continue
    const request = !shape ? {} : verb === 'get' ? { query: shape } : { body: { content: { 'application/json': { schema: shape } } } }
    const route = createRoute({ method: verb, path: `${prefix}/${method}`, request, responses: { 200: { description: '' } } })
    app.openapi(route, async context => {
      try {
        const input = shape ? context.req.valid(verb === 'get' ? 'query' : 'json') : {}
        return context.json({ ok: true, result: await boss[method](...args(input)) ?? null })
      } catch (error) {
        return broken(context, error)
      }
    })
  }
}

await boss.start()
const server = serve({ fetch: app.fetch, port: Number(PORT), hostname: HOST }, ({ port }) => console.log(`listening on ${port}`))
const end = async () => {
  await boss.stop({ graceful: false })
  server.close(() => process.exit(0))
}
process.on('SIGTERM', end)
process.on('SIGINT', end)
