// Writes dashboards/*.json and alerts/*.yml out of dashboards.mjs and alerts.mjs: `npm install && npm run generate`, or
// into the directory that is named. .ci/deploy does so and compares.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rulesFile, testsFile } from './alerts.mjs'
import { dashboards } from './dashboards.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const into = process.argv[2] ?? here
const runbook = readFileSync(join(here, '..', 'docs', 'runbook.md'), 'utf8')

function write (name, text) {
  const file = join(into, name)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

for (const dashboard of dashboards(runbook)) {
  const { uid } = dashboard
  // The builder's default for where a link stands hides it in a menu of newer releases.
  const shown = (key, value) => key === 'placement' ? undefined : value
  write(`dashboards/${uid.replace('strawboss-', '')}.json`, JSON.stringify(dashboard, shown, 2) + '\n')
}
write('alerts/strawboss.rules.yml', rulesFile())
write('alerts/tests/strawboss.test.yml', testsFile())
