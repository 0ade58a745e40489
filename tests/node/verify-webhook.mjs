// Verifies a webhook as its receiver would: {"secret", "format"?, "headers", "body"} on standard input, exit status 0
// if it is genuine, else 1 and why on standard error.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.STRAWBOSS_NODE_DIRECTORY}/`)
const { Webhook } = require('standardwebhooks')
const { secret, format, headers, body } = JSON.parse(readFileSync(0, 'utf8'))
try {
  new Webhook(secret, format && { format }).verify(body, headers)
} catch (error) {
  console.error(error.message)
  process.exit(1)
}
