// The dashboards. A panel is a line of a table: what it is called, what it tells, what is asked, in which unit, and the
// alert whose runbook section belongs to it.
//
// What a worker counts is summed over workers. What is read from the database is the same at every worker and joined by
// `max`. Rates are over $__rate_interval, and the queue and the instance are variables.

import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap'
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus'
import * as stat from '@grafana/grafana-foundation-sdk/stat'
import * as text from '@grafana/grafana-foundation-sdk/text'
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { alerts } from './alerts.mjs'

const source = { type: 'prometheus', uid: '${datasource}' }
const W = 'instance=~"$instance"'
const Q = 'queue=~"$queue"'
const WQ = `${W},${Q}`
const R = '[$__rate_interval]'

const rate = (metric, by, labels = WQ) => `sum by (${by}) (rate(${metric}{${labels}}${R}))`
const quantile = (q, metric, labels = WQ, by = 'le') =>
  `histogram_quantile(${q}, sum by (${by}) (rate(${metric}_bucket{${labels}}${R})))`
const quantiles = (metric, labels) =>
  [0.5, 0.95, 0.99].map(q => [quantile(q, metric, labels), `p${q * 100}`])
const shared = (metric, by, labels = Q) => `max by (${by}) (${metric}{${labels}})`

// Nobody works a dead letter queue, so how old its jobs are is no measure of anything.
const alive = expr => `${expr} unless on (queue) max by (queue) (pgboss_dead_letter_jobs)`

const runbookPanel = name => {
  const place = alerts.findIndex(alert => alert.name === name)
  if (place < 0) throw new Error(`there is no alert ${name}`)
  return place + 2
}

function thresholds (steps) {
  const colours = ['green', 'orange', 'red']
  const made = steps.map((value, place) => ({ value, color: colours[place + 1] }))
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps([{ value: null, color: 'green' }, ...made])
}

// A value below the threshold is the bad one: 1 is well, 0 is not.
const wantsOne = new dashboard.ThresholdsConfigBuilder()
  .mode(dashboard.ThresholdsMode.Absolute)
  .steps([{ value: null, color: 'red' }, { value: 1, color: 'green' }])

function made (panel) {
  const { kind = 'timeseries', title, tells, asks, unit = 'short', warn, alert, width = 12, height = 8, stack, well } = panel
  const builder = kind === 'stat'
    ? new stat.PanelBuilder()
      .graphMode(common.BigValueGraphMode.Area)
      .colorMode(common.BigValueColorMode.Value)
      .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    : kind === 'heatmap'
      ? new heatmap.PanelBuilder().yAxis(new heatmap.YAxisConfigBuilder().unit(unit))
      : new timeseries.PanelBuilder()
        .fillOpacity(stack ? 30 : 8)
        .showPoints(common.VisibilityMode.Never)
        .legend(new common.VizLegendOptionsBuilder()
          .displayMode(common.LegendDisplayMode.List)
          .placement(common.LegendPlacement.Bottom)
          .showLegend(true))
        .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending))
  if (stack) builder.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal))
  if (kind !== 'heatmap') {
    builder.unit(unit)
    // Nothing below zero but a clock that is behind.
    if (unit !== 'clocks') builder.min(0)
    else builder.unit('s')
  }
  if (warn) {
    builder.thresholds(thresholds(warn))
    if (kind === 'timeseries') {
      builder.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed))
    }
  }
  if (well) builder.thresholds(wantsOne)
  builder.title(title).description(tells).datasource(source).span(width).height(height)
  if (alert) {
    builder.links([
      new dashboard.DashboardLinkBuilder(`Runbook: ${alert}`)
        .type(dashboard.DashboardLinkType.Link)
        .url(`/d/strawboss-runbook?viewPanel=${runbookPanel(alert)}`)
    ])
  }
  asks.forEach(([expr, legend], place) => {
    const query = new prometheus.DataqueryBuilder()
      .expr(expr).legendFormat(legend).refId(String.fromCharCode(65 + place)).range()
    if (kind === 'heatmap') query.format(prometheus.PromQueryFormat.Heatmap)
    builder.withTarget(query)
  })
  return builder
}

const all = { selected: true, text: 'All', value: '$__all' }

function variable (name, label, query) {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(source)
    .query({ query, refId: name })
    .definition(query)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current(all)
}

function board (name, tells, rows, { queue = true } = {}) {
  const builder = new dashboard.DashboardBuilder(`strawboss ${name}`)
    .uid(`strawboss-${name.toLowerCase()}`)
    .description(tells)
    .tags(['strawboss', 'pg-boss'])
    .timezone('browser')
    .refresh('10s')
    .time({ from: 'now-30m', to: 'now' })
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .readonly()
    .link(new dashboard.DashboardLinkBuilder('strawboss')
      .type(dashboard.DashboardLinkType.Dashboards).tags(['strawboss']).asDropdown(true).includeVars(true).keepTime(true))
    .withVariable(new dashboard.DatasourceVariableBuilder('datasource')
      .label('Data source').type('prometheus').current({ selected: true, text: 'Prometheus', value: 'prometheus' }))
    .withVariable(variable('instance', 'Worker', 'label_values(pgboss_build_info, instance)'))
  if (queue) builder.withVariable(variable('queue', 'Queue', 'label_values({__name__=~"pgboss_queue_jobs|pgboss_jobs_in_flight"}, queue)'))
  for (const [title, panels] of rows) {
    builder.withRow(new dashboard.RowBuilder(title))
    for (const panel of panels) builder.withPanel(made(panel))
  }
  return builder.build()
}

const ended = 'outcome=~"completed|failed|dead_lettered|expired"'
const lost = 'outcome=~"failed|dead_lettered|expired"'

const overview = () => board('Overview', 'Whether jobs are run, and in time.', [
  ['Now', [
    {
      kind: 'stat', title: 'Live workers', width: 4, height: 5, asks: [['count(pgboss_build_info)', 'workers']], well: true,
      tells: 'Workers that Prometheus reaches.', alert: 'WorkerDown'
    },
    {
      kind: 'stat', title: 'Schema spoken', width: 4, height: 5, asks: [[`min(pgboss_schema_supported{${W}})`, 'spoken']], well: true,
      tells: '1 while every worker speaks the pg-boss schema that is installed; 0 and nothing is claimed.', alert: 'SchemaUnsupported'
    },
    {
      kind: 'stat', title: 'Oldest due job', unit: 's', width: 4, height: 5, warn: [60, 300],
      asks: [[`max(${alive(shared('pgboss_queue_oldest_ready_seconds', 'queue'))})`, 'oldest']],
      tells: 'For how long the oldest job that is due has waited, of all queues but dead letter queues.', alert: 'OldestReady'
    },
    {
      kind: 'stat', title: 'Ready jobs', width: 4, height: 5, asks: [[`sum(${alive(shared('pgboss_queue_jobs', 'queue', `state="ready",${Q}`))})`, 'ready']],
      tells: 'Jobs that are due and wait for a worker; dead letters left out.', alert: 'BacklogWithoutConsumer'
    },
    {
      kind: 'stat', title: 'Error ratio', unit: 'percentunit', width: 4, height: 5, warn: [0.01, 0.05],
      asks: [[`sum(rate(pgboss_jobs_processed_total{${lost},${WQ}}${R})) / sum(rate(pgboss_jobs_processed_total{${ended},${WQ}}${R}))`, 'lost']],
      tells: 'Share of the jobs that ended and did not complete.', alert: 'ErrorBudgetBurn'
    },
    {
      kind: 'stat', title: 'Dead letters', width: 4, height: 5, warn: [1, 100], asks: [[`sum(${shared('pgboss_dead_letter_jobs', 'queue', '')})`, 'dead letters']],
      tells: 'Jobs that lie in dead letter queues.', alert: 'DeadLettersRising'
    }
  ]],
  ['Queues', [
    {
      title: 'Oldest due job by queue', unit: 's', warn: [60, 300], asks: [[alive(shared('pgboss_queue_oldest_ready_seconds', 'queue')), '{{queue}}']],
      tells: 'Seconds since the oldest due job of each queue became due. The one figure to be alerted by.', alert: 'OldestReady'
    },
    {
      title: 'Jobs by state', stack: true, asks: [[`sum by (state) (${shared('pgboss_queue_jobs', 'queue, state')})`, '{{state}}']],
      tells: 'What lies in the queues: deferred (not due yet), ready, blocked (of a flow), active, failed.', alert: 'BacklogWithoutConsumer'
    },
    {
      title: 'Throughput', unit: 'ops', stack: true, asks: [[rate('pgboss_jobs_processed_total', 'queue', `${ended},${WQ}`), '{{queue}}']],
      tells: 'Jobs a second that ended, by queue.'
    },
    {
      title: 'Error ratio by queue', unit: 'percentunit', warn: [0.01, 0.05],
      asks: [[`${rate('pgboss_jobs_processed_total', 'queue', `${lost},${WQ}`)} / ${rate('pgboss_jobs_processed_total', 'queue', `${ended},${WQ}`)}`, '{{queue}}']],
      tells: 'Share of the jobs that ended and did not complete, by queue.', alert: 'ErrorBudgetBurn'
    },
    {
      title: 'Saturation', unit: 'percentunit', warn: [0.8, 0.95],
      asks: [[`sum by (queue) (pgboss_jobs_in_flight{${WQ}}) / sum by (queue) (pgboss_worker_concurrency_limit{${WQ}})`, '{{queue}}']],
      tells: 'How many of the places of a queue are taken, over all workers.', alert: 'Saturation'
    },
    {
      title: 'Dead letters', asks: [[shared('pgboss_dead_letter_jobs', 'queue', ''), '{{queue}}']],
      tells: 'Jobs in each dead letter queue.', alert: 'DeadLettersRising'
    }
  ]]
])

const queue = () => board('Queue', 'One queue from the inside: how long its jobs wait and run, and what becomes of them.', [
  ['Waiting', [
    {
      kind: 'heatmap', title: 'Wait', unit: 's', asks: [[`sum by (le) (increase(pgboss_job_wait_seconds_bucket{${WQ}}${R}))`, '{{le}}']],
      tells: 'From when a job was allowed to run until it was claimed.', alert: 'OldestReady'
    },
    {
      title: 'Wait, percentiles', unit: 's', asks: quantiles('pgboss_job_wait_seconds', WQ),
      tells: 'Half, 95 and 99 in a hundred jobs waited for no longer than that.', alert: 'OldestReady'
    },
    {
      title: 'Ready, deferred, blocked', asks: [[shared('pgboss_queue_jobs', 'state', `state!~"active|failed",${Q}`), '{{state}}']],
      tells: 'Jobs that are not begun: due, not due yet, and children of a flow whose parents are not done.', alert: 'BacklogWithoutConsumer'
    },
    {
      title: 'Oldest due job', unit: 's', warn: [60, 300], asks: [[shared('pgboss_queue_oldest_ready_seconds', 'queue'), '{{queue}}']],
      tells: 'Seconds since the oldest due job became due.', alert: 'OldestReady'
    }
  ]],
  ['Running', [
    {
      kind: 'heatmap', title: 'Run', unit: 's', asks: [[`sum by (le) (increase(pgboss_job_duration_seconds_bucket{${WQ}}${R}))`, '{{le}}']],
      tells: 'From the start of the handler to its verdict.', alert: 'JobPastExpiry'
    },
    {
      title: 'Run, percentiles', unit: 's', asks: quantiles('pgboss_job_duration_seconds', WQ),
      tells: 'Half, 95 and 99 in a hundred attempts took no longer than that.', alert: 'JobPastExpiry'
    },
    {
      title: 'In flight against limit', asks: [
        [`sum by (queue) (pgboss_jobs_in_flight{${WQ}})`, '{{queue}} in flight'],
        [`sum by (queue) (pgboss_worker_concurrency_limit{${WQ}})`, '{{queue}} limit']
      ],
      tells: 'Jobs that run, and how many may, over all workers.', alert: 'Saturation'
    },
    {
      title: 'Oldest running attempt', unit: 's', asks: [[`max by (queue) (pgboss_job_oldest_running_seconds{${WQ}})`, '{{queue}}']],
      tells: 'Since when the oldest attempt that runs has run.', alert: 'JobPastExpiry'
    }
  ]],
  ['Outcomes', [
    {
      title: 'Outcomes', unit: 'ops', stack: true, asks: [[rate('pgboss_jobs_processed_total', 'outcome'), '{{outcome}}']],
      tells: 'Attempts a second, by what came of them.', alert: 'RetryRatio'
    },
    {
      title: 'Attempts per job', asks: [
        [`sum by (queue) (rate(pgboss_job_attempts_sum{${WQ}}${R})) / sum by (queue) (rate(pgboss_job_attempts_count{${WQ}}${R}))`, '{{queue}} mean'],
        [quantile(0.99, 'pgboss_job_attempts'), 'p99']
      ],
      tells: 'Attempts a job had used when it completed or failed for good; 1 is a job that went well at once.', alert: 'RetryRatio'
    },
    {
      title: 'HTTP answers', unit: 'ops', stack: true, asks: [[rate('http_push_requests_total', 'status_class'), '{{status_class}}']],
      tells: 'Requests to HTTP handlers by the class of the answer; 4xx dead-letters, 5xx, error and timeout are tried again.', alert: 'ErrorBudgetBurn'
    },
    {
      title: 'Rescued, refused by the fence', unit: 'ops', asks: [
        [rate('pgboss_rescued_jobs_total', 'reason'), 'rescued: {{reason}}'],
        [`sum(rate(pgboss_fence_rejections_total{${WQ}}${R}))`, 'fence']
      ],
      tells: 'Jobs taken back from workers that fell silent or overran, and verdicts that came too late.', alert: 'RescuedJobs'
    }
  ]]
])

const worker = () => board('Worker', 'The worker from the inside: places, claims, verdicts, connections.', [
  ['Work', [
    {
      title: 'In flight against limit', asks: [
        [`sum by (instance) (pgboss_jobs_in_flight{${WQ}})`, '{{instance}} in flight'],
        [`sum by (instance) (pgboss_worker_concurrency_limit{${WQ}})`, '{{instance}} limit']
      ],
      tells: 'Jobs that run and may run, by worker; worker.concurrency bounds all queues together as well.', alert: 'Saturation'
    },
    {
      title: 'Attempts ended', unit: 'ops', asks: [[rate('pgboss_jobs_processed_total', 'instance'), '{{instance}}']],
      tells: 'Attempts a second, by worker.'
    },
    {
      title: 'Paused queues', asks: [[`max by (queue) (pgboss_queue_paused{${WQ}})`, '{{queue}}']],
      tells: '1 while nothing is claimed on purpose, or because an endpoint answered 410.', alert: 'QueuePaused'
    },
    {
      title: 'Restarts', unit: 's', asks: [[`time() - process_start_time_seconds{job="strawboss",${W}}`, '{{instance}} up']],
      tells: 'For how long each worker has been up; a saw is a restart loop.', alert: 'RestartLoop'
    }
  ]],
  ['Claims', [
    {
      title: 'Claim time', unit: 's', asks: quantiles('pgboss_claim_duration_seconds', WQ),
      tells: 'What one claim statement took, empty ones included. Growing: dead rows, see the dashboard Database.', alert: 'XminHorizon'
    },
    {
      title: 'Claim batch size', asks: [
        [`sum by (queue) (rate(pgboss_claim_batch_size_sum{${WQ}}${R})) / sum by (queue) (rate(pgboss_claim_batch_size_count{${WQ}}${R}))`, '{{queue}}']
      ],
      tells: 'Jobs one claim brought, on average, empty ones left out.'
    },
    {
      title: 'Wake-ups by source', unit: 'ops', stack: true, asks: [[rate('pgboss_wakeups_total', 'source'), '{{source}}']],
      tells: 'Looks for jobs by what caused them. `notify` where queues notify; `poll` alone means that NOTIFY is off or does not arrive.', alert: 'ListenDown'
    },
    {
      title: 'LISTEN', asks: [[`pgboss_listen_connected{${W}}`, '{{instance}}']],
      tells: '1 while the connection that hears NOTIFY is up; 0 also where no queue notifies.', alert: 'ListenDown'
    }
  ]],
  ['Verdicts', [
    {
      title: 'Settle time, p99', unit: 's', asks: [[quantile(0.99, 'pgboss_settle_duration_seconds', W, 'le, op'), '{{op}}']],
      tells: 'What a statement that writes verdicts took.', alert: 'SettleFailing'
    },
    {
      title: 'Verdicts per statement', asks: [
        [`sum by (op) (rate(pgboss_settle_batch_size_sum{${W}}${R})) / sum by (op) (rate(pgboss_settle_batch_size_count{${W}}${R}))`, '{{op}}']
      ],
      tells: 'How many verdicts one statement wrote, on average: one at a time when idle, many under load.'
    },
    {
      title: 'Settle failures', unit: 'ops', asks: [[rate('pgboss_settle_failures_total', 'op', W), '{{op}}']],
      tells: 'Statements that failed; their verdicts are kept and tried again.', alert: 'SettleFailing'
    },
    {
      title: 'Fence rejections', unit: 'ops', asks: [[rate('pgboss_fence_rejections_total', 'queue'), '{{queue}}']],
      tells: 'Verdicts that were refused because the row had moved on.', alert: 'FenceRejections'
    },
    {
      title: 'Leases renewed', unit: 'ops', asks: [[rate('pgboss_heartbeats_total', 'queue'), '{{queue}}']],
      tells: 'Heartbeats written for running jobs, in rows; jobs shorter than a quarter of the lease need none.', alert: 'RescuedJobs'
    }
  ]],
  ['Database and process', [
    {
      title: 'Pool', stack: true, asks: [[`sum by (state) (pgboss_db_pool_connections{${W}})`, '{{state}}']],
      tells: 'Connections of the pool by what they do; all in use for long means slow statements or too small a pool.'
    },
    {
      title: 'Database errors', unit: 'ops', asks: [[rate('pgboss_db_errors_total', 'class', W), '{{class}}']],
      tells: 'By class: connection, transient, schema, conflict, data, permanent.', alert: 'SettleFailing'
    },
    {
      title: 'Clock skew', unit: 'clocks', asks: [[`pgboss_db_clock_skew_seconds{${W}}`, '{{instance}}']],
      tells: "How far the database's clock is ahead of the worker's; negative when it is behind.", alert: 'ClockSkew'
    },
    {
      title: 'Memory', unit: 'bytes', asks: [[`process_resident_memory_bytes{job="strawboss",${W}}`, '{{instance}}']],
      tells: 'Resident memory of each worker.'
    },
    {
      title: 'CPU', unit: 'percentunit', asks: [[`rate(process_cpu_seconds_total{job="strawboss",${W}}${R})`, '{{instance}}']],
      tells: 'Processor time; 1 is one core.'
    },
    {
      title: 'Schema version', asks: [[`pgboss_schema_version{${W}}`, '{{instance}}']],
      tells: 'The pg-boss schema that was found; 0 when none is.', alert: 'SchemaUnsupported'
    }
  ]]
])

const events = () => board('Events', 'The outbox, its relay and the handlers of events.', [
  ['Outbox', [
    {
      title: 'Oldest pending event', unit: 's', warn: [10, 60], asks: [['max(event_outbox_oldest_pending_seconds)', 'oldest']],
      tells: 'Age of the oldest row of the outbox that is not relayed yet.', alert: 'OutboxLag'
    },
    {
      title: 'Pending events', asks: [['max(event_outbox_pending)', 'pending']],
      tells: 'Rows of the outbox that are not relayed yet.', alert: 'OutboxLag'
    },
    {
      title: 'Relayed', unit: 'ops', stack: true, asks: [[rate('event_outbox_relayed_total', 'outcome', W), '{{outcome}}']],
      tells: 'Rows a second, by what became of them; unhandled ones have no subscriber.', alert: 'OutboxLag'
    },
    {
      title: 'Relayed by event', unit: 'ops', asks: [[rate('event_outbox_relayed_total', 'event', W), '{{event}}']],
      tells: 'Rows a second, by event.'
    }
  ]],
  ['Handlers', [
    {
      title: 'Runs by handler', unit: 'ops', asks: [[rate('event_handler_runs_total', 'handler', W), '{{handler}}']],
      tells: 'Runs a second of each handler.'
    },
    {
      title: 'Runs by outcome', unit: 'ops', stack: true, asks: [[rate('event_handler_runs_total', 'outcome', W), '{{outcome}}']],
      tells: 'Runs a second, by what came of them.', alert: 'CircuitOpen'
    },
    {
      title: 'Run time, p95', unit: 's', asks: [[quantile(0.95, 'event_handler_duration_seconds', W, 'le, handler'), '{{handler}}']],
      tells: '95 in a hundred runs took no longer than that.'
    },
    {
      title: 'Duplicates skipped', unit: 'ops', asks: [[rate('event_duplicates_skipped_total', 'handler', W), '{{handler}}']],
      tells: 'Deliveries whose idempotency key was in the log already.'
    },
    {
      title: 'Circuits', warn: [1, 2], asks: [[`max by (handler) (event_circuit_state{${W}})`, '{{handler}}']],
      tells: '0 closed, 1 half-open, 2 open: the handler is not called for a while.', alert: 'CircuitOpen'
    },
    {
      title: 'Dead letters', unit: 'ops', asks: [[rate('event_dead_letters_total', 'handler', W), '{{handler}}']],
      tells: 'Deliveries that failed for good.', alert: 'DeadLettersRising'
    },
    {
      title: 'Queries, p95', unit: 's', asks: [[quantile(0.95, 'event_query_duration_seconds', W, 'le, event'), '{{event}}']],
      tells: 'From a query to its reply.'
    }
  ]]
], { queue: false })

const schedules = () => board('Schedules', 'What fired, when, and what should have.', [
  ['Schedules', [
    {
      title: 'Occurrences by result', asks: [[`sum by (result) (increase(pgboss_schedule_fires_total{${WQ}}${R}))`, '{{result}}']],
      tells: 'fired; late (by more than two minutes); caught_up, skipped (missed before); refused by the policy of the queue; failed.', alert: 'ScheduleMissed'
    },
    {
      title: 'Occurrences by queue', asks: [[`sum by (queue) (increase(pgboss_schedule_fires_total{${WQ}}${R}))`, '{{queue}}']],
      tells: 'Occurrences of each queue, whatever became of them.', alert: 'ScheduleMissed'
    },
    {
      title: 'Lateness, percentiles', unit: 's', warn: [60, 120], asks: quantiles('pgboss_schedule_lateness_seconds', W),
      tells: 'From an occurrence until its job was sent.', alert: 'ScheduleLate'
    },
    {
      kind: 'heatmap', title: 'Lateness', unit: 's', asks: [[`sum by (le) (increase(pgboss_schedule_lateness_seconds_bucket{${W}}${R}))`, '{{le}}']],
      tells: 'From an occurrence until its job was sent.', alert: 'ScheduleLate'
    }
  ]]
])

const database = () => board('Database', 'What slows a queue in PostgreSQL down: dead rows, what keeps them, and locks.', [
  ['Database', [
    {
      title: 'Oldest transaction', unit: 's', warn: [600, 3600], asks: [['max(pgboss_db_oldest_transaction_seconds)', 'oldest']],
      tells: 'Age of the oldest open or prepared transaction that holds back vacuum.', alert: 'XminHorizon'
    },
    {
      title: 'Horizon', warn: [10e6, 50e6], asks: [['max(pgboss_db_xmin_age_transactions)', 'transactions behind']],
      tells: 'How many transactions ago the oldest row version lies that vacuum has to keep: sessions, replication slots and prepared transactions.', alert: 'XminHorizon'
    },
    {
      title: 'Dead rows', asks: [['max by (table) (pgboss_db_dead_tuples)', '{{table}}']],
      tells: 'Row versions that vacuum has not removed yet, of the largest tables of the schema.', alert: 'XminHorizon'
    },
    {
      title: 'Dead rows against live ones', unit: 'percentunit', asks: [['max by (table) (pgboss_db_dead_tuples) / (max by (table) (pgboss_db_live_tuples) + 1000)', '{{table}}']],
      tells: 'A queue whose jobs come and go has more of them than others; what counts is that it does not grow without end.', alert: 'XminHorizon'
    },
    {
      title: 'Lock waits', warn: [1, 6], asks: [['max(pgboss_db_lock_waits)', 'sessions']],
      tells: 'Sessions of this database that wait for a lock.', alert: 'LockWaits'
    },
    {
      title: 'Claim time, p99', unit: 's', asks: [[quantile(0.99, 'pgboss_claim_duration_seconds', W), 'claim']],
      tells: 'What all of the above does to claims.', alert: 'XminHorizon'
    },
    {
      title: 'Age of these gauges', unit: 's', warn: [60, 120], asks: [[`pgboss_db_gauges_age_seconds{${W}}`, '{{instance}}']],
      tells: 'How long ago the gauges of queues and database were read; they are read when Prometheus asks, every few seconds at most.', alert: 'DatabaseGaugesStale'
    },
    {
      title: 'Cost of these gauges', unit: 's', asks: [[`pgboss_db_gauges_read_seconds{${W}}`, '{{instance}}']],
      tells: 'What the last reading took.', alert: 'DatabaseGaugesStale'
    }
  ]]
], { queue: false })

/** docs/runbook.md, a panel per section, in the order of the alerts: links lead here, offline too. */
function runbookBoard (markdown) {
  const [head, ...rest] = markdown.split(/^## /m)
  const sections = new Map(rest.map(section => [section.split('\n')[0], section.slice(section.indexOf('\n')).trim()]))
  const builder = new dashboard.DashboardBuilder('strawboss Runbook')
    .uid('strawboss-runbook').description('What each alert means, how to look, how to mend: docs/runbook.md.')
    .tags(['strawboss', 'pg-boss']).readonly()
  const panel = (id, title, content) => new text.PanelBuilder()
    .id(id).title(title).mode(text.TextMode.Markdown).content(content).span(24).height(8)
  builder.withPanel(panel(1, 'Runbook', head.replace(/^# .*\n/, '').trim()))
  alerts.forEach((alert, place) => {
    const content = sections.get(alert.name)
    if (!content) throw new Error(`docs/runbook.md has no section ${alert.name}`)
    const linked = content.replace(/\[(\w+)\]\(#\w+\)/g, (_, name) => `[${name}](/d/strawboss-runbook?viewPanel=${runbookPanel(name)})`)
    builder.withPanel(panel(place + 2, alert.name, linked))
    sections.delete(alert.name)
  })
  if (sections.size) throw new Error(`no alert has the sections ${[...sections.keys()].join(', ')}`)
  return builder.build()
}

export const dashboards = runbook => [
  overview(), queue(), worker(), events(), schedules(), database(), runbookBoard(runbook)
]
