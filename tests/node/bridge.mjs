// One PgBoss of one release, driven by JSON lines: requests on standard input, answers and events on standard output.
//
//   node bridge.mjs '{"release":"12.38.0","options":{…}}'
//
// The options are PgBoss's own, and two of ours: "start": false leaves out boss.start(); "traces" is the address of an
// OTLP collector, to which the OpenTelemetry SDK of the process then sends.
//
//   -> {"id":1,"op":"call","method":"send","args":["q",{"n":1}]}
//   -> {"id":2,"op":"work","queue":"q","options":{},"behaviour":{"complete":{"n":2}}}
//   -> {"id":3,"op":"serve","status":200}      an endpoint, each request within a span of kind server; answers its address
//   -> {"id":4,"op":"eval","body":"return boss.getQueues()","args":[]}
//   <- {"id":1,"ok":…}   or   {"id":1,"error":{"name":…,"message":…,"code":…}}
//   <- {"event":"started"|"job"|"handled"|"error"|"warning"|…}
//
// A date travels to us as {"$date":"2030-01-01T00:00:00Z"}, undefined as {"$undefined":true}; dates travel back as ISO
// strings. The process ends with its standard input.

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const { release, options: { traces, ...options } } = JSON.parse(process.argv[2])
const require = createRequire(`${process.env.STRAWBOSS_NODE_DIRECTORY}/`)
const load = name => import(pathToFileURL(require.resolve(name)))
if (traces) await exportTraces(traces)
const loaded = await load(`pg-boss-${release}`)
const PgBoss = loaded.PgBoss ?? loaded.default

const AsyncFunction = (async () => {}).constructor
const boss = new PgBoss(revive(options))
const attempts = new Map()

// What an application does that wants traces: the SDK, registered before pg-boss is loaded.
async function exportTraces (endpoint) {
  const { NodeTracerProvider, SimpleSpanProcessor } = await load('@opentelemetry/sdk-trace-node')
  const { OTLPTraceExporter } = await load('@opentelemetry/exporter-trace-otlp-proto')
  const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces` })
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
}

function revive (value) {
  if (Array.isArray(value)) return value.map(revive)
  if (value === null || typeof value !== 'object') return value
  if ('$date' in value) return new Date(value.$date)
  if ('$undefined' in value) return undefined
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, revive(inner)]))
}

function say (line) {
  process.stdout.write(JSON.stringify(line, (key, value) => typeof value === 'bigint' ? String(value) : value) + '\n')
}

function describe (error) {
  if (!(error instanceof Error)) return { name: 'thrown', message: String(error) }
  return { name: error.name, message: error.message, code: error.code, stack: error.stack }
}

function sleep (milliseconds) {
  return new Promise(resolve => setTimeout(resolve, milliseconds))
}

// behaviour: {complete: output} | {echo: true} | {throw: {message, …}} | {failTimes: n, complete: output} |
//            {hang: true} | {run: 'body of async (jobs, boss, say)'}, each with an optional {delay: milliseconds}
async function behave (behaviour, queue, jobs) {
  for (const job of jobs) say({ event: 'job', queue, job })
  if (behaviour.delay) await sleep(behaviour.delay)
  if (behaviour.run) return new AsyncFunction('jobs', 'boss', 'say', behaviour.run)(jobs, boss, say)
  if (behaviour.hang) await new Promise(() => {})
  if (behaviour.failTimes !== undefined) {
    for (const { id } of jobs) attempts.set(id, (attempts.get(id) ?? 0) + 1)
    if (jobs.some(({ id }) => attempts.get(id) <= behaviour.failTimes)) {
      throw Object.assign(new Error('failing on purpose'), revive(behaviour.throw ?? {}))
    }
  } else if (behaviour.throw) {
    const { message, ...properties } = revive(behaviour.throw)
    throw Object.assign(new Error(message), properties)
  }
  return behaviour.echo ? jobs[0].data : revive(behaviour.complete)
}

// An endpoint as an app instrumented by the SDK has it: its span continues the caller's trace.
async function serve (status) {
  const { context, propagation, SpanKind, trace } = await load('@opentelemetry/api')
  const server = createServer((request, response) => {
    const caller = propagation.extract(context.active(), request.headers)
    trace.getTracer('app').startActiveSpan(`POST ${request.url}`, { kind: SpanKind.SERVER }, caller, async span => {
      for await (const _ of request);
      response.writeHead(status).end()
      span.end()
    })
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}

async function perform ({ op, method, args, queue, options, behaviour, body, status }) {
  switch (op) {
    case 'call':
      if (typeof boss[method] !== 'function') throw new Error(`pg-boss ${release} has no method ${method}`)
      return boss[method](...revive(args))
    case 'work':
      return boss.work(queue, revive(options), async jobs => {
        const ids = jobs.map(({ id }) => id)
        try {
          const output = await behave(behaviour, queue, jobs)
          say({ event: 'handled', queue, ids, outcome: 'completed' })
          return output
        } catch (error) {
          say({ event: 'handled', queue, ids, outcome: 'threw', error: describe(error) })
          throw error
        }
      })
    case 'serve':
      return serve(status)
    case 'eval':
      return new AsyncFunction('boss', 'args', 'say', body)(boss, revive(args), say)
    default:
      throw new Error(`unknown operation ${op}`)
  }
}

for (const event of ['error', 'warning', 'wip', 'stopped', 'bam', 'flow']) {
  boss.on(event, detail => say({ event, detail: detail instanceof Error ? describe(detail) : detail }))
}

if (options.start !== false) await boss.start()
say({ event: 'started' })

const lines = createInterface({ input: process.stdin })
lines.on('line', async line => {
  const request = JSON.parse(line)
  try {
    say({ id: request.id, ok: await perform(request) ?? null })
  } catch (error) {
    say({ id: request.id, error: describe(error) })
  }
})
lines.on('close', () => process.exit(0))
