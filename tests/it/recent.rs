//! What happened just now: failures and rates, whoever ran the jobs.

use std::time::Duration;

use serde_json::json;
use strawboss::Dialect;
use strawboss::inspect::{failures, figures, finished};
use strawboss::postgres::{Client, Database, Settings};

use crate::support::{Release, Schema, needs_node};

async fn connected(schema: &Schema) -> (Client, Dialect) {
    let settings = Settings::parse(&schema.url).expect("a URL").with_pool_size(1);
    let database = Database::new(&settings).expect("a pool");
    let client = database.client().await.expect("it answers");
    let dialect = Dialect::read(&client, &schema.name).await.expect("it is there");
    (client, dialect)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_by_its_message_and_by_nothing_else_of_the_job_on_every_schema() {
    needs_node!();
    for release in Release::ALL {
        let schema = Schema::new(release).await;
        for queue in ["q", "other"] {
            schema.queue(queue, json!({})).await;
            schema.jobs(queue, 5).await;
        }
        schema
            .execute(
                "update {schema}.job set
                   state = (case data->>'n' when '1' then 'retry' when '5' then 'active' else 'failed' end)::{schema}.job_state,
                   retry_count = 1,
                   started_on = now() - (data->>'n')::int * interval '1 min',
                   completed_on = case data->>'n' when '1' then null when '5' then null
                     else now() - (data->>'n')::int * interval '1 min' end,
                   output = case data->>'n'
                     when '1' then '{\"message\": \"no luck\"}' when '2' then '{\"value\": \"plain\"}'
                     when '3' then '{\"message\": {\"card\": 4242}}' else '{\"value\": {\"card\": 4242}}' end::jsonb
                 where name = 'q'",
            )
            .await;
        let (client, dialect) = connected(&schema).await;
        let of = async |queues: &[&str], limit| {
            let queues: Vec<_> = queues.iter().map(|queue| (*queue).to_owned()).collect();
            failures(&client, &dialect, &queues, limit)
                .await
                .expect("they are read")
        };
        let all = of(&["other", "q"], 10).await;
        let told: Vec<_> = all
            .iter()
            .map(|it| (it.retried, it.retry_count, it.message.as_str()))
            .collect();
        let expected = [
            (true, 1, "no luck"),
            (false, 1, "plain"),
            (false, 1, ""),
            (false, 1, ""),
        ];
        assert_eq!(told, expected, "pg-boss {release}");
        assert_eq!(of(&["q"], 2).await, all[..2], "pg-boss {release}");
        assert!(of(&["other", "none"], 10).await.is_empty(), "pg-boss {release}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_right_however_many_jobs_have_ended() {
    needs_node!();
    let schema = Schema::new(Release::NEWEST).await;
    for queue in ["fast", "slow"] {
        schema.queue(queue, json!({})).await;
    }
    // The clock stands still: 2000 jobs a second of the one for six seconds, one failure in five; three of the other.
    schema
        .execute(
            "create or replace function {schema}.job_now() returns timestamptz language sql stable as
               $$ select '2030-01-01T00:00:00Z'::timestamptz $$;
             insert into {schema}.job (name, state, completed_on)
             select 'fast', (case when n % 5 = 0 then 'failed' else 'completed' end)::{schema}.job_state,
               {schema}.job_now() - n * interval '500 us' from generate_series(1, 12000) n;
             insert into {schema}.job (name, state, completed_on)
             select 'slow', (case n when 2 then 'failed' when 3 then 'cancelled' else 'completed' end)::{schema}.job_state,
               {schema}.job_now() - n * interval '3 s' from generate_series(1, 5) n",
        )
        .await;
    let (mut client, dialect) = connected(&schema).await;
    let queues = ["slow", "none", "fast"].map(str::to_owned);
    let window = Duration::from_secs(10);
    let read = finished(&client, &dialect, &queues, window)
        .await
        .expect("they are read");
    let rates: Vec<_> = read
        .expect("an index leads there")
        .into_iter()
        .map(|it| (it.queue, it.completed.round(), (it.failed * 10.0).round()))
        .collect();
    let expected = [("fast", 1600.0, 4000.0), ("none", 0.0, 0.0), ("slow", 0.0, 1.0)];
    assert_eq!(
        rates,
        expected.map(|(queue, completed, failed)| (queue.to_owned(), completed, failed))
    );

    // Where no index leads there, what a supervisor has counted is all there is, as long as it is not old.
    for (age, rates) in [("1 min", Some((2.0, 0.1))), ("1 hour", None)] {
        schema
            .execute(&format!(
                "update {{schema}}.queue set completed_delta = 120, failed_delta = 6, delta_seconds = 60,
                   delta_on = {{schema}}.job_now() - interval '{age}' where name = 'slow'"
            ))
            .await;
        let read = figures(&mut client, &dialect).await.expect("they are read").queues;
        let [fast, slow] = read.as_slice() else {
            panic!("two queues: {read:?}");
        };
        assert_eq!((slow.rates, fast.rates), (rates, None), "{age}");
    }

    let schema = Schema::new(Release::V12_27_0).await;
    let (client, dialect) = connected(&schema).await;
    let read = finished(&client, &dialect, &queues, window)
        .await
        .expect("nothing is asked");
    assert_eq!(read, None);
}
