//! Leases on hosts: files that only one of several runs can change at a time, by the host's own clock.
//!
//! Nothing on a host checks a lease, so whoever takes one over first ends the session of whoever had it; and a connection that
//! is opened anew renews the leases that its run has before anything else goes through it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::{join_all, try_join_all};
use jiff::Timestamp;

use super::{Connection, Fleet, Request};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, Lease, Period, ProjectName, RunId, RunInfo, ServiceName},
    op::{Lock, Locking, Release, Unlock},
};

const SCRIPT: &str = include_str!("scripts/lease.sh");

/// The folder in which the folders of leases are: every user may make one there, and a reboot leaves it.
const BASE: &str = "/var/tmp";

/// How long a change of a lease may take; the end of another's session is in it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The lease of a service where an op does not say how long it lasts.
const LASTING: Period = Period::seconds(60);

/// The leases that this process has on one host.
#[derive(Default)]
pub struct Leases(Mutex<Vec<Holding>>);

/// One of them.
#[derive(Clone, Debug)]
struct Holding {
    project: ProjectName,
    service: ServiceName,
    run: RunId,
    owner: String,
    purpose: String,
    lasting: Period,
    lost: Option<Failure>,
    /// Whether the host has said that it is there. Where it has not, it is given back all the same, and never renewed.
    known: bool,
    /// When the host was asked for it, the last time that it said so: by a clock that goes on while the machine sleeps.
    confirmed: SystemTime,
}

impl Holding {
    fn is(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.project == *project && self.service == *service
    }

    const fn is_kept(&self) -> bool {
        self.known && self.lost.is_none()
    }

    /// Whether it may have run out since the host said that it is there.
    fn may_have_run_out(&self) -> bool {
        self.is_kept() && self.confirmed.elapsed().is_ok_and(|elapsed| elapsed >= self.lasting.duration())
    }
}

impl Leases {
    /// Why nothing may be changed there any longer, if another run has taken a lease over.
    pub fn lost(&self) -> Option<Failure> {
        self.held().into_iter().find_map(|holding| holding.lost)
    }

    /// How soon they have to be renewed; `None` where there is none.
    pub fn renewal(&self) -> Option<Duration> {
        let lasting = self.held().into_iter().filter(Holding::is_kept).map(|holding| holding.lasting.duration()).min()?;
        Some(lasting / 3)
    }

    /// The words that renew each of them, as a host's `sh` takes them.
    pub(super) fn renewals(&self, host: &Host, holder: &str) -> Vec<Renewal> {
        let held = self.held().into_iter().filter(Holding::is_kept);
        let renewal = |holding| Renewal { words: words("renew", BASE, host, &holding, holder, None), holding, asked: SystemTime::now() };
        held.map(renewal).collect()
    }

    /// The service whose lease may have run out meanwhile, if there is one.
    pub fn run_out(&self) -> Option<ServiceName> {
        self.held().into_iter().find(Holding::may_have_run_out).map(|holding| holding.service)
    }

    /// Takes note of what a host said to a renewal. Fails where the lease is another's by now.
    pub(super) fn renewed(&self, host: &Host, renewal: &Renewal, output: &str) -> Result<(), Failure> {
        let Holding { project, service, .. } = &renewal.holding;
        let lease = match Answer::read(output) {
            Answer::Lost(lease) => lease,
            Answer::Done | Answer::Taken => {
                self.change(project, service, |holding| holding.confirmed = renewal.asked);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let who = match lease {
            Some(lease) => format!("the run {} of {} has taken the lease of {service} on {} over", lease.run, lease.owner, host.name),
            None => format!("the lease of {service} on {} was taken from this run", host.name),
        };
        let failure = Failure::new(FailureKind::Locked, who)
            .on(&host.name)
            .hint("this run changes nothing there any more; see what the other one does");
        self.change(project, service, |holding| holding.lost = Some(failure.clone()));
        Err(failure)
    }

    fn change(&self, project: &ProjectName, service: &ServiceName, change: impl Fn(&mut Holding)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter_mut().filter(|holding| holding.is(project, service)).for_each(change);
    }

    fn held(&self) -> Vec<Holding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, holding: Holding) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| !known.is(&holding.project, &holding.service));
        all.push(holding);
    }

    /// Whether this lease was taken, or may have been.
    pub fn has(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.held().iter().any(|holding| holding.is(project, service))
    }

    fn take_out(&self, project: &ProjectName, service: &ServiceName) -> Option<Holding> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|holding| holding.is(project, service))?;
        Some(all.remove(index))
    }
}

/// The renewal of a lease: what is sent, and what it is about.
pub(super) struct Renewal {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    holding: Holding,
    asked: SystemTime,
}

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
        Ok(Answer::Taken) => {
            connection.leases().add(Holding { known: true, ..holding });
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
    let words = ["sh", "-c", SCRIPT, "podlift", "list", BASE, &connection.host().docker, place(connection.host()), project.as_str()];
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

/// What a host says of a lease.
#[derive(Debug)]
enum Answer {
    Taken,
    Done,
    Changed,
    /// Who has it, and which process that is.
    Held(Lease, String),
    Lost(Option<Lease>),
    Error(String),
}

impl Answer {
    fn read(output: &str) -> Self {
        let mut lines = output.lines();
        let (word, rest) = lines.next().map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        let record = || {
            let service = ServiceName::new("unknown").ok()?;
            let record = Record::read(&lines.clone().collect::<Vec<_>>());
            Some((record.lease(service, rest.parse().ok()?)?, record.holder))
        };
        match word {
            "taken" => Self::Taken,
            "done" => Self::Done,
            "changed" => Self::Changed,
            "held" => record().map_or_else(|| Self::Error("the lease cannot be read".into()), |(lease, holder)| Self::Held(lease, holder)),
            "lost" => Self::Lost(record().map(|(lease, _)| lease)),
            _ => Self::Error(if word == "error" { rest.to_owned() } else { output.to_owned() }),
        }
    }

    fn of(self, service: &ServiceName) -> Self {
        let named = |lease: Lease| Lease { service: service.clone(), ..lease };
        match self {
            Self::Held(lease, holder) => Self::Held(named(lease), holder),
            Self::Lost(lease) => Self::Lost(lease.map(named)),
            other => other,
        }
    }
}

/// A lease's file, as far as it can be read.
#[derive(Debug, Default)]
struct Record {
    generation: u64,
    state: String,
    run: String,
    holder: String,
    owner: String,
    purpose: String,
    since: i64,
    expires: i64,
}

impl Record {
    fn read(lines: &[&str]) -> Self {
        let mut record = Self::default();
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let value = value.trim();
            match key {
                "generation" => record.generation = value.parse().unwrap_or_default(),
                "state" => value.clone_into(&mut record.state),
                "run" => value.clone_into(&mut record.run),
                "holder" => value.clone_into(&mut record.holder),
                "owner" => value.clone_into(&mut record.owner),
                "purpose" => value.clone_into(&mut record.purpose),
                "since" => record.since = value.parse().unwrap_or_default(),
                "expires" => record.expires = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
        record
    }

    /// The lease that it is at this time of the host's; `None` where it is free.
    fn lease(&self, service: ServiceName, now: i64) -> Option<Lease> {
        let left = match self.state.as_str() {
            "held" => false,
            "left" => true,
            _ => return None,
        };
        let seconds = |count: i64| Period::seconds(u64::try_from(count).unwrap_or_default().min(u64::from(u32::MAX)));
        Some(Lease {
            service,
            run: RunId::new(self.run.clone()).ok()?,
            owner: self.owner.clone(),
            purpose: self.purpose.clone(),
            since: Timestamp::from_second(self.since).map_or_else(|_| "an unknown time".into(), |since| since.to_string()),
            age: seconds(now.saturating_sub(self.since)),
            remaining: if left { Period::default() } else { seconds(self.expires.saturating_sub(now)) },
            left,
            generation: self.generation,
        })
    }
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

/// What tells this process from every other one: the machine since its start, the namespace of processes, the process and its start.
pub fn holder() -> String {
    let process = std::process::id();
    match (machine(), start_of(process)) {
        (Some(machine), Some(start)) => format!("{machine}/{process}/{start}"),
        // Hashers are keyed at random.
        _ => format!("{:016x}", RandomState::new().build_hasher().finish()),
    }
}

/// Whether the process with this name is known not to run any more.
fn is_gone(holder: &str) -> bool {
    let mut parts = holder.rsplitn(3, '/');
    let (start, process, there) = (parts.next(), parts.next().and_then(|process| process.parse().ok()), parts.next());
    match (start, process, there) {
        (Some(start), Some(process), Some(there)) => machine().as_deref() == Some(there) && start_of(process).as_deref() != Some(start),
        _ => false,
    }
}

fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace: String = namespace.to_str()?.chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}-{namespace}", boot.trim()))
}

/// When a process began, in ticks since the machine's start.
fn start_of(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1;
    let mut fields = fields.split(' ');
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18).map(ToOwned::to_owned)
}

/// The words of a command about a lease.
fn words(verb: &str, base: &str, host: &Host, holding: &Holding, holder: &str, generation: Option<u64>) -> Vec<String> {
    let Holding { project, service, run, owner, purpose, lasting, .. } = holding;
    let seconds = lasting.duration().as_secs().max(1).to_string();
    let generation = generation.map_or_else(String::new, |generation| generation.to_string());
    [
        "sh",
        "-c",
        SCRIPT,
        "podlift",
        verb,
        base,
        &host.docker,
        place(host),
        project.as_str(),
        service.as_str(),
        run.as_str(),
        holder,
        &seconds,
    ]
    .into_iter()
    .map(ToOwned::to_owned)
    .chain([one_line(owner), one_line(purpose), generation])
    .collect()
}

fn place(host: &Host) -> &'static str {
    if host.is_local() { "local" } else { "ssh" }
}

/// A line of at most 200 characters.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(200).collect()
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "the script is what is tested")]
mod tests {
    use std::process::Command;

    use super::*;

    /// The script on this machine, below a folder of the test's own.
    struct Here {
        base: tempfile::TempDir,
        host: Host,
    }

    impl Here {
        fn new() -> Self {
            let mut host = Host::parse("local").expect("valid");
            host.docker = "/nowhere/docker.sock".into();
            Self { base: tempfile::tempdir().expect("a folder"), host }
        }

        fn base(&self) -> &str {
            self.base.path().to_str().expect("it is plain")
        }

        fn holding(run: &str) -> Holding {
            Holding {
                project: ProjectName::new("shop").expect("valid"),
                service: ServiceName::new("web").expect("valid"),
                run: RunId::new(run).expect("valid"),
                owner: "ann@desk".into(),
                purpose: "deploy.rhai 'version=v2' $(id)".into(),
                lasting: Period::seconds(60),
                lost: None,
                known: true,
                confirmed: SystemTime::now(),
            }
        }

        /// What the script says.
        fn says(&self, verb: &str, run: &str, holder: &str, seconds: u64, generation: Option<u64>) -> String {
            let holding = Holding { lasting: Period::seconds(seconds), ..Self::holding(run) };
            Self::run(&words(verb, self.base(), &self.host, &holding, holder, generation))
        }

        fn run(words: &[String]) -> String {
            let output = Command::new(&words[0]).args(&words[1..]).output().expect("there is sh");
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        }

        fn answers(&self, verb: &str, run: &str, holder: &str) -> String {
            self.says(verb, run, holder, 60, None).split_whitespace().next().unwrap_or_default().to_owned()
        }

        /// Lets the lease run out.
        fn expire(&self) {
            for entry in std::fs::read_dir(self.folder()).expect("a folder").flatten() {
                let text = std::fs::read_to_string(entry.path()).expect("a lease");
                let lines = text.lines().map(|line| if line.starts_with("expires ") { "expires 1\n".into() } else { format!("{line}\n") });
                std::fs::write(entry.path(), lines.collect::<String>()).expect("written");
            }
        }

        fn folder(&self) -> std::path::PathBuf {
            std::fs::read_dir(self.base.path()).expect("a folder").flatten().next().expect("it was made").path()
        }
    }

    #[test]
    fn one_run_at_a_time_has_a_lease() {
        let here = Here::new();
        assert_eq!(here.answers("take", "r1", "a"), "taken");
        assert_eq!(here.answers("take", "r1", "a"), "taken", "its own once more");
        let said = here.says("take", "r2", "b", 60, None);
        let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
        assert_eq!(
            (lease.run.as_str(), lease.owner.as_str(), lease.purpose.as_str()),
            ("r1", "ann@desk", "deploy.rhai 'version=v2' $(id)")
        );
        assert!(lease.is_in_force() && lease.age <= Period::seconds(60) && lease.generation == 2, "{lease:?}");
        assert_eq!(here.answers("renew", "r1", "a"), "taken");
        assert_eq!(here.answers("renew", "r2", "b"), "lost");
        assert_eq!(here.answers("free", "r2", "b"), "lost", "another's is not given back");
        assert_eq!(here.answers("free", "r1", "a"), "done");
        assert_eq!(here.answers("take", "r2", "b"), "taken");
        assert_eq!(std::fs::read_dir(here.folder()).expect("a folder").count(), 1, "one file is left");
    }

    #[test]
    fn another_process_of_the_same_run_takes_over_only_what_ran_out_or_was_left() {
        let here = Here::new();
        assert_eq!(here.answers("take", "r1", "a"), "taken");
        assert_eq!(here.answers("take", "r1", "b"), "held");
        assert_eq!(here.answers("left", "r1", "a"), "done");
        let said = here.says("take", "r2", "c", 60, None);
        let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
        assert!(lease.left && !lease.is_in_force());
        assert_eq!(here.answers("take", "r1", "b"), "taken");
    }

    #[test]
    fn a_lease_that_ran_out_is_not_free_until_it_is_given_up() {
        let here = Here::new();
        // Its session is no process that can be ended: not this test's own.
        assert_eq!(here.answers("take", "r1", "a"), "taken");
        here.expire();
        let said = here.says("take", "r2", "b", 60, None);
        let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
        assert!(!lease.left && !lease.is_in_force());
        let file = std::fs::read_dir(here.folder()).expect("a folder").flatten().next().expect("a lease").path();
        let text = std::fs::read_to_string(&file).expect("a lease");
        let lines = text.lines().map(|line| if line.starts_with("session ") { "session -\n".into() } else { format!("{line}\n") });
        std::fs::write(file, lines.collect::<String>()).expect("written");
        assert_eq!(here.says("break", "x", "x", 60, Some(lease.generation + 1)).trim(), "changed");
        assert_eq!(here.says("break", "x", "x", 60, Some(lease.generation)).trim(), "done");
        assert_eq!(here.answers("renew", "r1", "a"), "lost");
        assert_eq!(here.answers("take", "r2", "b"), "taken");
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let here = Here::new();
        let taken = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|number| format!("r{number}")).collect();
            let asked: Vec<_> = runs
                .into_iter()
                .map(|run| {
                    scope.spawn({
                        let here = &here;
                        move || here.answers("take", &run, &run)
                    })
                })
                .collect();
            asked.into_iter().map(|thread| thread.join().expect("it ends")).filter(|answer| answer == "taken").count()
        });
        assert_eq!(taken, 1);
    }

    #[test]
    fn taking_over_ends_the_session_that_had_it() {
        let here = Here::new();
        assert_eq!(here.answers("take", "r1", "a"), "taken");
        here.expire();
        let mut stale = Command::new("sleep").arg("60").spawn().expect("there is sleep");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", stale.id())).expect("it runs");
        let began = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)).expect("its start");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("it is Linux");
        let file = std::fs::read_dir(here.folder()).expect("a folder").flatten().next().expect("a lease").path();
        let text = std::fs::read_to_string(&file).expect("a lease");
        let with = |session: &str| -> String {
            text.lines()
                .map(|line| if line.starts_with("session ") { format!("session {session}\n") } else { format!("{line}\n") })
                .collect()
        };
        // A process that began at another time is another one.
        std::fs::write(&file, with(&format!("{} 1 {boot}", stale.id()))).expect("written");
        assert_eq!(here.answers("take", "r1", "b"), "taken");
        assert!(stale.try_wait().expect("it is ours").is_none());
        std::fs::write(here.folder().join("shop@web@99"), with(&format!("{} {began} {boot}", stale.id()))).expect("written");
        assert_eq!(here.answers("take", "r1", "c"), "taken");
        assert!(!stale.wait().expect("it is ours").success());
    }

    #[test]
    fn the_next_process_of_a_run_takes_over_from_one_that_is_known_to_be_gone() {
        let here = Here::new();
        assert_eq!(here.answers("take", "r1", "m/1/2"), "taken");
        let mut words = words("take", here.base(), &here.host, &Here::holding("r1"), "b", None);
        words.push("m/1/3".into());
        assert!(Here::run(&words).starts_with("held "), "another process was gone");
        let holder = holder();
        assert!(!is_gone(&holder) && !is_gone("m/1/2") && !is_gone("") && !is_gone("0123456789abcdef"));
        let (machine, _) = holder.rsplit_once('/').and_then(|(rest, start)| Some((rest.rsplit_once('/')?.0, start))).expect("it is Linux");
        assert!(is_gone(&format!("{machine}/{}/1", std::process::id())), "the number is another process's by now");
    }

    #[test]
    fn what_a_stranger_wrote_is_no_lease() {
        for text in ["", "state held", "state held\nrun a b\n", "state held\nrun r1;id\nsince x\n", "state odd\nrun r1\n"] {
            let record = Record::read(&text.lines().collect::<Vec<_>>());
            assert_eq!(record.lease(ServiceName::new("web").expect("valid"), 10), None, "{text:?}");
        }
    }
}
