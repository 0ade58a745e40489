//! Which jobs a claim leaves alone, because others of their key or group run.

use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use strawboss::claim::Terms;

use super::{Pair, id, job, on_releases};
use crate::support::Release;

on_releases!(every: policies);
on_releases!(from_12: strict_fifo, groups);

/// The keys of six jobs. Which of a key's jobs a batch brings is left to the database's sort by pg-boss, and to age by
/// us; up to six rows that sort keeps the order they come in.
const KEYS: [Option<&str>; 6] = [Some("a"), Some("a"), Some("b"), None, Some("b"), None];

async fn policies(release: Release) {
    let pair = Pair::new(release).await;
    let keyed = |keys: &[Option<&str>]| {
        (1u32..)
            .zip(keys)
            .map(|(n, key)| job(n, json!({"singleton_key": key})))
            .collect::<Vec<_>>()
    };

    pair.queue("standard", json!({})).await;
    pair.jobs("standard", keyed(&KEYS)).await;
    pair.both_take("standard", 5, &[1, 2, 3, 4, 5]).await;
    pair.both_take("standard", 5, &[6]).await;

    pair.queue("short", json!({"policy": "short"})).await;
    pair.jobs("short", keyed(&[Some("a"), Some("b"), None])).await;
    pair.jobs("short", [job(4, json!({"state": "retry", "singleton_key": "a"}))])
        .await;
    pair.both_take("short", 3, &[1, 2, 3]).await;
    pair.both_take("short", 3, &[4]).await;

    for policy in ["singleton", "stately"] {
        // One of a key at a time; stately has room for two queued ones only as created and retry.
        pair.queue(policy, json!({"policy": policy})).await;
        let mut seen = std::collections::HashSet::new();
        let rows = (1u32..).zip(&KEYS).map(|(n, key)| {
            let state = if seen.insert(key) { "created" } else { "retry" };
            job(n, json!({"singleton_key": key, "state": state}))
        });
        pair.jobs(policy, rows.collect::<Vec<_>>().into_iter().rev()).await;
        pair.both_take(policy, 10, &[1, 3, 4]).await;
        let finish =
            format!("update {{schema}}.job set state = 'completed' where name = '{policy}' and state = 'active'");
        // Whoever holds a key hides the others of it: live from pg-boss 12.36 on, and for us everywhere.
        if pair.version() >= 44 {
            pair.both_take(policy, 10, &[]).await;
            pair.execute(&format!("{finish} and singleton_key = 'a'")).await;
            pair.both_take(policy, 10, &[2]).await;
            pair.execute(&finish).await;
            pair.both_take(policy, 10, &[5, 6]).await;
        } else {
            pair.we_take(policy, 10, &[]).await;
            pair.execute(&finish).await;
            pair.both_take(policy, 10, &[2, 5, 6]).await;
        }

        // Older releases know who holds a key from a list in the queue's row, which a supervisor keeps; version 10 does
        // not know, and a fetch that meets such a key brings nothing at all.
        let held = format!("held-{policy}");
        pair.queue(&held, json!({"policy": policy})).await;
        let row = |n: u32, key: &str, state: &str| job(n, json!({"singleton_key": key, "state": state}));
        pair.jobs(
            &held,
            [row(1, "a", "active"), row(2, "a", "created"), row(3, "b", "created")],
        )
        .await;
        if release == Release::V10_4_2 {
            assert_eq!(
                pair.they_fetch(&held, json!({"batchSize": 1})).await,
                Vec::<String>::new()
            );
            pair.we_take(&held, 1, &[3]).await;
            pair.theirs
                .execute(&format!(
                    "delete from {{schema}}.job where name = '{held}' and id = '{}'",
                    id(2)
                ))
                .await;
            assert_eq!(pair.they_fetch(&held, json!({"batchSize": 1})).await, [id(3)]);
            pair.ours
                .execute(&format!(
                    "delete from {{schema}}.job where name = '{held}' and id = '{}'",
                    id(2)
                ))
                .await;
        } else {
            pair.execute(&format!(
                "update {{schema}}.queue set singletons_active = '{{{{a}}}}' where name = '{held}'"
            ))
            .await;
            pair.both_take(&held, 1, &[3]).await;
        }
    }

    if pair.version() >= 26 {
        pair.queue("exclusive", json!({"policy": "exclusive"})).await;
        pair.jobs("exclusive", keyed(&[Some("a"), Some("b"), None])).await;
        pair.both_take("exclusive", 2, &[1, 2]).await;
        pair.both_take("exclusive", 2, &[3]).await;
    }

    pair.assert_equal("after claims under policies", &[]).await;
}

async fn strict_fifo(release: Release) {
    let pair = Pair::new(release).await;
    pair.queue("fifo", json!({"policy": "key_strict_fifo"})).await;
    let keyed = |n: u32, key: &str, columns: Value| {
        let mut row = job(n, columns);
        row["singleton_key"] = json!(key);
        row
    };
    let later = "2090-01-01T00:00:00Z";
    pair.jobs(
        "fifo",
        [
            keyed(1, "two", json!({})),
            keyed(2, "two", json!({"priority": 9})),
            // A job that failed for good holds its key.
            keyed(3, "failed", json!({"state": "failed"})),
            keyed(4, "failed", json!({})),
            // One that is tried again goes first, even if an older one has become due meanwhile.
            keyed(5, "retried", json!({})),
            keyed(6, "retried", json!({"state": "retry"})),
            // Until its delay is over nothing else of the key runs.
            keyed(7, "delayed", json!({"state": "retry", "start_after": later})),
            keyed(8, "delayed", json!({})),
            // One that was sent for later holds nothing up.
            keyed(9, "deferred", json!({"start_after": later})),
            keyed(10, "deferred", json!({})),
            keyed(11, "active", json!({"state": "active"})),
            keyed(12, "active", json!({})),
            keyed(13, "blocked", json!({"blocked": true})),
            keyed(14, "blocked", json!({})),
        ],
    )
    .await;
    let rounds = [(2, &[1, 6][..]), (10, &[10, 14]), (10, &[])];
    let finish = "update {schema}.job set state = 'completed' where name = 'fifo' and state = 'active'";
    let after = [(1, &[2][..]), (10, &[5, 12])];
    if pair.version() >= 38 {
        for (limit, expected) in rounds {
            pair.both_take("fifo", limit, expected).await;
        }
        pair.execute(finish).await;
        for (limit, expected) in after {
            pair.both_take("fifo", limit, expected).await;
        }
        pair.assert_equal("after claims in strict order", &[]).await;
    } else {
        // Before pg-boss 12.28 only the unique index keeps the order: a fetch that meets a held key brings nothing, and
        // whoever is first by priority goes first. We do on those schemas what later releases do.
        for (limit, expected) in rounds {
            pair.we_take("fifo", limit, expected).await;
        }
        pair.ours.execute(finish).await;
        for (limit, expected) in after {
            pair.we_take("fifo", limit, expected).await;
        }
        pair.theirs
            .execute("delete from {schema}.job where id <> '00000000-0000-4000-8000-000000000001'")
            .await;
        assert_eq!(pair.they_fetch("fifo", json!({})).await, [id(1)]);
        pair.theirs.execute(finish).await;
        pair.ours
            .execute("delete from {schema}.job where id <> '00000000-0000-4000-8000-000000000001'")
            .await;
        pair.assert_equal("after claims in strict order", &[]).await;
    }
}

async fn groups(release: Release) {
    let pair = Pair::new(release).await;
    let member = |n: u32, group: Option<&str>, tier: Option<&str>, state: &str| {
        job(n, json!({"group_id": group, "group_tier": tier, "state": state}))
    };
    let limited = |limit: i32, tiers: Option<Value>| Terms {
        group_limit: Some(limit),
        group_tiers: tiers.map(|tiers| to_raw_value(&tiers).expect("JSON")),
        ..Terms::default()
    };
    let rows = || {
        vec![
            member(1, Some("g"), None, "created"),
            member(2, Some("g"), None, "created"),
            member(3, Some("g"), None, "created"),
            member(4, Some("h"), Some("gold"), "created"),
            member(5, Some("h"), Some("gold"), "created"),
            member(6, Some("h"), Some("gold"), "created"),
            member(7, None, None, "created"),
            member(8, Some("busy"), None, "active"),
            member(9, Some("busy"), None, "created"),
            member(10, Some("busy"), None, "created"),
            member(11, None, Some("gold"), "created"),
            member(12, Some("i"), Some("tin"), "created"),
            member(13, Some("i"), Some("tin"), "created"),
        ]
    };

    pair.queue("one", json!({})).await;
    pair.jobs("one", rows()).await;
    for (limit, expected) in [(1, &[1][..]), (4, &[4, 7]), (10, &[11, 12]), (10, &[])] {
        pair.both_claim(
            "one",
            limit,
            json!({"groupConcurrency": 1}),
            &limited(1, None),
            expected,
        )
        .await;
    }

    pair.queue("two", json!({})).await;
    pair.jobs("two", rows()).await;
    for (limit, expected) in [(20, &[1, 2, 4, 5, 7, 9, 11, 12, 13][..]), (20, &[])] {
        pair.both_claim(
            "two",
            limit,
            json!({"groupConcurrency": 2}),
            &limited(2, None),
            expected,
        )
        .await;
    }

    pair.queue("tiers", json!({})).await;
    pair.jobs("tiers", rows()).await;
    let tiers = json!({"gold": 3, "silver": 5});
    let options = json!({"groupConcurrency": {"default": 1, "tiers": tiers}});
    for (limit, expected) in [(3, &[1][..]), (20, &[4, 5, 6, 7, 11, 12]), (20, &[])] {
        pair.both_claim(
            "tiers",
            limit,
            options.clone(),
            &limited(1, Some(tiers.clone())),
            expected,
        )
        .await;
    }

    // Both a policy and a limit: first one of each key, then so many of each group.
    pair.queue("both", json!({"policy": "singleton"})).await;
    let keyed = [("a", "g"), ("a", "g"), ("b", "g"), ("c", "g"), ("d", "h")];
    let rows = (1u32..)
        .zip(keyed)
        .map(|(n, (key, group))| job(n, json!({"singleton_key": key, "group_id": group})));
    pair.jobs("both", rows).await;
    pair.both_claim(
        "both",
        10,
        json!({"groupConcurrency": 2}),
        &limited(2, None),
        &[1, 3, 5],
    )
    .await;

    pair.assert_equal("after claims within groups", &[]).await;
}
