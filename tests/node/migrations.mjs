// Prints the migrations that pg-boss 12.38.0 knows, as JSON, oldest first: [{from, to, up, down}], the latter two being
// SQL for the schema of that name: node migrations.mjs SCHEMA

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [schema] = process.argv.slice(2)
const require = createRequire(`${process.env.STRAWBOSS_NODE_DIRECTORY}/`)
const store = await import(new URL('migrationStore.js', pathToFileURL(require.resolve('pg-boss-12.38.0'))))
const all = store.getAll(schema)
const steps = all
  .map(({ previous, version }) => ({
    from: previous,
    to: version,
    // Of the later ones it must not know, since it takes every step there is.
    up: store.migrate(schema, previous, all.filter(step => step.version <= version)),
    down: store.rollback(schema, version, all)
  }))
  .sort((one, other) => one.from - other.from)
process.stdout.write(JSON.stringify(steps))
