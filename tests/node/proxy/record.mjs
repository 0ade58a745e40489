// Records what the API of server.mjs answers to table.mjs into tests/vectors/proxy.json.
//
//   npm install && node record.mjs postgres://…            in a database whose schemas nobody minds
//
// PROXY may name another server to ask: a program that takes the variables of pg-boss's proxy and PGBOSS_SCHEMA, and
// prints its port at the end of a line. What is different at every run is written as <id> and <time>.

import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { request as ask } from 'node:http'
import { createInterface } from 'node:readline'
import { PgBoss } from 'pg-boss'
import { sessions } from './table.mjs'

const url = process.argv[2]
const kept = [
  'content-type', 'www-authenticate', 'vary', 'access-control-allow-origin', 'access-control-allow-credentials', 'access-control-allow-methods',
  'access-control-allow-headers', 'access-control-expose-headers', 'access-control-max-age'
]

const moment = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g
const identity = /\b(?!00000000)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g
const near = text => Math.abs(Date.parse(text) - Date.now()) < 40 * 86_400_000
const settled = text => text.replace(moment, found => near(found) ? '<time>' : found).replace(identity, '<id>')

function send (port, [method, path, body, headers]) {
  return new Promise((resolve, reject) => {
    const request = ask({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', part => { text += part })
      response.on('end', () => resolve({
        status: response.statusCode,
        headers: Object.fromEntries(kept.filter(name => name in response.headers).map(name => [name, response.headers[name]])),
        body: settled(text)
      }))
    })
    request.on('error', reject)
    request.end(body)
  })
}

async function serve (environment, schema) {
  const program = (process.env.PROXY ?? `${process.execPath} ${new URL('server.mjs', import.meta.url).pathname}`).split(' ')
  const proxy = spawn(program[0], program.slice(1), {
    env: { PATH: process.env.PATH, ...environment, DATABASE_URL: url, PGBOSS_SCHEMA: schema, HOST: '127.0.0.1', PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: proxy.stdout })) {
    const [port] = line.match(/\d+$/) ?? []
    if (port) return { port: Number(port), end: () => proxy.kill() }
  }
  throw new Error('the proxy ended')
}

const recorded = []
for (const { name, environment = {}, prefix = '/api', requests } of sessions) {
  const schema = `proxy_${Date.now()}`
  const owner = new PgBoss({ connectionString: url, schema, supervise: false, schedule: false })
  await owner.start()
  const { port, end } = await serve(environment, schema)
  const exchanges = []
  for (const [verb, route, body, headers] of requests) {
    const written = body === undefined || headers ? body : JSON.stringify(body)
    const sent = headers ?? (body === undefined ? {} : { 'content-type': 'application/json' })
    const request = [verb, `${prefix}/${route}`, written, sent]
    if (written !== undefined && !('transfer-encoding' in sent)) request[3] = { ...sent, 'content-length': Buffer.byteLength(written) }
    exchanges.push({ request: [verb, `${prefix}/${route}`, written ?? null, sent], answer: await send(port, request) })
  }
  end()
  await owner.getDb().executeSql(`drop schema ${schema} cascade`)
  await owner.stop({ graceful: false })
  recorded.push({ name, environment, exchanges })
}

const packages = JSON.parse(readFileSync(new URL('package.json', import.meta.url))).dependencies
const lines = recorded.map(({ exchanges, ...session }) =>
  `${JSON.stringify(session).slice(0, -1)},"exchanges":[\n${exchanges.map(each => JSON.stringify(each)).join(',\n')}\n]}`)
const out = process.argv[3] ?? new URL('../../vectors/proxy.json', import.meta.url)
writeFileSync(out, `{"recorded_with":${JSON.stringify(packages)},"sessions":[\n${lines.join(',\n')}\n]}\n`)
console.log(`${recorded.flatMap(({ exchanges }) => exchanges).length} answers`)
process.exit(0)
