// Prints the statements with which that release of pg-boss creates its schema: node plans.mjs RELEASE SCHEMA

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [release, schema] = process.argv.slice(2)
const require = createRequire(`${process.env.STRAWBOSS_NODE_DIRECTORY}/`)
const loaded = await import(pathToFileURL(require.resolve(`pg-boss-${release}`)))
const plans = loaded.getConstructionPlans ?? loaded.default.getConstructionPlans
process.stdout.write(plans(schema))
