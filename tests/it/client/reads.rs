//! What is there, told alike.

use chrono::Utc;
use serde_json::{Value, json};
use strawboss::client::{FetchOptions, GroupLimit};
use strawboss::inspect::{Aggregate, FindJobs, StatsOptions};
use uuid::Uuid;

use super::Both;
use crate::differential::{id, job, on_releases};
use crate::support::{Boss, Release};

fn uuid(n: u32) -> Uuid {
    id(n).parse().expect("an id")
}

fn raw<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("JSON")
}

async fn jobs_found_and_fetched(release: Release) {
    let both = Both::new(release).await;
    let (v10, modern) = (both.version() == 24, both.version() >= 35);
    both.queue("q", json!({})).await;
    let full = json!({
        "data": {"who": "ann", "deep": [1, {"x": null}]}, "priority": 7, "singleton_key": "k", "singleton_on": "2026-01-01T00:00:00",
        "group_id": "g", "group_tier": "t", "heartbeat_seconds": 60, "output": {"value": 1}, "retry_delay_max": 5,
        "started_on": "2026-01-02T00:00:00.123456Z", "completed_on": "2026-01-02T00:00:01Z", "state": "failed", "source_name": "s",
        "source_id": id(77), "source_created_on": "2025-01-01T00:00:00Z", "source_retry_count": 2, "source_output": {"m": 1},
        "source_root_id": id(78), "keep_until": "2030-01-01T00:00:00Z", "blocked": false, "blocking": true, "pending_dependencies": 0,
        "retry_limit": 3, "retry_count": 2, "retry_delay": 4, "retry_backoff": true, "expire": 100, "deletion_seconds": 0,
    });
    both.jobs(
        "q",
        [
            job(1, full),
            job(2, json!({"data": null})),
            job(3, json!({"singleton_key": "k", "data": [1]})),
        ],
    )
    .await;
    both.jobs(
        "q",
        (4..9).map(|n| job(n, json!({"priority": n % 3, "data": {"who": "bob"}}))),
    )
    .await;
    let client = &both.client;
    for n in [1, 2, 99] {
        let mut theirs = both.boss("getJobById", json!(["q", id(n)])).await;
        let ours = client.get_job_by_id("q", uuid(n)).await;
        if v10 && n != 99 {
            // That release tells an interval, as an object of its driver.
            theirs.as_object_mut().expect("a job").remove("expireIn");
            let mut ours = serde_json::to_value(ours.expect("read")).expect("JSON");
            let expire = ours.as_object_mut().expect("a job").remove("expireInSeconds");
            assert_eq!(expire, Some(json!(if n == 1 { 100 } else { 900 })));
            theirs.as_object_mut().expect("a job").remove("expireInSeconds");
            both.same("getJobById", &theirs, Ok(ours));
        } else {
            both.same("getJobById", &theirs, ours);
        }
    }
    if v10 {
        let archived = "INSERT INTO {schema}.archive SELECT * FROM {schema}.job WHERE priority = 7";
        for schema in [&both.theirs, &both.ours] {
            schema.execute(archived).await;
            schema.execute("DELETE FROM {schema}.job WHERE priority = 7").await;
        }
        for (options, archive) in [(json!({}), false), (json!({"includeArchive": true}), true)] {
            let theirs = both.boss("getJobById", json!(["q", id(1), options])).await;
            let ours = match archive {
                true => client.get_job_by_id_or_archived("q", uuid(1)).await,
                false => client.get_job_by_id("q", uuid(1)).await,
            };
            let ours = ours.expect("read").map(|job| (job.id.to_string(), job.priority));
            let theirs = theirs.is_object().then(|| (uuid(1).to_string(), 7));
            assert_eq!((ours.is_some(), ours), (archive, theirs));
        }
    }
    if modern {
        let found = [
            (json!({}), FindJobs::default()),
            (
                json!({"id": id(3)}),
                FindJobs {
                    id: Some(uuid(3)),
                    ..FindJobs::default()
                },
            ),
            (
                json!({"key": "k"}),
                FindJobs {
                    key: Some("k".into()),
                    ..FindJobs::default()
                },
            ),
            (
                json!({"key": "k", "queued": true}),
                FindJobs {
                    key: Some("k".into()),
                    queued: true,
                    ..FindJobs::default()
                },
            ),
            (
                json!({"data": {"who": "bob"}}),
                FindJobs {
                    data: Some(raw(json!({"who": "bob"}))),
                    ..FindJobs::default()
                },
            ),
        ];
        for (options, wanted) in found {
            let theirs = both.boss("findJobs", json!(["q", options])).await;
            both.same(
                &format!("findJobs {options}"),
                &theirs,
                client.find_jobs("q", &wanted).await,
            );
        }
    }
    if both.version() == 46 {
        let theirs = both.boss("findJobs", json!(["q", {"limit": 2, "after": id(2)}])).await;
        let page = FindJobs {
            limit: Some(2),
            after: Some(uuid(2)),
            ..FindJobs::default()
        };
        both.same("a page", &theirs, client.find_jobs("q", &page).await);
        for (options, wanted) in [
            (
                json!({"after": id(99)}),
                FindJobs {
                    after: Some(uuid(99)),
                    ..FindJobs::default()
                },
            ),
            (
                json!({"limit": 0}),
                FindJobs {
                    limit: Some(0),
                    ..FindJobs::default()
                },
            ),
        ] {
            let theirs = both.pair.boss.call("findJobs", json!(["q", options])).await;
            both.refused("findJobs", theirs, client.find_jobs("q", &wanted).await);
        }
    }

    // Three by priority, then with all there is, and the last before its time.
    let options = |n| FetchOptions {
        batch_size: Some(n),
        ..FetchOptions::default()
    };
    let theirs = both.boss("fetch", json!(["q", {"batchSize": 3}])).await;
    both.same(
        "fetch",
        &by_id(numeric(theirs)),
        client.fetch("q", &options(3)).await.map(sorted),
    );
    let theirs = both
        .boss("fetch", json!(["q", {"batchSize": 2, "includeMetadata": true}]))
        .await;
    let whole = FetchOptions {
        include_metadata: true,
        ..options(2)
    };
    both.same(
        "fetch with metadata",
        &by_id(numeric(theirs)),
        client.fetch("q", &whole).await.map(sorted),
    );
    both.jobs("q", [job(20, json!({"start_after": "2099-01-01T00:00:00Z"}))])
        .await;
    let theirs = both.boss("fetch", json!(["q", {"batchSize": 9}])).await;
    both.same(
        "the rest",
        &by_id(numeric(theirs)),
        client.fetch("q", &options(9)).await.map(sorted),
    );
    let theirs = both
        .boss("fetch", json!(["q", {"batchSize": 9, "ignoreStartAfter": true}]))
        .await;
    let early = FetchOptions {
        ignore_start_after: true,
        ..options(9)
    };
    both.same(
        "before its time",
        &by_id(numeric(theirs)),
        client.fetch("q", &early).await.map(sorted),
    );
    if modern {
        let of = |n: u32, group: Option<&str>, priority: u32| {
            job(
                n,
                json!({"group_id": group, "group_tier": group.map(|_| "gold"), "priority": priority}),
            )
        };
        both.jobs(
            "q",
            [
                of(30, Some("a"), 0),
                of(31, Some("a"), 0),
                of(32, Some("b"), 1),
                of(33, None, 2),
                of(34, Some("b"), 3),
            ],
        )
        .await;
        let theirs = both
            .boss(
                "fetch",
                json!(["q", {"batchSize": 9, "minPriority": 1, "maxPriority": 2, "ignoreGroups": ["c"]}]),
            )
            .await;
        let ours = FetchOptions {
            min_priority: Some(1),
            max_priority: Some(2),
            ignore_groups: vec!["c".into()],
            ..options(9)
        };
        both.same(
            "by priority",
            &by_id(theirs),
            client.fetch("q", &ours).await.map(sorted),
        );
        let theirs = both
            .boss(
                "fetch",
                json!(["q", {"batchSize": 9, "groupConcurrency": {"default": 9, "tiers": {"gold": 1}}}]),
            )
            .await;
        let limit = GroupLimit {
            default: 9,
            tiers: [("gold".to_owned(), 1)].into(),
        };
        let ours = FetchOptions {
            group_concurrency: Some(limit),
            ..options(9)
        };
        both.same("by group", &by_id(theirs), client.fetch("q", &ours).await.map(sorted));
    }
    both.assert_equal("what was fetched", &[]).await;
}

fn sorted(jobs: Vec<strawboss::client::Fetched>) -> Value {
    by_id(serde_json::to_value(jobs).expect("JSON"))
}

fn by_id(mut jobs: Value) -> Value {
    jobs.as_array_mut()
        .expect("a list")
        .sort_by_key(|job| job["id"].to_string());
    jobs
}

/// pg-boss 10 tells seconds as a text, and an interval beside it.
fn numeric(mut jobs: Value) -> Value {
    for job in jobs.as_array_mut().expect("a list") {
        job.as_object_mut().expect("a job").remove("expireIn");
    }
    jobs
}

async fn statistics(release: Release) {
    let both = Both::new(release).await;
    both.queue("q", json!({})).await;
    let states = [
        "created",
        "created",
        "retry",
        "active",
        "completed",
        "cancelled",
        "failed",
    ];
    both.jobs("q", states.into_iter().zip(1..).map(|(state, n)| {
        let start = if n == 2 { "2099-01-01T00:00:00Z" } else { "2026-01-01T00:00:00Z" };
        job(n, json!({"state": state, "start_after": start, "completed_on": (n > 4).then_some("2026-01-02T00:00:00Z")}))
    }))
    .await;
    let client = &both.client;
    let counted = client
        .get_queue_stats("q", &StatsOptions::default())
        .await
        .expect("counted");
    let [counted] = counted.as_slice() else {
        panic!("one: {counted:?}")
    };
    assert_eq!(
        (
            counted.queued_count,
            counted.active_count,
            counted.failed_count,
            counted.deferred_count
        ),
        (3, 1, 1, 1)
    );
    if both.version() < 35 {
        if both.version() > 24 {
            let theirs = both.boss("getQueueStats", json!(["q"])).await;
            for (key, ours) in [
                ("queuedCount", counted.queued_count),
                ("activeCount", counted.active_count),
                ("totalCount", counted.total_count),
            ] {
                assert_eq!(theirs[key], json!(ours), "{key}");
            }
        }
        let refused = client
            .clone()
            .with_history(true)
            .get_queue_stats("q", &StatsOptions::default())
            .await;
        assert!(
            refused
                .expect_err("no history")
                .to_string()
                .contains("needs pg-boss 12.24 or later")
        );
        return;
    }
    let theirs = both.boss("getQueueStats", json!(["q", {"force": true}])).await;
    let force = StatsOptions {
        force: true,
        ..StatsOptions::default()
    };
    both.same("statistics", &theirs, client.get_queue_stats("q", &force).await);
    both.refused(
        "a queue that is none",
        both.pair.boss.call("getQueueStats", json!(["none"])).await,
        client.get_queue_stats("none", &force).await,
    );
    // What the monitor counted is taken for an hour, and for a minute if forced.
    both.execute("update {schema}.queue set queued_count = 33, monitor_on = now() - interval '10 minutes'")
        .await;
    let theirs = both.boss("getQueueStats", json!(["q"])).await;
    let ours = client
        .get_queue_stats("q", &StatsOptions::default())
        .await
        .expect("read");
    assert_eq!(
        (theirs[0]["queuedCount"].clone(), ours[0].queued_count),
        (json!(33), 33)
    );
    assert_eq!(
        client.get_queue_stats("q", &force).await.expect("counted")[0].queued_count,
        3
    );

    // A day of snapshots, a minute apart at odd seconds; the middle of it has none.
    let counters = if both.version() == 46 {
        (
            ", created_delta, completed_delta, failed_delta, delta_seconds, delta_on, wait_bins, run_bins, ready_oldest_seconds",
            ", g % 5, g % 7, g % 3, 60, t - interval '10s', array_fill(g, array[48]), array_fill(1, array[48]), g",
        )
    } else {
        ("", "")
    };
    let history = format!(
        "do $$ begin if to_regproc('{{schema}}.x') is null then null; end if; end $$; \
         create table {{schema}}.queue_stats_test partition of {{schema}}.queue_stats for values from ('2026-01-01Z') to ('2026-01-03Z'); \
         insert into {{schema}}.queue_stats (name, captured_on, deferred_count, queued_count, ready_count, active_count, failed_count, total_count{}) \
         select 'q', t, g % 11, g % 13, g % 17, g, g % 2, g * 2{} \
         from (select g, timestamptz '2026-01-01T00:00:07Z' + g * interval '61s' as t from generate_series(1, 200) g \
               where g not between 90 and 120) s",
        counters.0, counters.1
    );
    both.execute(&history).await;
    let boss = Boss::start(
        release,
        &both.theirs.url,
        &both.theirs.name,
        json!({"persistQueueStats": true}),
    )
    .await;
    let recorded = client.clone().with_history(true);
    let span = json!({"from": {"$date": "2026-01-01T00:20:00Z"}, "to": {"$date": "2026-01-01T03:00:00Z"}});
    for (extra, ours) in [
        (
            json!({"limit": 5}),
            StatsOptions {
                limit: Some(5),
                ..StatsOptions::default()
            },
        ),
        (
            json!({"bucketSeconds": 600}),
            StatsOptions {
                bucket_seconds: Some(600),
                ..StatsOptions::default()
            },
        ),
        (
            json!({"bucketSeconds": 30, "aggregate": "min"}),
            StatsOptions {
                bucket_seconds: Some(30),
                aggregate: Aggregate::Min,
                ..StatsOptions::default()
            },
        ),
        (
            json!({"maxDataPoints": 7, "aggregate": "avg"}),
            StatsOptions {
                max_data_points: Some(7),
                aggregate: Aggregate::Avg,
                ..StatsOptions::default()
            },
        ),
    ] {
        let mut options = span.clone();
        options
            .as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        let theirs = boss.call("getQueueStats", json!(["q", options])).await.expect("read");
        assert!(theirs.as_array().is_some_and(|rows| rows.len() >= 4), "{theirs}");
        let ours = StatsOptions {
            from: Some("2026-01-01T00:20:00Z".parse().expect("a time")),
            to: Some("2026-01-01T03:00:00Z".parse().expect("a time")),
            ..ours
        };
        both.same(
            &format!("history {extra}"),
            &theirs,
            recorded.get_queue_stats("q", &ours).await,
        );
    }
    let later = StatsOptions {
        from: Some(Utc::now()),
        ..StatsOptions::default()
    };
    assert_eq!(recorded.get_queue_stats("q", &later).await.expect("read"), []);
}

async fn the_schema_and_its_keys(release: Release) {
    let both = Both::new(release).await;
    let client = &both.client;
    both.same(
        "isInstalled",
        &both.boss("isInstalled", json!([])).await,
        client.is_installed().await,
    );
    both.same(
        "schemaVersion",
        &both.boss("schemaVersion", json!([])).await,
        client.schema_version().await,
    );
    let elsewhere = strawboss::Client::new(client.database().clone(), "nowhere_at_all");
    assert!(!elsewhere.is_installed().await.expect("asked"));
    assert_eq!(elsewhere.schema_version().await.expect("asked"), None);
    // Node has registered itself in its own schema.
    let instances = strawboss::Client::new(client.database().clone(), &both.theirs.name)
        .get_instances()
        .await;
    if both.version() == 46 {
        let ours = serde_json::to_value(instances.expect("read")).expect("JSON");
        let theirs = both.boss("getInstances", json!([])).await;
        let row = |told: &Value| told[0].as_object().cloned().expect("it has registered");
        let (theirs, ours) = (row(&theirs), row(&ours));
        assert!(theirs.keys().all(|key| ours.contains_key(key)), "{theirs:?} {ours:?}");
        for key in [
            "id",
            "name",
            "host",
            "pid",
            "version",
            "supervise",
            "config",
            "startedOn",
            "stoppedOn",
        ] {
            assert_eq!(theirs.get(key), ours.get(key), "{key}");
        }
    } else {
        let refused = instances.expect_err("no such table").to_string();
        assert!(refused.contains("needs pg-boss 12.36 or later"), "{refused}");
    }
    if both.version() < 35 {
        let refused = client
            .get_blocked_keys("q", None, None)
            .await
            .expect_err("no such policy");
        assert!(
            refused.to_string().contains("needs pg-boss 12.10 or later"),
            "{refused}"
        );
        let refused = client.get_bam_status().await.expect_err("no such table");
        assert!(refused.to_string().contains("needs pg-boss 12.6 or later"), "{refused}");
        return;
    }
    both.same(
        "getBamStatus",
        &both.boss("getBamStatus", json!([])).await,
        client.get_bam_status().await,
    );
    both.queue("q", json!({"policy": "key_strict_fifo"})).await;
    both.queue("other", json!({})).await;
    let failed = |n, key| job(n, json!({"singleton_key": key, "state": "failed"}));
    both.jobs(
        "q",
        [failed(1, "b"), failed(2, "a"), job(3, json!({"singleton_key": "c"}))],
    )
    .await;
    let mut theirs = both.boss("getBlockedKeys", json!(["q"])).await;
    theirs.as_array_mut().expect("a list").sort_by_key(Value::to_string);
    both.same(
        "getBlockedKeys",
        &theirs,
        client.get_blocked_keys("q", None, None).await,
    );
    assert_eq!(
        client.get_blocked_keys("q", Some(1), Some("a")).await.expect("read"),
        ["b"]
    );
    for queue in ["other", "none"] {
        let theirs = both.pair.boss.call("getBlockedKeys", json!([queue])).await;
        let (theirs, ours) = both.refused(queue, theirs, client.get_blocked_keys(queue, None, None).await);
        assert_eq!(theirs, ours);
    }
}

on_releases!(every: jobs_found_and_fetched, statistics, the_schema_and_its_keys);
