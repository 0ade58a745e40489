//! A schema installed by us, which only we look after.

use serde_json::json;
use strawboss::config::UpkeepConfig;
use strawboss::postgres::{Database, Settings};

use super::{keeping, we_supervise};
use crate::differential::Straw;
use crate::support::Schema;

/// A schema made by our own hand.
async fn installed() -> (Schema, Straw) {
    let schema = Schema::vacant().await;
    let database = Database::new(&Settings::parse(&schema.url).expect("a URL")).expect("a pool");
    strawboss::schema::install(&database, &schema.name)
        .await
        .expect("it is installed");
    let straw = Straw::on(&schema).await;
    (schema, straw)
}

const DAYS: &str = "select coalesce(json_agg(((now() at time zone 'UTC')::date - to_date(right(relname, 8), 'YYYYMMDD')) order by relname), '[]')
    from pg_class where relnamespace = '{schema}'::regnamespace and relname ~ '^queue_stats_[0-9]{8}$' and relkind = 'r'";

/// Moves everything that has a date in it into the past, partitions of the history included.
async fn days_pass(schema: &Schema, days: u32) {
    let back = format!("interval '{days} days'");
    for (table, columns) in [
        (
            "job",
            ["created_on", "start_after", "started_on", "completed_on", "keep_until"].as_slice(),
        ),
        (
            "queue",
            &[
                "monitor_on",
                "monitor_claim_on",
                "maintain_on",
                "delta_on",
                "retained_on",
            ],
        ),
        ("warning", &["created_on"]),
        ("version", &["flow_on", "bam_on", "reindex_on"]),
    ] {
        let set: Vec<_> = columns
            .iter()
            .map(|column| format!("{column} = {column} - {back}"))
            .collect();
        schema
            .execute(&format!("update {{schema}}.{table} set {}", set.join(", ")))
            .await;
    }
    schema
        .execute(&format!(
            "do $$ declare p record; begin
               create table {{schema}}.was as select * from {{schema}}.queue_stats;
               for p in select relname, to_date(right(relname, 8), 'YYYYMMDD') - {days} as day from pg_class
                   where relnamespace = '{{schema}}'::regnamespace and relname ~ '^queue_stats_[0-9]{{8}}$' and relkind = 'r' order by relname loop
                 execute format('drop table {{schema}}.%I', p.relname);
                 execute format('create table {{schema}}.%I partition of {{schema}}.queue_stats for values from (%L) to (%L)',
                   'queue_stats_' || to_char(p.day, 'YYYYMMDD'), p.day || ' 00:00:00+00', p.day + 1 || ' 00:00:00+00');
               end loop;
               insert into {{schema}}.queue_stats select (jsonb_populate_record(w, jsonb_build_object(
                 'captured_on', w.captured_on - {back}, 'delta_on', w.delta_on - {back}))).* from {{schema}}.was w;
               drop table {{schema}}.was;
             end $$"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_go_by_without_node() {
    let (schema, straw) = installed().await;
    schema
        .queue("q", json!({"deleteAfterSeconds": 86_400, "warningQueueSize": 2}))
        .await;
    let config = UpkeepConfig {
        warning_retention_days: 5,
        queue_stat_retention_days: 3,
        ..keeping()
    };
    for day in 0..6 {
        schema.jobs("q", 3).await;
        schema
            .execute("update {schema}.job set state = 'completed', deletion_seconds = 86400, started_on = now(), completed_on = now() where state = 'created' and data = '{\"n\": 1}'")
            .await;
        let done = we_supervise(&straw, &config).await;
        assert_eq!(done.counted.len(), 1, "day {day}");
        let days = schema.value(DAYS).await;
        let days: Vec<i64> = serde_json::from_value(days).expect("days");
        assert!(
            days.contains(&-1) && days.contains(&0),
            "today and tomorrow are there on day {day}: {days:?}"
        );
        assert!(
            days.iter().all(|past| *past <= 3),
            "what is older than three days is gone on day {day}: {days:?}"
        );
        let row = schema
            .row("select queued_count, total_count, monitor_on > now() - interval '1 minute' as fresh, array_length(ready_history, 1) as history from {schema}.queue")
            .await;
        assert_eq!(row["queued_count"], json!((day + 1) * 2), "day {day}");
        assert_eq!(
            (&row["fresh"], &row["history"]),
            (&json!(true), &json!(day + 1)),
            "day {day}: {row}"
        );
        // A finished job is kept for a day: that of today, and none of those before.
        let finished = "select count(*) as count from {schema}.job where state = 'completed'";
        assert_eq!(schema.value(finished).await, json!(1), "day {day}");
        let all = "select count(*) as count from {schema}.job";
        assert_eq!(row["total_count"], schema.value(all).await, "day {day}");
        if day < 5 {
            days_pass(&schema, 1).await;
        }
    }
    let snapshots = "select count(*) as count from {schema}.queue_stats";
    assert_eq!(schema.value(snapshots).await, json!(4), "of today and three days past");
    let warnings = "select count(*) as count from {schema}.warning where type = 'queue_backlog'";
    assert_eq!(
        schema.value(warnings).await,
        json!(5),
        "a day without a backlog, and one warning a day since"
    );
    days_pass(&schema, 1).await;
    we_supervise(&straw, &config).await;
    assert_eq!(schema.value(warnings).await, json!(5), "the oldest warning is gone");
}
