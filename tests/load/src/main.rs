//! What the end-to-end tests need besides hosts: a client that counts every request that a deploy drops, and a delay that puts
//! that client some milliseconds away, as loopback hides most of the drops.

mod client;
mod delay;
mod http;
mod summary;

use std::io::{self, Write};

use clap::Parser;

#[derive(Parser)]
#[command(name = "podlift-load", about, version)]
enum Command {
    /// Sends requests until told to stop, and prints a JSON summary that hides no failure
    Client(client::Options),
    /// Carries packets between the TUN devices of two network namespaces, each of them late
    Delay(delay::Options),
}

fn main() -> io::Result<()> {
    match Command::parse() {
        Command::Client(options) => {
            let table = options.table;
            let summary = client::run(options)?;
            let mut stdout = io::stdout().lock();
            if table {
                return write!(stdout, "{summary}");
            }
            serde_json::to_writer_pretty(stdout, &summary)?;
            Ok(())
        }
        Command::Delay(options) => delay::run(&options),
    }
}
