//! Jobs run by Rust functions: typed payloads, retries, and a dead letter queue.
//!
//! It needs a database with pg-boss in it. Where there is none yet:
//!
//! ```sh
//! export DATABASE_URL=postgres://localhost/app
//! strawboss schema install
//! cargo run --example rust_worker        # Ctrl-C ends it
//! ```

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strawboss::lifecycle::Report;
use strawboss::postgres::Settings;
use strawboss::{
    Config, Context, Database, Dialect, HandlerError, Job, QueueName, QueueOptions, SendOptions, Worker, enqueue,
    handler,
};

const QUEUE: &str = "invoice";
const DEAD: &str = "invoice-dead";

#[derive(Serialize, Deserialize)]
struct Invoice {
    customer: String,
    cents: i64,
}

#[derive(Serialize)]
struct Charged {
    receipt: String,
}

/// Charges a customer. It may run more than once for the same invoice, always under the same job id: whatever it does
/// in the world should be told that id.
async fn charge(job: Job<Invoice>, context: Context) -> Result<Charged, HandlerError> {
    let Invoice { customer, cents } = &job.data;
    if *cents <= 0 {
        return Err(HandlerError::never_retry("nothing to charge").named("InvoiceError"));
    }
    if customer == "grace" && job.attempt.retry_count == 0 {
        return Err(HandlerError::retry_after("the bank is busy", Duration::from_secs(1)));
    }
    // Any error is a reason to try again, so `?` does what one expects.
    let receipt = tokio::select! {
        receipt = ask_the_bank(&job) => receipt?,
        // The worker stops, or somebody cancelled the job: what was begun can be ended in good order.
        () = context.cancelled.cancelled() => return Err(HandlerError::retry("cut off")),
    };
    println!(
        "{customer} paid {cents} cents on attempt {}",
        job.attempt.retry_count + 1
    );
    Ok(Charged { receipt })
}

async fn ask_the_bank(job: &Job<Invoice>) -> Result<String, std::io::Error> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(format!("receipt-{}", job.id()))
}

/// Sends three invoices: one that succeeds, one that needs a second attempt, one that can never succeed.
async fn send_invoices(database: &Database, schema: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut client = database.client().await?;
    // What the schema can do is read once; every statement is written for exactly that.
    let dialect = Dialect::read(&client, schema).await?;
    let queue = QueueName::from(QUEUE);
    let options = QueueOptions {
        retry_limit: Some(3),
        retry_delay: Some(Duration::from_secs(1)),
        retry_backoff: Some(true),
        dead_letter: Some(QueueName::from(DEAD)),
        ..QueueOptions::default()
    };
    enqueue::ensure(&client, &dialect, &queue, &options).await?;

    // In a transaction of the app's own, the jobs are there if and only if the rest of it is.
    let transaction = client.transaction().await?;
    for (customer, cents) in [("ada", 1200), ("grace", 990), ("alan", 0)] {
        let invoice = Invoice {
            customer: customer.to_owned(),
            cents,
        };
        let data = serde_json::value::to_raw_value(&invoice)?;
        enqueue::send(&transaction, &dialect, &queue, Some(&data), &SendOptions::default()).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Sends the invoices and charges them until `stop` completes.
pub async fn work(
    config: Config,
    stop: impl Future<Output = ()> + Send,
) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let database = Database::new(&Settings::of(&config.database)?)?;
    send_invoices(&database, &config.database.schema).await?;

    let mut worker = Worker::new(config);
    worker.handle(QUEUE, handler::typed(charge));
    Ok(worker.run(stop).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // From ./strawboss.toml and DATABASE_URL, as the program `strawboss` has it; or `Config::default()`, filled in.
    let config = strawboss::config::read(&strawboss::config::Request::process()).into_config()?;
    let report = work(config, async { drop(tokio::signal::ctrl_c().await) }).await?;
    println!("{report}");
    Ok(())
}
