//! Section 4: register, unregister, list.

use std::future::ready;

use futures_util::future::join_all;
use serde_json::json;
use std::time::Duration;
use strawboss::events::{Backoff, Defaults, HandlerOptions, Handlers, Received, register, unregister};
use strawboss::handler::HandlerError;
use strawboss::home::Home;

use super::stage::{Order, Stage};
use crate::differential::Straw;
use crate::support::{Release, needs_node};

/// Sequential handlers of these names, in this order.
fn handlers(names: &[&str]) -> Handlers {
    let mut handlers = Handlers::new(Defaults {
        backoff: Backoff {
            first: Duration::from_millis(1500),
            ..Backoff::default()
        },
        ..Defaults::default()
    });
    for name in names {
        let options = HandlerOptions {
            handler_id: Some((*name).to_owned()),
            sequential: true,
            max_attempts: Some(7),
            ..HandlerOptions::of("inventory")
        };
        handlers
            .on(options, |_: Received<Order>, _| ready(Ok::<_, HandlerError>(())))
            .expect("registered");
    }
    handlers
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_the_same_however_often_and_by_however_many_it_is_done() {
    needs_node!();
    for release in Release::ALL {
        let stage = Stage::on(release).await;
        let straw = Straw::on(&stage.schema).await;
        let home = Home::new(&stage.app);
        let enter = async |handlers: &Handlers| {
            let mut client = straw.database.client().await.expect("a connection");
            register(&mut client, &straw.dialect, &home, handlers.list(), handlers.defaults())
                .await
                .unwrap_or_else(|error| panic!("pg-boss {release}: {error:?}"))
                .len()
        };
        let order = async || {
            let names = "select coalesce(jsonb_agg(handler_id order by place), '[]') from {schema}_own.event_handler";
            stage.schema.value(names).await
        };
        let all = handlers(&["a", "b", "c"]);
        let created: usize = join_all([&all, &all, &all].map(&enter)).await.into_iter().sum();
        assert_eq!(created, 3, "each queue is created once");
        assert_eq!(order().await, json!(["a", "b", "c"]));
        let subscribed = "select jsonb_agg(event || ' ' || name order by name) from {schema}.subscription";
        let expected = ["a", "b", "c"].map(|name| format!("payment:order.completed event.{name}"));
        assert_eq!(stage.schema.value(subscribed).await, json!(expected));
        let columns = if release == Release::V10_4_2 {
            ""
        } else {
            ", expire_seconds"
        };
        let queue = format!("select retry_limit, retry_backoff{columns} from {{schema}}.queue where name = 'event.a'");
        let queue = stage.schema.row(&queue).await;
        assert_eq!(
            (&queue["retry_limit"], &queue["retry_backoff"]),
            (&json!(7), &json!(true))
        );

        // Another process knows of two, one of them new; a third has them the other way round.
        enter(&handlers(&["d", "b"])).await;
        assert_eq!(order().await, json!(["a", "d", "c", "b"]));
        enter(&handlers(&["c", "a"])).await;
        assert_eq!(order().await, json!(["c", "d", "a", "b"]));

        // One that turned to another event hears no more of the one before.
        let mut moved = Handlers::default();
        let options = HandlerOptions {
            handler_id: Some("d".into()),
            ..HandlerOptions::of("inventory")
        };
        moved
            .register_kind(
                "order.cancelled",
                options,
                strawboss::handler::raw(|_, _| ready(Ok(None))),
            )
            .expect("registered");
        enter(&moved).await;
        let of_d = "select jsonb_agg(event) from {schema}.subscription where name = 'event.d'";
        assert_eq!(stage.schema.value(of_d).await, json!(["order.cancelled"]));

        let mut client = straw.database.client().await.expect("a connection");
        for known in [true, false] {
            let done = unregister(&mut client, &straw.dialect, &home, "d").await;
            assert_eq!(done.expect("it is done"), known);
        }
        assert_eq!(order().await, json!(["c", "a", "b"]));
        let left = "select count(*) from {schema}.subscription where name = 'event.d'";
        assert_eq!(stage.schema.value(left).await, json!(0));
    }
}
