// Sends jobs to POST /api/send, one after the other on each of so many connections; prints one JSON line.
// node proxy.mjs PORT JOBS CONNECTIONS
// It speaks as little HTTP as will do, so that it takes as little as possible of the machine the servers run on.
import { connect } from 'node:net'

const [port, jobs, connections] = process.argv.slice(2).map(Number)

function request (n) {
  const body = JSON.stringify({ name: 'bench', data: { n, to: 'somebody@example.com', subject: 'A job of ordinary size' } })
  return `POST /api/send HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

// Resolves with how many jobs it sent, once `next` has no more.
function connection (next, latencies) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let sent = 0
    let begun = 0
    let text = ''
    const send = () => {
      const n = next()
      if (n === undefined) {
        socket.destroy()
        return resolve(sent)
      }
      begun = performance.now()
      socket.write(request(n))
    }
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('connect', send)
    socket.on('error', reject)
    socket.on('data', part => {
      text += part
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1])
      if (text.length < end + 4 + length) return
      if (!text.startsWith('HTTP/1.1 200 ') || !text.includes('"ok":true,"result":"')) return reject(new Error(text))
      text = ''
      sent += 1
      latencies.push(performance.now() - begun)
      send()
    })
  })
}

async function load (count) {
  let n = 0
  const latencies = []
  const start = performance.now()
  const next = () => n < count ? n++ : undefined
  await Promise.all(Array.from({ length: connections }, () => connection(next, latencies)))
  return { seconds: (performance.now() - start) / 1000, latencies: latencies.sort((a, b) => a - b) }
}

// What is only done once is done before: connections of the pool, prepared statements, the compiler.
await load(Math.min(2000, jobs))
const { seconds, latencies } = await load(jobs)
const at = share => Number(latencies[Math.floor(share * (latencies.length - 1))].toFixed(3))
console.log(JSON.stringify({
  jobs, connections, seconds: Number(seconds.toFixed(3)), jobs_per_s: Math.round(jobs / seconds), p50_ms: at(0.5), p99_ms: at(0.99)
}))
