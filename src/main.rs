//! The program: parse, configure, start the runtime, exit code; nothing else.

use std::process::ExitCode;

use clap::Parser;
use strawboss::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}
