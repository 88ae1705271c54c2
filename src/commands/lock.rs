//! `podlift lock`

use serde::Serialize;

use super::{
    about::{self, About, spinner},
    exit::Exit,
    look::{self, tell_all},
};
use crate::{
    cli::{self, LockCommand},
    failure::{Failure, FailureKind},
    model::{Host, HostName, Lease, Period},
    op::{ReadLeases, Release, Unlock},
    terminal::{Printer, clean, style::Style, table::Table},
};

/// Shows leases, or gives them up.
pub fn run(options: &cli::Lock, printer: &Printer) -> Exit {
    match &options.what {
        LockCommand::Status(options) => status(options, printer),
        LockCommand::Release(options) => release(options, printer),
    }
}

/// The line about a lease that a run could not give back at its end.
pub fn not_given_back(failure: &Failure) -> String {
    let host = failure.host.as_ref().map(|host| format!("{host}: ")).unwrap_or_default();
    format!("! {host}the lease could not be given back and will run out: {}", clean::line(&failure.message))
}

/// A lease with its place.
#[derive(Serialize)]
struct Row {
    host: HostName,
    state: &'static str,
    #[serde(flatten)]
    lease: Lease,
    #[serde(skip)]
    address: Host,
}

fn status(options: &cli::LockStatus, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let (rows, failures) = leases(&about, printer);
    if options.json {
        printer.data(serde_json::json!(rows));
    } else if !rows.is_empty() {
        printer.data(table(&rows, printer.data_style()));
    } else if failures.is_empty() {
        printer.tell(format!("no run has a lease in the project {}", about.inventory.project));
    }
    about.outside.close();
    tell_all(&failures, printer)
}

fn release(options: &cli::LockRelease, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let (rows, mut failures) = leases(&about, printer);
    let meant = |row: &Row| options.services.is_empty() || options.services.contains(&row.lease.service);
    let (given, kept): (Vec<Row>, Vec<Row>) = rows.into_iter().filter(meant).partition(|row| options.force || !row.lease.is_in_force());
    failures.extend(kept.iter().map(in_force));
    let ops = given.iter().map(|row| Unlock {
        host: row.address.clone(),
        project: about.inventory.project.clone(),
        service: row.lease.service.clone(),
        release: Release::Broken { run: row.lease.run.clone(), generation: row.lease.generation },
    });
    let mut released = Vec::new();
    for (row, answer) in given.iter().zip(look::read(&about, spinner(printer), ops.collect())) {
        match answer {
            Ok(()) => released.push(row),
            Err(failure) => failures.push(failure.on(&row.host)),
        }
    }
    if options.json {
        printer.data(serde_json::json!(released));
    } else if released.is_empty() && failures.is_empty() {
        printer.tell(format!("no run has a lease in the project {}", about.inventory.project));
    }
    if !options.json {
        for row in released {
            printer.tell(format!(
                "{} {} on {} is free: the run {} had it",
                printer.style().good("✓"),
                row.lease.service,
                row.host,
                row.lease.run
            ));
        }
    }
    about.outside.close();
    tell_all(&failures, printer)
}

/// The leases on all hosts, and why some hosts could not be read.
fn leases(about: &About, printer: &Printer) -> (Vec<Row>, Vec<Failure>) {
    let hosts: Vec<&Host> = about.inventory.hosts.values().collect();
    let ops = hosts.iter().map(|host| ReadLeases { host: (*host).clone(), project: about.inventory.project.clone() });
    let answers = look::read(about, spinner(printer), ops.collect());
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (host, answer) in hosts.into_iter().zip(answers) {
        match answer {
            Ok(leases) => rows.extend(leases.into_iter().map(|lease| row(host, lease))),
            Err(failure) => failures.push(failure.on(&host.name)),
        }
    }
    (rows, failures)
}

fn row(host: &Host, lease: Lease) -> Row {
    let state = match (lease.left, lease.is_in_force()) {
        (true, _) => "left",
        (false, true) => "in force",
        (false, false) => "run out",
    };
    let lease = Lease { owner: clean::line(&lease.owner), purpose: clean::line(&lease.purpose), ..lease };
    Row { host: host.name.clone(), state, lease, address: host.clone() }
}

fn in_force(row: &Row) -> Failure {
    let Lease { service, run, owner, .. } = &row.lease;
    Failure::new(FailureKind::Locked, format!("{service} on {} is at work: the run {run} of {owner} has its lease", row.host))
        .on(&row.host)
        .hint("`--force` ends its session there and gives the lease up all the same")
}

fn table(rows: &[Row], style: Style) -> String {
    let whole_seconds = |period: Period| Period::seconds(period.as_milliseconds() / 1000).to_string();
    let mut table = Table::new(["HOST", "SERVICE", "LEASE", "RUN", "OWNER", "FOR", "SINCE"]);
    for row in rows {
        let Lease { service, run, owner, purpose, since, remaining, .. } = &row.lease;
        let state = match row.state {
            "in force" => format!("in force for {}", whole_seconds(*remaining)),
            state => state.to_owned(),
        };
        let words = [row.host.to_string(), service.to_string(), state, run.to_string(), owner.clone(), purpose.clone(), since.clone()];
        table.row(words);
    }
    table.render(style)
}
