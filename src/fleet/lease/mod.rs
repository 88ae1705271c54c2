//! Leases on hosts: files that only one of several runs can change at a time, by the host's own clock.
//!
//! Nothing on a host checks a lease, so whoever takes one over first ends the session of whoever had it; and a connection that
//! is opened anew renews the leases that its run has before anything else goes through it.

mod answer;
mod confirm;
mod held;
mod holder;
mod words;

use std::time::{Duration, SystemTime};

use futures_util::future::{join_all, try_join_all};

use self::{
    answer::{Answer, Record},
    held::Holding,
    holder::is_gone,
    words::{BASE, SCRIPT, place, words},
};
pub use self::{held::Leases, holder::holder};
use super::{Connection, Fleet, Request};
use crate::{
    failure::{Failure, FailureKind},
    model::{Lease, Period, ProjectName, RunInfo, ServiceName},
    op::{Lock, Locking, Release, Unlock},
};

/// How long a change of a lease may take; the end of another's session is in it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The lease of a service where an op does not say how long it lasts.
const LASTING: Period = Period::seconds(60);

/// Takes the leases of a service on all hosts, or none: they are looked for in order, so of two runs one has all.
pub async fn lock(fleet: &Fleet, op: &Lock, run: &RunInfo) -> Result<Locking, Failure> {
    let connections = try_join_all(op.hosts.iter().map(|host| fleet.host(host))).await?;
    let mut taken: Vec<&Connection> = Vec::new();
    for connection in connections.iter().map(AsRef::as_ref) {
        let held = match take(connection, fleet.holder(), op, run).await {
            Ok(None) => {
                taken.push(connection);
                continue;
            }
            held => held,
        };
        let back = taken.iter().map(|connection| give_back(connection, fleet.holder(), &op.project, &op.service, "free"));
        join_all(back).await;
        let lease = held?.ok_or_else(|| Failure::failed("a lease was neither taken nor held"))?;
        return Ok(Locking::Held { host: connection.host().name.clone(), lease: Box::new(lease) });
    }
    fleet.keep_leases();
    Ok(Locking::Taken)
}

/// Takes one; `None` where that succeeded, else whose it is.
async fn take(connection: &Connection, holder: &str, op: &Lock, run: &RunInfo) -> Result<Option<Lease>, Failure> {
    let holding = Holding {
        project: op.project.clone(),
        service: op.service.clone(),
        run: run.id.clone(),
        owner: run.operator.clone(),
        purpose: op.purpose.clone(),
        lasting: op.lasting.unwrap_or(LASTING),
        group: None,
        lost: None,
        known: false,
        confirmed: SystemTime::now(),
    };
    let mut words = words("take", BASE, connection.host(), &holding, holder, None);
    // Noted before it is known: a call that is given up in the middle may have taken it.
    connection.leases().add(holding.clone());
    let mut answer = ask(connection, &words, &op.service).await;
    if let Ok(Answer::Held(lease, former)) = &mut answer
        && is_gone(former)
    {
        // Nobody will renew it any more: it need not run out first.
        lease.remaining = Period::default();
        if lease.run == run.id {
            words.push(former.clone());
            answer = ask(connection, &words, &op.service).await;
        }
    }
    match answer {
        Ok(Answer::Taken(group)) => {
            connection.leases().add(Holding { known: true, group: Some(group), ..holding });
            Ok(None)
        }
        // The host may have done it all the same.
        Err(failure) if failure.is_uncertain() => Err(failure),
        other => {
            connection.leases().take_out(&op.project, &op.service);
            match other? {
                Answer::Held(lease, _) | Answer::Lost(Some(lease)) => Ok(Some(lease)),
                other => Err(unexpected(connection, &op.service, &other)),
            }
        }
    }
}

/// Gives a lease up.
pub async fn unlock(fleet: &Fleet, op: &Unlock, run: &RunInfo) -> Result<(), Failure> {
    let is_own = matches!(op.release, Release::Free | Release::Left);
    // A host that was never asked for it is not reached for that.
    if is_own && (fleet.lost_lease(&op.host).is_some() || !fleet.has_lease(&op.host, &op.project, &op.service)) {
        return Ok(());
    }
    let connection = fleet.host(&op.host).await?;
    match &op.release {
        Release::Free => give_back(&connection, fleet.holder(), &op.project, &op.service, "free").await,
        Release::Left => give_back(&connection, fleet.holder(), &op.project, &op.service, "left").await,
        Release::Broken { generation, .. } => {
            let holding = Holding {
                project: op.project.clone(),
                service: op.service.clone(),
                run: run.id.clone(),
                owner: run.operator.clone(),
                purpose: String::new(),
                lasting: LASTING,
                group: None,
                lost: None,
                known: true,
                confirmed: SystemTime::now(),
            };
            let words = words("break", BASE, &op.host, &holding, fleet.holder(), Some(*generation));
            match ask(&connection, &words, &op.service).await? {
                Answer::Done => Ok(()),
                Answer::Changed => Err(Failure::new(
                    FailureKind::Conflict,
                    format!("the lease of {} on {} has changed meanwhile", op.service, op.host.name),
                )
                .hint("look at it again with `podlift lock status`")),
                other => Err(unexpected(&connection, &op.service, &other)),
            }
        }
    }
}

async fn give_back(connection: &Connection, holder: &str, project: &ProjectName, service: &ServiceName, verb: &str) -> Result<(), Failure> {
    let Some(holding) = connection.leases().take_out(project, service) else { return Ok(()) };
    let words = words(verb, BASE, connection.host(), &holding, holder, None);
    match ask(connection, &words, service).await {
        Ok(Answer::Done | Answer::Lost(_)) => Ok(()),
        Ok(other) => Err(unexpected(connection, service, &other)),
        Err(failure) => {
            // The end of the run tries it again.
            connection.leases().add(Holding { known: false, ..holding });
            Err(failure)
        }
    }
}

/// Reads a project's leases on a host.
pub async fn list(connection: &Connection, project: &ProjectName) -> Result<Vec<Lease>, Failure> {
    let words = ["sh", "-c", SCRIPT, "podlift", "list", BASE, &connection.host().docker, place(connection.host()), "", project.as_str()];
    let output = connection.aside(Request::new(&words).timeout(TIMEOUT).called("the script for leases")).await?;
    let mut lines = output.stdout.lines();
    let now = lines.next().and_then(|line| line.strip_prefix("listed ")).and_then(|now| now.parse().ok());
    let Some(now) = now else {
        return Err(
            Failure::failed(format!("the leases on {} could not be read", connection.host().name)).detail("the host said", output.stderr)
        );
    };
    let text: Vec<&str> = lines.collect();
    let mut leases: Vec<(ServiceName, u64, Option<Lease>)> = Vec::new();
    for entry in text.split(|line| line.starts_with("service ")).skip(1).zip(text.iter().filter_map(|line| line.strip_prefix("service "))) {
        let (lines, service) = entry;
        let Ok(service) = ServiceName::new(service) else { continue };
        let record = Record::read(lines);
        let mut lease = record.lease(service.clone(), now);
        if let Some(lease) = lease.as_mut().filter(|_| is_gone(&record.holder)) {
            lease.remaining = Period::default();
        }
        match leases.iter_mut().find(|(known, ..)| *known == service) {
            Some(known) if known.1 < record.generation => *known = (service, record.generation, lease),
            Some(_) => {}
            None => leases.push((service, record.generation, lease)),
        }
    }
    Ok(leases.into_iter().filter_map(|(.., lease)| lease).collect())
}

async fn ask(connection: &Connection, words: &[String], service: &ServiceName) -> Result<Answer, Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = connection.aside(Request::new(&words).timeout(TIMEOUT).called("the script for leases")).await?;
    match (output.code, Answer::read(&output.stdout).of(service)) {
        (0, Answer::Error(words)) => Err(unkept(connection, service, words)),
        (0, answer) => Ok(answer),
        (_, _) => Err(unkept(connection, service, format!("{}{}", output.stdout, output.stderr))),
    }
}

fn unkept(connection: &Connection, service: &ServiceName, words: String) -> Failure {
    let host = &connection.host().name;
    Failure::failed(format!("the lease of {service} on {host} could not be changed")).on(host).detail("the host said", words)
}

fn unexpected(connection: &Connection, service: &ServiceName, answer: &Answer) -> Failure {
    unkept(connection, service, format!("{answer:?}"))
}

#[cfg(test)]
mod tests;
