//! The routes: what each is called, what it is asked, and what it answers.

use super::shape::{Field, Shape, Table};

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    /// Its name, which is that of pg-boss's method.
    pub name: &'static str,
    pub method: Method,
    pub verb: Verb,
    /// What it is about, for the description.
    pub tag: &'static str,
    /// What it does, for the description.
    pub summary: &'static str,
    /// What it is asked, in a body or a query; `None` where it is asked nothing.
    pub shape: Option<&'static Shape>,
    /// What it answers.
    pub answer: Answer,
}

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// With a query.
    Get,
    /// With a body.
    Post,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Send,
    SendAfter,
    SendThrottled,
    SendDebounced,
    Insert,
    Update,
    Upsert,
    Flow,
    Fetch,
    Touch,
    Complete,
    Fail,
    Cancel,
    Resume,
    Retry,
    Restore,
    DeleteJob,
    Redrive,
    PreviewRedrive,
    DeleteQueuedJobs,
    DeleteStoredJobs,
    DeleteAllJobs,
    FindJobs,
    GetJobById,
    GetDependencies,
    GetDependents,
    CreateQueue,
    UpdateQueue,
    DeleteQueue,
    GetQueue,
    GetQueues,
    GetQueueStats,
    GetBlockedKeys,
    Subscribe,
    Unsubscribe,
    Publish,
    Schedule,
    Unschedule,
    GetSchedules,
    Supervise,
    ResolveFlow,
    Meta,
    IsInstalled,
    SchemaVersion,
    GetBamStatus,
    GetInstances,
}

/// What the result of an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Flag,
    Number,
    Version,
    Id,
    Ids,
    References,
    Command,
    Updated,
    Upserted,
    Jobs,
    JobsInFull,
    Job,
    Dependencies,
    Queue,
    Queues,
    Stats,
    Keys,
    Schedules,
    Bam,
    Instances,
    Preview,
    Meta,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        required: true,
        shape,
    }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        required: false,
        shape,
    }
}

const NULLABLE_DATA: Shape = Shape::Nullable(&Shape::Data);
const DATE: Shape = Shape::Either(&[Shape::Text, Shape::Number]);
const TEXTS: Shape = Shape::List(&Shape::Text);
const ONE_OR_MORE: Shape = Shape::Either(&[Shape::Text, TEXTS]);
const MORE_OR_ONE: Shape = Shape::Either(&[TEXTS, Shape::Text]);
const GROUP: Shape = Shape::Object(&[required("id", Shape::Text), optional("tier", Shape::Text)]);

const SEND_OPTIONS: Shape = Shape::Object(&[
    optional("id", Shape::Text),
    optional("priority", Shape::Number),
    optional("startAfter", DATE),
    optional("singletonKey", Shape::Text),
    optional("singletonSeconds", Shape::Number),
    optional("singletonNextSlot", Shape::Flag),
    optional("group", GROUP),
    optional("deadLetter", Shape::Text),
    optional("expireInSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
]);

const SCHEDULE_OPTIONS: Shape = Shape::Object(&[
    optional("id", Shape::Text),
    optional("priority", Shape::Number),
    optional("startAfter", DATE),
    optional("singletonKey", Shape::Text),
    optional("singletonSeconds", Shape::Number),
    optional("singletonNextSlot", Shape::Flag),
    optional("group", GROUP),
    optional("deadLetter", Shape::Text),
    optional("expireInSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
    optional("tz", Shape::Text),
    optional("key", Shape::Text),
]);

const UPDATE_OPTIONS: Shape = Shape::Object(&[
    optional("id", Shape::Text),
    optional("priority", Shape::Number),
    optional("startAfter", DATE),
    optional("singletonKey", Shape::Text),
    optional("group", GROUP),
    optional("deadLetter", Shape::Text),
    optional("expireInSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
    optional("match", Shape::Choice(&["newest", "oldest", "all"])),
]);

const JOB_OPTIONS: &[Field] = &[
    optional("id", Shape::Text),
    optional("priority", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("startAfter", DATE),
    optional("singletonKey", Shape::Text),
    optional("singletonSeconds", Shape::Number),
    optional("expireInSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
    optional("group", GROUP),
    optional("deadLetter", Shape::Text),
];

const JOB_INSERT: Shape = Shape::Object(&[
    optional("id", Shape::Text),
    optional("data", Shape::Data),
    optional("priority", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("startAfter", DATE),
    optional("singletonKey", Shape::Text),
    optional("singletonSeconds", Shape::Number),
    optional("expireInSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
    optional("group", GROUP),
    optional("deadLetter", Shape::Text),
]);

const FLOW_JOB: Shape = Shape::Object(&[
    required("ref", Shape::Text),
    required("name", Shape::Name),
    optional("data", Shape::Data),
    optional("options", Shape::Object(JOB_OPTIONS)),
    optional("dependsOn", TEXTS),
]);

const QUEUE_OPTIONS: Shape = Shape::Object(&[
    optional("expireInSeconds", Shape::Number),
    optional("retentionSeconds", Shape::Number),
    optional("deleteAfterSeconds", Shape::Number),
    optional("retryLimit", Shape::Number),
    optional("retryDelay", Shape::Number),
    optional("retryBackoff", Shape::Flag),
    optional("retryDelayMax", Shape::Number),
    optional("heartbeatSeconds", Shape::Number),
]);

const FETCH_OPTIONS: Shape = Shape::Checked(
    &Shape::Object(&[
        optional("includeMetadata", Shape::Flag),
        optional("priority", Shape::Flag),
        optional("orderByCreatedOn", Shape::Flag),
        optional("batchSize", Shape::Number),
        optional("ignoreStartAfter", Shape::Flag),
        optional(
            "groupConcurrency",
            Shape::Either(&[
                Shape::Number,
                Shape::Object(&[required("default", Shape::Number), optional("tiers", Shape::Numbers)]),
            ]),
        ),
        optional("ignoreGroups", Shape::Nullable(&TEXTS)),
        optional("minPriority", Shape::Whole),
        optional("maxPriority", Shape::Whole),
    ]),
    priorities_in_order,
    "minPriority must be <= maxPriority",
);

fn priorities_in_order(options: &Table<'_>) -> bool {
    match (options.number("minPriority"), options.number("maxPriority")) {
        (Some(min), Some(max)) => min <= max,
        _ => true,
    }
}

const SEND: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional("data", NULLABLE_DATA),
    optional("options", SEND_OPTIONS),
]);
const SEND_AFTER: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional("data", NULLABLE_DATA),
    optional("options", Shape::Nullable(&SEND_OPTIONS)),
    required("after", DATE),
]);
const SEND_IN_SLOT: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional("data", NULLABLE_DATA),
    optional("options", Shape::Nullable(&SEND_OPTIONS)),
    required("seconds", Shape::Number),
    optional("key", Shape::Text),
]);
const INSERT: Shape = Shape::Object(&[
    required("name", Shape::Name),
    required("jobs", Shape::List(&JOB_INSERT)),
    optional("options", Shape::Object(&[optional("returnId", Shape::Flag)])),
]);
const CHANGE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional("data", NULLABLE_DATA),
    required("options", UPDATE_OPTIONS),
]);
const FLOW: Shape = Shape::Object(&[required("jobs", Shape::List(&FLOW_JOB))]);
const FETCH: Shape = Shape::Object(&[required("name", Shape::Name), optional("options", FETCH_OPTIONS)]);
const COMPLETE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    required("id", ONE_OR_MORE),
    optional("data", NULLABLE_DATA),
    optional("options", Shape::Object(&[optional("includeQueued", Shape::Flag)])),
]);
const FAIL: Shape = Shape::Object(&[
    required("name", Shape::Name),
    required("id", ONE_OR_MORE),
    optional("data", NULLABLE_DATA),
]);
const JOBS: Shape = Shape::Object(&[required("name", Shape::Name), required("id", ONE_OR_MORE)]);
const REDRIVE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional(
        "options",
        Shape::Object(&[
            optional("destination", Shape::Name),
            optional("sourceName", Shape::Name),
            optional("limit", Shape::Number),
        ]),
    ),
]);
const NAMED: Shape = Shape::Object(&[required("name", Shape::Name)]);
const PERHAPS_NAMED: Shape = Shape::Object(&[optional("name", Shape::Name)]);
const CREATE_QUEUE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional(
        "options",
        Shape::Both(
            &QUEUE_OPTIONS,
            &Shape::Object(&[
                optional("policy", Shape::Text),
                optional("partition", Shape::Flag),
                optional("deadLetter", Shape::Text),
                optional("warningQueueSize", Shape::Number),
                optional("notify", Shape::Flag),
            ]),
        ),
    ),
]);
const UPDATE_QUEUE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional(
        "options",
        Shape::Both(
            &QUEUE_OPTIONS,
            &Shape::Object(&[
                optional("deadLetter", Shape::Text),
                optional("warningQueueSize", Shape::Number),
                optional("notify", Shape::Flag),
            ]),
        ),
    ),
]);
const SUBSCRIPTION: Shape = Shape::Object(&[required("event", Shape::Name), required("name", Shape::Name)]);
const PUBLISH: Shape = Shape::Object(&[
    required("event", Shape::Name),
    optional("data", NULLABLE_DATA),
    optional("options", SEND_OPTIONS),
]);
const SCHEDULE: Shape = Shape::Object(&[
    required("name", Shape::Name),
    required("cron", Shape::Text),
    optional("data", NULLABLE_DATA),
    optional("options", SCHEDULE_OPTIONS),
]);
const UNSCHEDULE: Shape = Shape::Object(&[required("name", Shape::Name), optional("key", Shape::Text)]);
const NOTHING: Shape = Shape::Object(&[]);
const NAMES: Shape = Shape::Object(&[optional("names", MORE_OR_ONE)]);
const SCHEDULES: Shape = Shape::Object(&[optional("name", Shape::Text), optional("key", Shape::Text)]);
const STATS: Shape = Shape::Object(&[
    required("name", Shape::Name),
    optional("from", Shape::Moment),
    optional("to", Shape::Moment),
    optional("limit", Shape::Count),
    optional("bucketSeconds", Shape::Count),
    optional("maxDataPoints", Shape::Count),
    optional("aggregate", Shape::Choice(&["max", "min", "avg"])),
    optional("force", Shape::Truth),
]);
const ONE_JOB: Shape = Shape::Object(&[required("name", Shape::Name), required("id", Shape::Name)]);
const JOB_BY_ID: Shape = Shape::Object(&[
    required("name", Shape::Name),
    required("id", Shape::Name),
    optional("includeArchive", Shape::Truth),
]);
const FIND_JOBS: Shape = Shape::Checked(
    &Shape::Object(&[
        required("name", Shape::Name),
        optional("id", Shape::Text),
        optional("key", Shape::Text),
        optional("queued", Shape::Truth),
        optional("dataKey", Shape::Text),
        optional("dataValue", Shape::Text),
    ]),
    value_has_key,
    "dataKey is required when dataValue is provided",
);

fn value_has_key(query: &Table<'_>) -> bool {
    let given = |name| query.text(name).is_some_and(|text| !text.is_empty());
    !given("dataValue") || given("dataKey")
}

const fn post(
    name: &'static str,
    method: Method,
    tag: &'static str,
    shape: &'static Shape,
    answer: Answer,
    summary: &'static str,
) -> Route {
    Route {
        name,
        method,
        verb: Verb::Post,
        tag,
        summary,
        shape: Some(shape),
        answer,
    }
}

const fn get(
    name: &'static str,
    method: Method,
    tag: &'static str,
    shape: Option<&'static Shape>,
    answer: Answer,
    summary: &'static str,
) -> Route {
    Route {
        name,
        method,
        verb: Verb::Get,
        tag,
        summary,
        shape,
        answer,
    }
}

/// All of them, in the order in which they are described.
#[rustfmt::skip]
pub(super) static ROUTES: [Route; 46] = [
    post("send", Method::Send, "jobs", &SEND, Answer::Id, "Sends a job; null where the queue's policy or a throttle keeps it out"),
    post("sendAfter", Method::SendAfter, "jobs", &SEND_AFTER, Answer::Id, "Sends a job that may run after so many seconds, or at a date"),
    post("sendThrottled", Method::SendThrottled, "jobs", &SEND_IN_SLOT, Answer::Id, "Sends a job unless one was sent in this slot of so many seconds"),
    post("sendDebounced", Method::SendDebounced, "jobs", &SEND_IN_SLOT, Answer::Id, "Sends a job into this slot of so many seconds, or else into the next one"),
    post("insert", Method::Insert, "jobs", &INSERT, Answer::Ids, "Sends many jobs; their ids with returnId"),
    post("update", Method::Update, "jobs", &CHANGE, Answer::Updated, "Changes queued jobs, by id or singletonKey"),
    post("upsert", Method::Upsert, "jobs", &CHANGE, Answer::Upserted, "Changes a queued job, by id or singletonKey, or sends it"),
    post("flow", Method::Flow, "jobs", &FLOW, Answer::References, "Sends jobs that wait for others"),
    post("fetch", Method::Fetch, "jobs", &FETCH, Answer::Jobs, "Takes jobs to run them; complete or fail them within their expiry"),
    post("touch", Method::Touch, "jobs", &JOBS, Answer::Command, "Renews the heartbeat of active jobs"),
    post("complete", Method::Complete, "jobs", &COMPLETE, Answer::Command, "Completes active jobs"),
    post("fail", Method::Fail, "jobs", &FAIL, Answer::Command, "Fails jobs: to be tried again, or for good"),
    post("cancel", Method::Cancel, "jobs", &JOBS, Answer::Command, "Cancels unfinished jobs"),
    post("resume", Method::Resume, "jobs", &JOBS, Answer::Command, "Puts cancelled jobs back"),
    post("retry", Method::Retry, "jobs", &JOBS, Answer::Command, "Tries failed jobs once more"),
    post("restore", Method::Restore, "jobs", &JOBS, Answer::Nothing, "Makes jobs what they were when they were sent, whatever became of them"),
    post("deleteJob", Method::DeleteJob, "jobs", &JOBS, Answer::Command, "Deletes jobs"),
    post("redrive", Method::Redrive, "jobs", &REDRIVE, Answer::Number, "Moves dead letters back to where they came from, or elsewhere"),
    post("previewRedrive", Method::PreviewRedrive, "jobs", &REDRIVE, Answer::Preview, "Says what redrive would move, and moves nothing"),
    post("deleteQueuedJobs", Method::DeleteQueuedJobs, "jobs", &NAMED, Answer::Nothing, "Deletes the jobs of a queue that have not begun"),
    post("deleteStoredJobs", Method::DeleteStoredJobs, "jobs", &NAMED, Answer::Nothing, "Deletes the finished jobs of a queue"),
    post("deleteAllJobs", Method::DeleteAllJobs, "jobs", &PERHAPS_NAMED, Answer::Nothing, "Deletes all jobs of a queue, or of all queues"),
    get("findJobs", Method::FindJobs, "jobs", Some(&FIND_JOBS), Answer::JobsInFull, "Finds jobs by id, singletonKey or a property of their data"),
    get("getJobById", Method::GetJobById, "jobs", Some(&JOB_BY_ID), Answer::Job, "Shows one job; of pg-boss 10 an archived one, too, where includeArchive says so"),
    get("getDependencies", Method::GetDependencies, "jobs", Some(&ONE_JOB), Answer::Dependencies, "The jobs a job waits for"),
    get("getDependents", Method::GetDependents, "jobs", Some(&ONE_JOB), Answer::Dependencies, "The jobs that wait for a job"),
    post("createQueue", Method::CreateQueue, "queues", &CREATE_QUEUE, Answer::Nothing, "Creates a queue; one that is there stays as it is"),
    post("updateQueue", Method::UpdateQueue, "queues", &UPDATE_QUEUE, Answer::Nothing, "Changes a queue"),
    post("deleteQueue", Method::DeleteQueue, "queues", &NAMED, Answer::Nothing, "Deletes a queue and its jobs"),
    get("getQueue", Method::GetQueue, "queues", Some(&NAMED), Answer::Queue, "Shows a queue"),
    get("getQueues", Method::GetQueues, "queues", Some(&NAMES), Answer::Queues, "Shows queues, all of them or those named"),
    get("getQueueStats", Method::GetQueueStats, "queues", Some(&STATS), Answer::Stats, "Counts the jobs of a queue, now or over time"),
    get("getBlockedKeys", Method::GetBlockedKeys, "queues", Some(&NAMED), Answer::Keys, "The keys of a key_strict_fifo queue that a failed job blocks"),
    post("subscribe", Method::Subscribe, "events", &SUBSCRIPTION, Answer::Nothing, "Has a queue get a job for each event of a name"),
    post("unsubscribe", Method::Unsubscribe, "events", &SUBSCRIPTION, Answer::Nothing, "Ends that"),
    post("publish", Method::Publish, "events", &PUBLISH, Answer::Nothing, "Sends a job to each queue that subscribed to an event"),
    post("schedule", Method::Schedule, "schedules", &SCHEDULE, Answer::Nothing, "Has jobs sent by the clock"),
    post("unschedule", Method::Unschedule, "schedules", &UNSCHEDULE, Answer::Nothing, "Ends that"),
    get("getSchedules", Method::GetSchedules, "schedules", Some(&SCHEDULES), Answer::Schedules, "Shows schedules"),
    post("supervise", Method::Supervise, "system", &PERHAPS_NAMED, Answer::Nothing, "Runs one pass of supervision now"),
    post("resolveFlow", Method::ResolveFlow, "system", &NOTHING, Answer::Nothing, "Releases the jobs whose dependencies are complete now"),
    get("meta", Method::Meta, "system", None, Answer::Meta, "The names of states, policies and events"),
    get("isInstalled", Method::IsInstalled, "system", None, Answer::Flag, "Whether there is a pg-boss schema"),
    get("schemaVersion", Method::SchemaVersion, "system", None, Answer::Version, "The version of the schema"),
    get("getBamStatus", Method::GetBamStatus, "system", None, Answer::Bam, "The background migrations by state"),
    get("getInstances", Method::GetInstances, "system", None, Answer::Instances, "The processes that have registered themselves"),
];

/// The route of that name.
pub(super) fn find(name: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.name == name)
}
