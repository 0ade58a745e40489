// What the API is asked, in this order, each session on a schema of its own with the variables of its environment.
// [verb, path under the prefix, body, headers]; a body that is a text goes as it is, an object as JSON.

const id = n => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const nobody = id(999999)
const text = value => [value, { 'content-type': 'application/json' }]
const post = (route, body) => ['POST', route, body]
const get = route => ['GET', route]
const bad = (route, ...bodies) => bodies.map(body => post(route, body))

const plain = [
  // Before there is a queue.
  get('meta'), get('isInstalled'), get('schemaVersion'), get('getBamStatus'), get('getQueues'), get('getQueue?name=none'),
  post('send', { name: 'none' }), get('getSchedules'), post('supervise', {}), ['POST', 'supervise'],

  // Queues.
  post('createQueue', { name: 'work' }), post('createQueue', { name: 'work' }), post('createQueue', { name: 'dead' }),
  post('createQueue', {
    name: 'full',
    options: {
      policy: 'stately', deadLetter: 'dead', retryLimit: 4, retryDelay: 7, retryBackoff: true, retryDelayMax: 99,
      expireInSeconds: 60, retentionSeconds: 3600, deleteAfterSeconds: 120, warningQueueSize: 10, notify: true,
      heartbeatSeconds: 30, strange: 1
    },
    strange: { deep: true }
  }),
  post('createQueue', { name: 'apart', options: { partition: true } }),
  post('createQueue', { name: 'fifo', options: { policy: 'key_strict_fifo' } }),
  post('createQueue', { name: 'short', options: { policy: 'short' } }),
  get('getQueue?name=work'), get('getQueue?name=full'), get('getQueues?names=full'), get('getQueues?names=dead&names=work'),
  get('getQueues?names=none'), get('getQueues'),
  post('updateQueue', { name: 'full', options: { retryLimit: 5, notify: false, deadLetter: 'work' } }), get('getQueue?name=full'),
  post('updateQueue', { name: 'full', options: {} }), post('updateQueue', { name: 'full' }),
  post('updateQueue', { name: 'none', options: { retryLimit: 1 } }),
  post('updateQueue', { name: 'full', options: { policy: 'short' } }),
  post('updateQueue', { name: 'full', options: { deadLetter: null } }),
  post('updateQueue', { name: 'full', options: { retryDelayMax: null, heartbeatSeconds: null } }),
  ...bad('createQueue', { name: 'x y' }, { name: 'bad', options: { policy: 'strange' } }, { name: 'bad', options: { retryLimit: -1 } },
    { name: 'bad', options: { expireInSeconds: 0 } }, { name: 'bad', options: { heartbeatSeconds: 5 } },
    { name: 'bad', options: { deadLetter: 'none' } }, { name: 'bad', options: { deadLetter: 'bad' } },
    { name: 'bad', options: { retryLimit: '1' } }, { name: 'bad', options: { retryLimit: 'x', policy: 5 } },
    { name: 'bad', options: 5 }, { name: 'bad', options: null }, { name: 'bad', options: [] }, { name: 'bad', options: { partition: 'yes' } }),

  // Sending.
  post('send', { name: 'work' }), post('send', { name: 'work', data: null }), post('send', { name: 'work', data: {} }),
  post('send', { name: 'work', data: { a: 1 }, options: { id: id(1) } }), post('send', { name: 'work', options: { id: id(1) } }),
  post('send', {
    name: 'work',
    data: { n: 1.5, t: 'ü', deep: { list: [1, null, { b: true }] } },
    options: {
      id: id(2), priority: 9, startAfter: '2035-01-02T03:04:05.678Z', singletonKey: 'k', group: { id: 'g', tier: 't', more: 1 },
      deadLetter: 'dead', expireInSeconds: 61, retentionSeconds: 7200, deleteAfterSeconds: 121, retryLimit: 6, retryDelay: 8,
      retryBackoff: true, retryDelayMax: 98, heartbeatSeconds: 31, strange: 1
    }
  }),
  get(`findJobs?name=work&id=${id(2)}`), get('findJobs?name=work&key=k'), get('findJobs?name=work&key=none'),
  get(`findJobs?name=work&id=${id(1)}`), get(`findJobs?name=work&id=${id(1)}&queued=true`), get(`findJobs?name=work&id=${nobody}`),
  get('findJobs?name=work&dataKey=t&dataValue=%C3%BC'), get('findJobs?name=work&dataKey=t'), get('findJobs?name=work&dataValue=1'),
  get('findJobs?name=work&queued=maybe'), get('findJobs?name=none'), get('findJobs'), get('findJobs?name='), get('findJobs?name=a&name=b'),
  get('findJobs?name=work&id=strange'), get('findJobs?name=work&id='), get('findJobs?name=work&key=k&queued=false&more=1'),
  post('send', { name: 'work', options: { id: id(3), startAfter: 60 } }), post('send', { name: 'work', options: { startAfter: '30 minutes' } }),
  post('send', { name: 'work', options: { id: 'strange' } }), post('send', { name: 'work', options: { startAfter: 'strange' } }),
  post('send', { name: 'work', options: { priority: 1.5 } }), post('send', { name: 'work', options: { retryLimit: -1 } }),
  post('send', { name: 'work', options: { expireInSeconds: 0 } }), post('send', { name: 'work', options: { heartbeatSeconds: 9 } }),
  post('send', { name: 'work', options: { deadLetter: 'none' } }), post('send', { name: 'work', options: { retryDelayMax: 5 } }),
  post('send', { name: 'x y' }), post('send', { name: 'fifo', data: {} }),
  post('send', { name: 'work', options: { singletonNextSlot: true } }), post('send', { name: 'work', options: { singletonSeconds: 0 } }),
  post('send', { name: 'short', data: { first: true } }), post('send', { name: 'short', data: { second: true } }),
  ...bad('send', {}, { name: '' }, { name: 5 }, { name: null }, { name: ['a'] }, { name: 'work', data: [] }, { name: 'work', data: 'x' },
    { name: 'work', data: 1 }, { name: 'work', data: true }, { name: 'work', options: null }, { name: 'work', options: [] },
    { name: 'work', options: { priority: '1' } }, { name: 'work', options: { priority: null } }, { name: 'work', options: { retryBackoff: 'true' } },
    { name: 'work', options: { heartbeatSeconds: 'x', group: 1, singletonSeconds: 'x', singletonNextSlot: 1, deadLetter: 5, retryLimit: 'x' } },
    { name: 'work', options: { startAfter: true } }, { name: 'work', options: { startAfter: null } }, { name: 'work', options: { group: 'g' } },
    { name: 'work', options: { group: {} } }, { name: 'work', options: { group: { id: 'g', tier: 5 } } }, { name: 'work', options: { id: 5 } },
    { data: 1, options: { priority: 'x', id: 1 } }, [], 'x', 5, null),
  ['POST', 'send', ...text('{"name":"work"')], ['POST', 'send', ...text('')], ['POST', 'send', ...text('{"name":"work",}')],
  ['POST', 'send', ...text('{"name":"none","name":"work"}')], ['POST', 'send', ...text('{"name":"work","options":{"priority":1e400}}')],
  ['POST', 'send', ...text('{"name":"work","options":{"priority":1e0}}')], ['POST', 'send', ...text(' {"name" : "wo\\u0072k"}\n')],
  ['POST', 'send', 'name=work', { 'content-type': 'application/x-www-form-urlencoded' }],
  ['POST', 'send', '{"name":"work"}', { 'content-type': 'text/plain' }], ['POST', 'send'],
  ['POST', 'send', '{"name":"work"}', { 'content-type': 'application/json; charset=utf-8' }],
  ['POST', 'send', '{"name":"work"}', { 'content-type': 'APPLICATION/JSON' }],
  ['POST', 'send', '{"name":"work"}', { 'content-type': 'application/vnd.api+json' }],
  ['POST', 'send', '{"name":"work"}', {}],
  post('sendAfter', { name: 'work', after: 30, options: { id: id(4) } }), post('sendAfter', { name: 'work', after: '2035-01-01T00:00:00Z' }),
  post('sendAfter', { name: 'work', after: '2035-01-01T00:00:00Z', data: { a: 1 }, options: null }),
  ...bad('sendAfter', { name: 'work' }, { name: 'work', after: null }, { name: 'work', after: {} }, { after: true }),
  post('sendThrottled', { name: 'work', seconds: 3600, key: 'a', data: { a: 1 } }), post('sendThrottled', { name: 'work', seconds: 3600, key: 'a' }),
  post('sendThrottled', { name: 'work', seconds: 3600, key: 'b', options: { id: id(5) } }),
  ...bad('sendThrottled', { name: 'work' }, { name: 'work', seconds: '60' }, { name: 'work', seconds: 60, key: null }),
  post('sendDebounced', { name: 'work', seconds: 7200, key: 'd' }), post('sendDebounced', { name: 'work', seconds: 7200, key: 'd', options: null }),
  post('sendDebounced', { name: 'work', seconds: 7200, key: 'd' }), ...bad('sendDebounced', { name: 'work' }, { seconds: true }),
  post('insert', { name: 'apart', jobs: [{ id: id(10), data: { a: 1 } }, { id: id(11), priority: 3 }] }),
  post('insert', { name: 'apart', jobs: [{ id: id(12) }, { id: id(13), startAfter: '2035-01-01T00:00:00Z' }], options: { returnId: true } }),
  post('insert', { name: 'apart', jobs: [], options: { returnId: true } }), post('insert', { name: 'apart', jobs: [] }),
  post('insert', { name: 'apart', jobs: [{}], options: { returnId: false } }), post('insert', { name: 'none', jobs: [{}] }),
  ...bad('insert', { name: 'apart' }, { name: 'apart', jobs: {} }, { name: 'apart', jobs: [1] }, { name: 'apart', jobs: [{ data: null }] },
    { name: 'apart', jobs: [{}, { priority: 'x' }] }, { name: 'apart', jobs: [{ group: 1, deadLetter: 1, id: 1, data: 1, priority: 'x', startAfter: {} }] }, { name: 'apart', jobs: [{ data: [] }], options: { returnId: 1 } }),

  // Taking and settling.
  post('fetch', { name: 'apart', options: { batchSize: 2 } }), post('fetch', { name: 'apart', options: { includeMetadata: true } }),
  post('fetch', { name: 'dead' }), post('fetch', { name: 'none' }), post('fetch', { name: 'dead', options: {} }),
  post('fetch', { name: 'short' }), post('fetch', { name: 'short', options: { batchSize: 10, priority: false, ignoreGroups: null, groupConcurrency: 5 } }),
  post('fetch', { name: 'dead', options: { groupConcurrency: { default: 1, tiers: { gold: 2 } } } }),
  post('fetch', { name: 'dead', options: { ignoreGroups: ['g'] } }), post('fetch', { name: 'dead', options: { minPriority: 1, maxPriority: 2 } }),
  post('fetch', { name: 'dead', options: { orderByCreatedOn: false, ignoreStartAfter: true } }),
  ...bad('fetch', {}, { name: 'dead', options: { batchSize: '1' } }, { name: 'dead', options: { batchSize: 0 } },
    { name: 'dead', options: { minPriority: 2, maxPriority: 1 } }, { name: 'dead', options: { minPriority: 1.5 } },
    { name: 'dead', options: { minPriority: 1e20 } }, { name: 'dead', options: { minPriority: -1e20, maxPriority: -2e20 } }, { name: 'dead', options: { minPriority: 'x', maxPriority: 1 } },
    { name: 'dead', options: { groupConcurrency: 'x' } }, { name: 'dead', options: { groupConcurrency: {} } },
    { name: 'dead', options: { groupConcurrency: { default: 1, tiers: { a: 'x' } } } }, { name: 'dead', options: { ignoreGroups: 'g' } },
    { name: 'dead', options: { ignoreGroups: ['g', 1] } }, { name: 'dead', options: { includeMetadata: 'true' } }),
  post('complete', { name: 'apart', id: id(11), data: { done: true } }), post('complete', { name: 'apart', id: [id(10), nobody] }),
  get(`findJobs?name=apart&id=${id(11)}`), get(`findJobs?name=apart&id=${id(10)}`),
  post('complete', { name: 'apart', id: id(13) }), post('complete', { name: 'apart', id: id(13), options: { includeQueued: true } }),
  post('complete', { name: 'apart', id: id(13), data: null, options: {} }),
  ...bad('complete', { name: 'apart' }, { name: 'apart', id: 5 }, { name: 'apart', id: [5] }, { name: 'apart', id: {} }, { name: 'apart', id: id(1), data: 'x' },
    { name: 'apart', id: null }, { name: 'apart', id: id(1), data: [] }, { name: 'apart', id: id(1), options: { includeQueued: 'true' } }),
  post('complete', { name: 'apart', id: [] }), post('complete', { name: 'apart', id: 'strange' }), post('complete', { name: 'none', id: id(1) }),
  post('createQueue', { name: 'once', options: { retryLimit: 0, deadLetter: 'dead' } }),
  post('send', { name: 'once', data: { mortal: true }, options: { id: id(20) } }), post('fetch', { name: 'once' }),
  post('fail', { name: 'once', id: id(20), data: { message: 'no use' } }), get(`findJobs?name=once&id=${id(20)}`),
  post('send', { name: 'apart', options: { id: id(21), retryDelay: 3600 } }),
  post('fail', { name: 'apart', id: id(21) }), get(`findJobs?name=apart&id=${id(21)}`), post('fail', { name: 'apart', id: [nobody], data: null }),
  ...bad('fail', { name: 'apart', id: id(21), data: 'x' }, { id: id(21) }),
  post('cancel', { name: 'apart', id: id(21) }), post('cancel', { name: 'apart', id: [id(21), nobody] }), post('resume', { name: 'apart', id: id(21) }),
  post('resume', { name: 'apart', id: id(10) }), post('retry', { name: 'once', id: id(20) }), get(`findJobs?name=once&id=${id(20)}`),
  post('retry', { name: 'once', id: [nobody] }), post('deleteJob', { name: 'apart', id: id(21) }), post('deleteJob', { name: 'apart', id: [id(21)] }),
  ...['cancel', 'resume', 'retry', 'deleteJob'].flatMap(route => bad(route, {}, { name: 'apart', id: 7 }, { name: 'none', id: nobody })),

  // Editing.
  post('send', { name: 'work', options: { id: id(30), singletonKey: 'edit' } }),
  post('update', { name: 'work', data: { edited: true }, options: { id: id(30), priority: 4 } }), get(`findJobs?name=work&id=${id(30)}`),
  post('update', { name: 'work', options: { singletonKey: 'edit', startAfter: '2035-06-01T00:00:00Z' } }), get(`findJobs?name=work&id=${id(30)}`),
  post('update', { name: 'work', data: null, options: { id: id(30), match: 'newest' } }), get(`findJobs?name=work&id=${id(30)}`),
  post('update', { name: 'work', data: null, options: { id: id(30) } }), get(`findJobs?name=work&id=${id(30)}`),
  post('update', { name: 'work', data: { a: 1 }, options: { id: nobody } }), post('update', { name: 'work', data: {}, options: { priority: 1 } }),
  ...bad('update', { name: 'work' }, { name: 'work', options: null }, { name: 'work', options: { id: id(30), match: 'some' } }, { name: 'work', data: [], options: {} }),
  ...bad('upsert', { name: 'work' }, { name: 'work', options: { match: 5 } }),
  post('upsert', { name: 'short', data: { up: 1 }, options: { singletonKey: 'up', priority: 2 } }),
  post('upsert', { name: 'short', data: { up: 2 }, options: { singletonKey: 'up' } }), get('findJobs?name=short&key=up'),

  // Flows.
  post('flow', {
    jobs: [
      { ref: 'a', name: 'work', data: { step: 1 }, options: { id: id(40) } },
      { ref: 'b', name: 'work', options: { id: id(41), priority: 2 }, dependsOn: ['a'] }, { ref: 'c', name: 'apart', dependsOn: ['a', 'b'] }
    ]
  }),
  get(`getDependencies?name=work&id=${id(41)}`), get(`getDependents?name=work&id=${id(41)}`), get(`getDependencies?name=work&id=${id(40)}`),
  get(`findJobs?name=work&id=${id(41)}`), get(`getDependencies?name=work&id=${nobody}`),
  ...bad('flow', {}, { jobs: {} }, { jobs: [{}] }, { jobs: [{ ref: 1, name: '' }] }, { jobs: [{ ref: 'a', name: 'work', data: null }] },
    { jobs: [{ ref: 'a', name: 'work', dependsOn: 'b' }] }, { jobs: [{ ref: 'a', name: 'work', dependsOn: ['b'] }] },
    { jobs: [{ ref: 'a', name: 'work' }, { ref: 'a', name: 'work' }] }, { jobs: [{ ref: 'a', name: 'work', dependsOn: ['a'] }] }, { jobs: [] }),
  get('getDependencies?name=work'), get('getDependents'),

  // Dead letters.
  get('findJobs?name=dead'), post('redrive', { name: 'dead', options: { destination: 'work', limit: 0 } }),
  post('redrive', { name: 'dead', options: { destination: 'work', sourceName: 'none' } }),
  post('redrive', { name: 'dead', options: { destination: 'work', limit: 5, more: 1 } }), post('redrive', { name: 'dead' }),
  post('redrive', { name: 'none' }),
  ...bad('redrive', {}, { name: 'dead', options: { destination: '' } }, { name: 'dead', options: { limit: '5' } }, { name: 'dead', options: null }),

  // Publish and subscribe.
  post('subscribe', { event: 'signed.up', name: 'work' }), post('subscribe', { event: 'signed.up', name: 'work' }),
  post('publish', { event: 'signed.up', data: { who: 1 }, options: { priority: 3 } }), post('publish', { event: 'nobody', data: null }),
  post('publish', { event: 'signed.up' }), post('unsubscribe', { event: 'signed.up', name: 'work' }),
  post('unsubscribe', { event: 'signed.up', name: 'work' }), post('subscribe', { event: 'signed.up', name: 'none' }),
  ...bad('subscribe', {}, { event: '', name: '' }, { event: 1, name: 'work' }), ...bad('unsubscribe', { event: 'a' }),
  ...bad('publish', {}, { event: 'a', data: [] }, { event: 'a', options: null }),

  // Schedules.
  post('schedule', { name: 'work', cron: '0 9 * * 1-5' }),
  post('schedule', { name: 'work', cron: '*/5 * * * *', data: { a: 1 }, options: { tz: 'Europe/Berlin', key: 'five', priority: 2, retryLimit: 1 } }),
  get('getSchedules'), get('getSchedules?name=work&key=five'), get('getSchedules?name=work'), get('getSchedules?name=none'), get('getSchedules?key=five'),
  post('schedule', { name: 'work', cron: 'strange' }), post('schedule', { name: 'none', cron: '* * * * *' }),
  post('schedule', { name: 'work', cron: '* * * * *', options: { tz: 'Nowhere/Land' } }),
  ...bad('schedule', { name: 'work' }, { cron: 5, name: 'work' }, { name: 'work', cron: '* * * * *', options: { key: 5, tz: null } }),
  post('unschedule', { name: 'work', key: 'five' }), post('unschedule', { name: 'work', key: 'five' }), post('unschedule', { name: 'work' }),
  get('getSchedules'), ...bad('unschedule', {}, { name: 'work', key: 5 }),

  // What is kept and counted.
  get('getQueueStats?name=dead'), get('getQueueStats?name=none'), get('getQueueStats'), get('getQueueStats?name=dead&force=yes'),
  get('getQueueStats?name=dead&force=true'), get('getQueueStats?name=dead&limit=5'), get('getQueueStats?name=dead&limit=0'), get('getQueueStats?name=dead&limit=x'),
  get('getQueueStats?name=dead&limit=1.5'), get('getQueueStats?name=dead&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00.5Z'),
  get('getQueueStats?name=dead&from=2026-01-01T00:00:00%2B02:00'), get('getQueueStats?name=dead&from=2026-01-01&to=x'),
  get('getQueueStats?name=dead&aggregate=sum'), get('getQueueStats?name=dead&bucketSeconds=60&maxDataPoints=10&aggregate=avg'),
  get('getBlockedKeys?name=fifo'), get('getBlockedKeys?name=work'), get('getBlockedKeys'), get('getBlockedKeys?name=none'),
  post('send', { name: 'fifo', options: { id: id(50), singletonKey: 'k', retryLimit: 0 } }), post('fetch', { name: 'fifo' }),
  post('fail', { name: 'fifo', id: id(50) }), get('getBlockedKeys?name=fifo'),
  post('supervise', { name: 'work' }), post('supervise', { name: 'none' }), ...bad('supervise', { name: '' }, { name: null }, []),
  post('deleteQueuedJobs', { name: 'work' }), post('deleteStoredJobs', { name: 'apart' }), post('deleteQueuedJobs', { name: 'none' }),
  post('deleteAllJobs', { name: 'short' }), post('deleteAllJobs', { name: 'none' }), ...bad('deleteAllJobs', { name: '' }, { name: 5 }),
  ...['deleteQueuedJobs', 'deleteStoredJobs'].flatMap(route => bad(route, {}, { name: '' })), post('deleteAllJobs', {}), get('findJobs?name=fifo'),
  post('deleteQueue', { name: 'once' }), post('deleteQueue', { name: 'once' }), post('deleteQueue', { name: 'dead' }), ...bad('deleteQueue', {}),
  get('getQueue'), get('getQueue?name='), get('getQueue?name=once'),

  // What is not there.
  get('send'), post('getQueue', { name: 'work' }), get('nothing'), post('nothing', {}), get(''), ['GET', 'meta/'], ['PUT', 'send', { name: 'work' }],
  ['DELETE', 'getQueue?name=work'], ['HEAD', 'meta'], ['HEAD', 'send'], ['OPTIONS', 'send'], get('start'), post('stop', {}), get('Meta'), get('constructor')
]

const authorized = credentials => ({ authorization: `Basic ${Buffer.from(credentials).toString('base64')}` })
const origin = value => ({ origin: value })
const asked = { 'access-control-request-method': 'POST' }

export const sessions = [
  { name: 'plain', requests: plain },
  {
    name: 'exposed',
    environment: { PGBOSS_PROXY_EXPOSE_ERRORS: 'TRUE' },
    requests: [
      ['POST', 'send', ...text('{"name":')], ['POST', 'send', 'x', { 'content-type': 'text/plain' }], post('send', { name: 'none' }), post('send', {})
    ]
  },
  {
    name: 'guarded',
    environment: {
      PGBOSS_PROXY_AUTH_USERNAME: 'ada', PGBOSS_PROXY_AUTH_PASSWORD: 'päss:word', PGBOSS_PROXY_CORS_ORIGIN: 'https://one.example, https://two.example',
      PGBOSS_PROXY_CORS_EXPOSE_HEADERS: 'x-one, x-two', PGBOSS_PROXY_CORS_CREDENTIALS: 'true', PGBOSS_PROXY_CORS_MAX_AGE: '600'
    },
    requests: [
      get('isInstalled'), ['GET', 'isInstalled', undefined, authorized('ada:päss:word')], ['GET', 'isInstalled', undefined, authorized('ada:wrong')],
      ['GET', 'isInstalled', undefined, authorized('bob:päss:word')], ['GET', 'isInstalled', undefined, { authorization: 'Basic ###' }],
      ['GET', 'isInstalled', undefined, { authorization: 'Bearer x' }], ['GET', 'isInstalled', undefined, authorized('ada')],
      get('nothing'), ['GET', 'nothing', undefined, authorized('ada:päss:word')], post('send', {}),
      ['GET', 'isInstalled', undefined, { ...authorized('ada:päss:word'), ...origin('https://two.example') }],
      ['GET', 'isInstalled', undefined, { ...authorized('ada:päss:word'), ...origin('https://three.example') }],
      ['GET', 'nothing', undefined, { ...authorized('ada:päss:word'), ...origin('https://two.example') }],
      ['OPTIONS', 'send', undefined, { ...authorized('ada:päss:word'), ...origin('https://one.example'), ...asked }]
    ]
  },
  {
    name: 'shared',
    environment: {
      PGBOSS_PROXY_CORS_ORIGIN: '*', PGBOSS_PROXY_CORS_METHODS: 'GET, POST', PGBOSS_PROXY_CORS_HEADERS: 'Content-Type, X-More'
    },
    requests: [
      ['GET', 'isInstalled', undefined, origin('https://any.example')], get('isInstalled'),
      ['OPTIONS', 'send', undefined, { ...origin('https://any.example'), ...asked }], ['OPTIONS', 'nothing', undefined, origin('https://any.example')],
      ['POST', 'send', '{}', { ...origin('https://any.example'), 'content-type': 'application/json' }]
    ]
  },
  {
    name: 'narrow',
    environment: {
      PGBOSS_PROXY_PREFIX: 'boss/', PGBOSS_PROXY_BODY_LIMIT: '64', PGBOSS_PROXY_ROUTES_ALLOW: 'send, getQueue ,meta,strange,isInstalled',
      PGBOSS_PROXY_ROUTES_DENY: 'isInstalled'
    },
    prefix: '/boss',
    requests: [
      get('meta'), get('getQueue?name=a'), get('isInstalled'), get('schemaVersion'), post('send', { name: 'a' }), post('complete', {}),
      post('send', { name: 'a', data: { long: 'x'.repeat(64) } }), post('nothing', { long: 'x'.repeat(64) }), ['PUT', 'send', { long: 'x'.repeat(64) }],
      post('send', { name: 'a'.repeat(53) }), post('send', { name: 'a'.repeat(54) })
    ]
  },
  {
    name: 'at the root',
    environment: { PGBOSS_PROXY_PREFIX: '/' },
    prefix: '',
    requests: [get('isInstalled'), post('send', {}), get('nothing')]
  }
]
