// The alerts: what wakes somebody (`page`) and what is looked at in the morning (`ticket`). Each has a section of that
// name in docs/runbook.md, and two unit tests: series that fire it, and series that are near it and do not.
//
// The gauges that are read from the database are the same at every worker, so they are joined by `max by (queue)` and
// never summed.

const ended = 'completed|failed|dead_lettered|expired'
const lost = 'failed|dead_lettered|expired'

/** What share of the jobs that ended did not complete. An expired attempt may be tried again; it is no success. */
const errorRatio = window => `sum by (queue) (rate(pgboss_jobs_processed_total{outcome=~"${lost}"}[${window}]))
  / sum by (queue) (rate(pgboss_jobs_processed_total{outcome=~"${ended}"}[${window}]))`

export const recorded = [
  ...['5m', '30m', '1h', '6h'].map(window => ({ record: `strawboss:error_ratio:${window}`, expr: errorRatio(window) })),
  // The objective of every queue that has none of its own, in seconds. A queue's own is a rule like this one, in a file
  // of yours: record: strawboss:queue_objective_seconds, expr: vector(30), labels: { queue: email }.
  {
    record: 'strawboss:queue_default_objective_seconds',
    expr: 'max by (queue) (pgboss_queue_oldest_ready_seconds) * 0 + 300'
  }
]

const job = series => ({ instance: 'w:9464', job: 'strawboss', ...series })

export const alerts = [
  {
    name: 'OldestReady',
    severity: 'page',
    expr: `max by (queue) (pgboss_queue_oldest_ready_seconds)
  > on (queue) (max by (queue) (strawboss:queue_objective_seconds) or on (queue) strawboss:queue_default_objective_seconds)
unless on (queue) max by (queue) (pgboss_dead_letter_jobs)`,
    for: '2m',
    summary: 'The oldest due job has waited for longer than the objective of its queue',
    fires: { series: { 'pgboss_queue_oldest_ready_seconds{queue="email"}': '0+60x20' }, at: '15m', labels: [{ queue: 'email' }] },
    quiet: {
      series: {
        'pgboss_queue_oldest_ready_seconds{queue="email"}': '299x20',
        'strawboss:queue_objective_seconds{queue="report"}': '7200x20',
        'pgboss_queue_oldest_ready_seconds{queue="report"}': '3600x20',
        'pgboss_queue_oldest_ready_seconds{queue="email-dead"}': '0+60x20',
        'pgboss_dead_letter_jobs{queue="email-dead"}': '3x20'
      },
      at: '15m'
    }
  },
  {
    name: 'BacklogWithoutConsumer',
    severity: 'page',
    expr: `max by (queue) (pgboss_queue_oldest_ready_seconds) > 120
unless on (queue) max by (queue) (max_over_time(pgboss_queue_jobs{state="active"}[10m])) > 0
unless on (queue) sum by (queue) (increase(pgboss_jobs_processed_total[10m])) > 0
unless on (queue) max by (queue) (pgboss_dead_letter_jobs)`,
    for: '5m',
    summary: 'Jobs are due and nobody has run one of this queue for ten minutes',
    fires: {
      series: {
        'pgboss_queue_oldest_ready_seconds{queue="email"}': '0+60x30',
        'pgboss_queue_jobs{queue="email",state="active"}': '0x30'
      },
      at: '20m',
      labels: [{ queue: 'email' }]
    },
    quiet: {
      series: {
        'pgboss_queue_oldest_ready_seconds{queue="email"}': '0+60x30',
        'pgboss_queue_jobs{queue="email",state="active"}': '1x30'
      },
      at: '20m'
    }
  },
  {
    name: 'ErrorBudgetBurn',
    severity: 'page',
    expr: `(strawboss:error_ratio:1h > 14.4 * 0.01 and strawboss:error_ratio:5m > 14.4 * 0.01)
or (strawboss:error_ratio:6h > 6 * 0.01 and strawboss:error_ratio:30m > 6 * 0.01)`,
    for: '2m',
    summary: 'Jobs fail for good so fast that a monthly budget of one in a hundred is gone within two to five days',
    fires: {
      series: {
        [`pgboss_jobs_processed_total{queue="email",outcome="completed"}`]: '0+80x90',
        [`pgboss_jobs_processed_total{queue="email",outcome="dead_lettered"}`]: '0+20x90'
      },
      at: '80m',
      labels: [{ queue: 'email' }]
    },
    quiet: {
      series: {
        [`pgboss_jobs_processed_total{queue="email",outcome="completed"}`]: '0+95x90',
        [`pgboss_jobs_processed_total{queue="email",outcome="dead_lettered"}`]: '0+5x90',
        [`pgboss_jobs_processed_total{queue="email",outcome="retried"}`]: '0+50x90'
      },
      at: '80m'
    }
  },
  {
    name: 'SchemaUnsupported',
    severity: 'page',
    expr: 'pgboss_schema_supported == 0',
    for: '2m',
    summary: 'The pg-boss schema is none that this worker speaks, so it claims nothing',
    fires: { series: { 'pgboss_schema_supported{}': '1x2 0x8' }, at: '8m', labels: [{}], scraped: true },
    quiet: { series: { 'pgboss_schema_supported{}': '1x2 0x0 1x8' }, at: '8m' }
  },
  {
    name: 'OutboxLag',
    severity: 'page',
    expr: 'max(event_outbox_oldest_pending_seconds) > 60',
    for: '5m',
    summary: 'Events that were emitted more than a minute ago are not relayed yet',
    fires: { series: { 'event_outbox_oldest_pending_seconds{}': '0+30x20' }, at: '15m', labels: [{}] },
    quiet: { series: { 'event_outbox_oldest_pending_seconds{}': '59x20' }, at: '15m' }
  },
  {
    name: 'SettleFailing',
    severity: 'page',
    expr: 'sum by (instance, op) (rate(pgboss_settle_failures_total[5m])) > 0',
    for: '5m',
    summary: 'Verdicts cannot be written; jobs that were run will be run again if the worker ends now',
    fires: { series: { 'pgboss_settle_failures_total{op="complete"}': '0+3x20' }, at: '12m', labels: [{ op: 'complete', instance: 'w:9464' }] },
    quiet: { series: { 'pgboss_settle_failures_total{op="complete"}': '0x5 2x20' }, at: '20m' }
  },
  {
    name: 'WorkerDown',
    severity: 'page',
    expr: 'up{job="strawboss"} == 0',
    for: '2m',
    summary: 'A worker does not answer',
    fires: { series: { 'up{}': '1x2 0x8' }, at: '8m', labels: [{}], scraped: true },
    quiet: { series: { 'up{}': '1x2 0x0 1x8' }, at: '8m' }
  },
  {
    name: 'DeadLettersRising',
    severity: 'ticket',
    expr: 'max by (queue) (delta(pgboss_dead_letter_jobs[1h])) > 0',
    for: '10m',
    summary: 'More jobs lie in the dead letter queue than an hour ago',
    fires: { series: { 'pgboss_dead_letter_jobs{queue="email-dead"}': '0x30 0+1x60' }, at: '80m', labels: [{ queue: 'email-dead' }] },
    quiet: { series: { 'pgboss_dead_letter_jobs{queue="email-dead"}': '90-1x90' }, at: '80m' }
  },
  {
    name: 'RetryRatio',
    severity: 'ticket',
    expr: `sum by (queue) (rate(pgboss_jobs_processed_total{outcome="retried"}[15m]))
  / sum by (queue) (rate(pgboss_jobs_processed_total{outcome=~"${ended}|retried"}[15m])) > 0.25`,
    for: '15m',
    summary: 'More than a quarter of the attempts fail and are tried again',
    fires: {
      series: {
        'pgboss_jobs_processed_total{queue="email",outcome="completed"}': '0+6x60',
        'pgboss_jobs_processed_total{queue="email",outcome="retried"}': '0+4x60'
      },
      at: '50m',
      labels: [{ queue: 'email' }]
    },
    quiet: {
      series: {
        'pgboss_jobs_processed_total{queue="email",outcome="completed"}': '0+8x60',
        'pgboss_jobs_processed_total{queue="email",outcome="retried"}': '0+2x60'
      },
      at: '50m'
    }
  },
  {
    name: 'JobPastExpiry',
    severity: 'ticket',
    expr: `sum by (queue) (increase(pgboss_jobs_processed_total{outcome="expired"}[15m]))
  + on (queue) sum by (queue) (increase(pgboss_rescued_jobs_total{reason="expired"}[15m])) > 0`,
    summary: 'A job ran until its expiry and was cut off',
    fires: {
      series: {
        'pgboss_jobs_processed_total{queue="email",outcome="expired"}': '0x10 1x20',
        'pgboss_rescued_jobs_total{queue="email",reason="expired"}': '0x30'
      },
      at: '15m',
      labels: [{ queue: 'email' }]
    },
    quiet: {
      series: {
        'pgboss_jobs_processed_total{queue="email",outcome="expired"}': '7x40',
        'pgboss_rescued_jobs_total{queue="email",reason="expired"}': '0x10 1x30'
      },
      at: '35m'
    }
  },
  {
    name: 'RescuedJobs',
    severity: 'ticket',
    expr: 'sum by (queue) (increase(pgboss_rescued_jobs_total{reason="heartbeat"}[15m])) > 0',
    summary: 'Jobs were taken back from a worker that fell silent',
    fires: { series: { 'pgboss_rescued_jobs_total{queue="email",reason="heartbeat"}': '0x10 4x20' }, at: '15m', labels: [{ queue: 'email' }] },
    quiet: { series: { 'pgboss_rescued_jobs_total{queue="email",reason="heartbeat"}': '4x30' }, at: '20m' }
  },
  {
    name: 'FenceRejections',
    severity: 'ticket',
    expr: 'sum by (queue) (increase(pgboss_fence_rejections_total[15m])) > 5',
    summary: 'Verdicts are refused because the rows had moved on: jobs run more than once',
    fires: { series: { 'pgboss_fence_rejections_total{queue="email"}': '0+1x30' }, at: '20m', labels: [{ queue: 'email' }] },
    quiet: { series: { 'pgboss_fence_rejections_total{queue="email"}': '0x5 2x30' }, at: '15m' }
  },
  {
    name: 'ScheduleLate',
    severity: 'ticket',
    expr: 'sum by (queue) (increase(pgboss_schedule_fires_total{result=~"late|caught_up"}[1h])) > 0',
    summary: 'A schedule fired more than two minutes late',
    fires: { series: { 'pgboss_schedule_fires_total{queue="report",result="late"}': '0x10 1x20' }, at: '15m', labels: [{ queue: 'report' }] },
    quiet: { series: { 'pgboss_schedule_fires_total{queue="report",result="fired"}': '0+1x30' }, at: '15m' }
  },
  {
    name: 'ScheduleMissed',
    severity: 'ticket',
    expr: 'sum by (queue) (increase(pgboss_schedule_fires_total{result=~"skipped|failed"}[1h])) > 0',
    summary: 'A schedule should have fired and did not',
    fires: { series: { 'pgboss_schedule_fires_total{queue="report",result="skipped"}': '0x10 1x20' }, at: '15m', labels: [{ queue: 'report' }] },
    quiet: {
      series: {
        'pgboss_schedule_fires_total{queue="report",result="fired"}': '0+1x30',
        'pgboss_schedule_fires_total{queue="report",result="refused"}': '0+1x30'
      },
      at: '15m'
    }
  },
  {
    name: 'ListenDown',
    severity: 'ticket',
    expr: 'pgboss_listen_connected == 0 and max_over_time(pgboss_listen_connected[1d]) == 1',
    for: '10m',
    summary: 'NOTIFY does not arrive any more; jobs start up to a poll interval late',
    fires: { series: { 'pgboss_listen_connected{}': '1x5 0x30' }, at: '20m', labels: [{}], scraped: true },
    quiet: { series: { 'pgboss_listen_connected{}': '0x30' }, at: '20m' }
  },
  {
    name: 'XminHorizon',
    severity: 'ticket',
    expr: 'max(pgboss_db_oldest_transaction_seconds) > 3600 or max(pgboss_db_xmin_age_transactions) > 50e6',
    for: '10m',
    summary: 'Something has held back vacuum for more than an hour; the job tables bloat and claims become slow',
    fires: { series: { 'pgboss_db_oldest_transaction_seconds{}': '3000+60x40' }, at: '30m', labels: [{}] },
    quiet: {
      series: { 'pgboss_db_oldest_transaction_seconds{}': '1800x40', 'pgboss_db_xmin_age_transactions{}': '1000000x40' },
      at: '30m'
    }
  },
  {
    name: 'LockWaits',
    severity: 'ticket',
    expr: 'max(pgboss_db_lock_waits) > 5',
    for: '5m',
    summary: 'Sessions wait for locks on the tables of jobs',
    fires: { series: { 'pgboss_db_lock_waits{}': '9x20' }, at: '10m', labels: [{}] },
    quiet: { series: { 'pgboss_db_lock_waits{}': '5x20' }, at: '10m' }
  },
  {
    name: 'CircuitOpen',
    severity: 'ticket',
    expr: 'max by (handler) (event_circuit_state) == 2',
    for: '5m',
    summary: "An event's handler failed so often that it is not called for a while",
    fires: { series: { 'event_circuit_state{handler="inventory"}': '0x3 2x20' }, at: '12m', labels: [{ handler: 'inventory' }] },
    quiet: { series: { 'event_circuit_state{handler="inventory"}': '0x3 2x2 1x1 0x20' }, at: '12m' }
  },
  {
    name: 'ClockSkew',
    severity: 'ticket',
    expr: 'abs(pgboss_db_clock_skew_seconds) > 5',
    for: '10m',
    summary: "The worker's clock and the database's are more than five seconds apart",
    fires: { series: { 'pgboss_db_clock_skew_seconds{}': '-7x30' }, at: '15m', labels: [{}], scraped: true },
    quiet: { series: { 'pgboss_db_clock_skew_seconds{}': '-4x30' }, at: '15m' }
  },
  {
    name: 'RestartLoop',
    severity: 'ticket',
    expr: 'changes(process_start_time_seconds{job="strawboss"}[30m]) > 3',
    summary: 'A worker is started again and again',
    fires: { series: { 'process_start_time_seconds{}': '0+60x30' }, at: '15m', labels: [{}], scraped: true },
    quiet: { series: { 'process_start_time_seconds{}': '0x9 600x20' }, at: '20m' }
  },
  {
    name: 'Saturation',
    severity: 'ticket',
    expr: `sum by (queue) (pgboss_jobs_in_flight) / sum by (queue) (pgboss_worker_concurrency_limit) > 0.9
and on (queue) max by (queue) (pgboss_queue_jobs{state="ready"}) > 0`,
    for: '15m',
    summary: 'All places of a queue are taken and jobs wait',
    fires: {
      series: {
        'pgboss_jobs_in_flight{queue="email"}': '10x40',
        'pgboss_worker_concurrency_limit{queue="email"}': '10x40',
        'pgboss_queue_jobs{queue="email",state="ready"}': '5x40'
      },
      at: '30m',
      labels: [{ queue: 'email' }]
    },
    quiet: {
      series: {
        'pgboss_jobs_in_flight{queue="email"}': '10x40',
        'pgboss_worker_concurrency_limit{queue="email"}': '10x40',
        'pgboss_queue_jobs{queue="email",state="ready"}': '0x40'
      },
      at: '30m'
    }
  },
  {
    name: 'QueuePaused',
    severity: 'ticket',
    expr: 'max by (queue) (pgboss_queue_paused) == 1',
    for: '15m',
    summary: 'Nothing is claimed from a queue, on purpose or because its endpoint answered 410',
    fires: { series: { 'pgboss_queue_paused{queue="email"}': '1x30' }, at: '20m', labels: [{ queue: 'email' }] },
    quiet: { series: { 'pgboss_queue_paused{queue="email"}': '1x10 0x20' }, at: '20m' }
  },
  {
    name: 'DatabaseGaugesStale',
    severity: 'ticket',
    expr: 'min(pgboss_db_gauges_age_seconds) > 120',
    for: '5m',
    summary: 'The gauges of queues and database are old, so alerts that rest on them may be missing',
    fires: { series: { 'pgboss_db_gauges_age_seconds{}': '0+60x20' }, at: '12m', labels: [{}] },
    quiet: { series: { 'pgboss_db_gauges_age_seconds{}': '10x20' }, at: '12m' }
  }
]

/** The anchor of an alert's section. */
export const section = alert => `docs/runbook.md#${alert.name.toLowerCase()}`

const quoted = text => JSON.stringify(text)
const block = (text, indent) => text.includes('\n') || text.length > 90
  ? `|-\n${text.split('\n').map(line => ' '.repeat(indent) + line).join('\n')}`
  : quoted(text)

const HEAD = '# Made by grafana/generate.mjs out of grafana/alerts.mjs.\n'

export function rulesFile () {
  const lines = [HEAD + 'groups:', '  - name: strawboss recorded', '    rules:']
  for (const { record, expr } of recorded) {
    lines.push(`      - record: ${record}`, `        expr: ${block(expr, 10)}`)
  }
  for (const severity of ['page', 'ticket']) {
    lines.push(`  - name: strawboss ${severity}`, '    rules:')
    for (const alert of alerts.filter(alert => alert.severity === severity)) {
      lines.push(`      - alert: Strawboss${alert.name}`, `        expr: ${block(alert.expr, 10)}`)
      if (alert.for) lines.push(`        for: ${alert.for}`)
      lines.push(
        `        labels: { severity: ${severity} }`,
        '        annotations:',
        `          summary: ${quoted(alert.summary)}`,
        `          runbook: ${section(alert)}`
      )
    }
  }
  return lines.join('\n') + '\n'
}

// A series of the database's gauges comes from every worker alike; two of them show that nothing is counted twice.
function spread (series) {
  return Object.entries(series).flatMap(([name, values]) => {
    const [metric, labels] = name.slice(0, -1).split('{')
    if (metric.startsWith('strawboss:')) return [[name, values]]
    const shared = /^(pgboss_queue_(jobs|oldest)|pgboss_dead_letter|pgboss_db_(xmin|oldest|lock|gauges)|event_outbox_)/
    const workers = shared.test(metric) ? ['w:9464', 'v:9464'] : ['w:9464']
    return workers.map(instance => {
      const all = [labels, `instance="${instance}"`, 'job="strawboss"'].filter(Boolean)
      return [`${metric}{${all.join(',')}}`, values]
    })
  })
}

export function testsFile () {
  const lines = [HEAD + 'rule_files:', '  - ../strawboss.rules.yml', 'evaluation_interval: 1m', 'tests:']
  for (const alert of alerts) {
    for (const [kind, test] of [['fires', alert.fires], ['quiet', alert.quiet]]) {
      lines.push(`  - name: ${alert.name} ${kind}`, '    interval: 1m', '    input_series:')
      for (const [series, values] of spread(test.series)) {
        lines.push(`      - { series: ${quoted(series)}, values: ${quoted(values)} }`)
      }
      lines.push('    alert_rule_test:', `      - eval_time: ${test.at}`, `        alertname: Strawboss${alert.name}`)
      if (kind === 'quiet') {
        lines.push('        exp_alerts: []')
        continue
      }
      lines.push('        exp_alerts:')
      for (const labels of test.labels) {
        const all = { severity: alert.severity, ...(test.scraped ? job(labels) : labels) }
        const pairs = Object.entries(all).map(([label, value]) => `${label}: ${quoted(value)}`)
        lines.push(
          `          - exp_labels: { ${pairs.join(', ')} }`,
          '            exp_annotations:',
          `              summary: ${quoted(alert.summary)}`,
          `              runbook: ${section(alert)}`
        )
      }
    }
  }
  return lines.join('\n') + '\n'
}
