//! Settles what is not known: a connection that broke while an op was on its way.
//!
//! A host that was lost is reached again, and the op is asked for again. Ops find what the first try did by what it carries: a
//! start its containers by its token, a switch its table, a shipment its layers; what is so already is adopted. Only a command
//! cannot be looked for, so it is never repeated.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Call, Executor, Outcome, Urgency, intend::made};
use crate::{
    failure::{Failure, FailureKind},
    model::{HostName, Period},
    op::{Class, Inverse, Op, Pause},
};

/// How long a lost host is tried again, where the command line does not say it.
pub const PATIENCE: Period = Period::seconds(30);

/// The first wait before a host is tried again; each is twice the one before it.
const FIRST: Period = Period::milliseconds(500);
/// The longest.
const LONGEST: Period = Period::seconds(5);

/// Lets the executor within do what it is asked for, and again where a host was lost meanwhile.
pub struct Settle<E> {
    inner: E,
    patience: Period,
    /// Hosts that have done something in this run and were not given up since: they are waited for.
    reached: Mutex<BTreeSet<HostName>>,
}

impl<E: Executor> Settle<E> {
    /// Settles what `inner` leaves in doubt; a lost host is given up after `patience`, or after what its call says.
    pub const fn new(inner: E, patience: Period) -> Self {
        Self { inner, patience, reached: Mutex::new(BTreeSet::new()) }
    }

    fn reached(&self) -> MutexGuard<'_, BTreeSet<HostName>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ops for a host do not wait for it as long again, nor does what is read from it at the end.
    fn give_up(&self, host: Option<&HostName>) {
        if let Some(host) = host {
            self.reached().remove(host);
            self.inner.give_up(host);
        }
    }

    /// The failure with what takes back the part of a start that an earlier try, which was lost, has made: only its host knows that, by
    /// its token.
    fn with_what_was_made(&self, call: &Call, failure: Failure) -> Failure {
        let Op::Start(op) = &*call.op else { return failure };
        match made(self, call, op) {
            Ok(made) => Failure { inverse: all_made(failure.inverse.to_vec(), made.into()).into(), ..failure },
            Err(_) => failure.in_doubt(),
        }
    }

    /// Waits before a host is tried again: an op too, so that a model's clock goes on.
    fn rest(&self, call: &Call, period: Period) -> Result<(), Failure> {
        self.inner.perform(&call.with(Pause { period })).map(drop)
    }
}

impl<E: Executor> Executor for Settle<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        let (mut rest, mut rested, mut since) = (FIRST, Period::default(), None);
        let (mut inverse, mut was_lost, mut was_sent, mut half_done) = (Inverse::default(), false, false, false);
        let mut asked_again = false;
        let mut first: Option<String> = None;
        let mut without = BTreeSet::new();
        let patience = call.reconnect.unwrap_or(self.patience);
        loop {
            let failure = match self.inner.perform(call) {
                Ok(outcome) => {
                    if !matches!(*call.op, Op::Reachable(_)) {
                        self.reached().extend(call.op.hosts().into_iter().map(|host| host.name.clone()));
                    }
                    // What the first try took away, the last one did not find any more.
                    if was_lost {
                        inverse = both(call.op.class(), inverse, call.foreseen.clone());
                    }
                    return Ok(Outcome { inverse: both(call.op.class(), inverse, outcome.inverse), ..outcome });
                }
                Err(failure) => failure,
            };
            inverse = both(call.op.class(), inverse, failure.inverse.clone());
            // What was on its way may have been done, whatever the next try says.
            if was_lost && !failure.lost {
                inverse = both(call.op.class(), inverse, call.foreseen.clone());
            }
            was_lost |= failure.lost;
            was_sent |= !failure.not_sent;
            // What was deleted nothing brings back, and no try knows of it but that which was lost.
            half_done |= failure.half_done || was_lost && call.op.deletes();
            let failure = Failure { inverse: inverse.clone(), half_done, not_sent: !was_sent, ..failure };
            // What a start made that was lost only its host knows, by its token, and which statements are done the database.
            let is_known_there = matches!(&*call.op, Op::Start(_)) || matches!(&*call.op, Op::Sql(op) if op.undo.is_some());
            let is_open = was_lost && failure.kind == FailureKind::Unreachable && inverse.is_empty() && is_known_there;
            let failure = if is_open { failure.in_doubt() } else { failure };
            // Why the host cannot be reached does not tell what was on its way when it was lost.
            let failure = match &first {
                Some(first) if *first != failure.message => failure.detail("it began with", first),
                _ => failure,
            };
            first.get_or_insert_with(|| failure.message.clone());
            let host = failure.host.as_ref().or_else(|| call.op.host().map(|host| &host.name)).cloned();
            let known = host.as_ref().is_some_and(|host| self.reached().contains(host));
            if failure.kind != FailureKind::Unreachable {
                // A database keeps which statements the lost try has done: what kept this one from looking may have passed.
                let is_kept_by_its_database = matches!(&*call.op, Op::Sql(op) if op.undo.is_some()) && inverse.is_empty();
                if was_lost && is_kept_by_its_database && !asked_again && call.cancellation.urgency() == Urgency::None {
                    asked_again = true;
                    continue;
                }
                return Err(if was_lost { self.with_what_was_made(call, failure) } else { failure });
            }
            if call.op.is_known_by_its_answer_only() && failure.lost {
                return Err(unanswered(call, failure));
            }
            // A page that does not answer is tried again for as long as it has time; a host that is lost, as long as any.
            let patience = match &*call.op {
                Op::HttpGet(op) if failure.is_silent => patience.min(op.timeout),
                _ => patience,
            };
            let since = *since.get_or_insert_with(Instant::now);
            let is_over = !(was_lost || known) || rested >= patience || since.elapsed() >= patience.duration();
            if is_over {
                self.give_up(host.as_ref());
                // What is done elsewhere may not need a host that only had a say in it.
                let is_elsewhere = |host: &HostName| call.op.hosts().iter().all(|needed| needed.name != *host);
                if host.is_some_and(|host| is_elsewhere(&host) && without.insert(host)) {
                    continue;
                }
                return Err(failure);
            }
            call.progress.doing(&format!("{}; trying again", failure.message));
            // Whoever ends the run has not said that the host stays away: the undo waits for it anew.
            if call.cancellation.urgency() > Urgency::None || self.rest(call, rest).is_err() {
                return Err(failure);
            }
            rested = plus(rested, rest);
            rest = plus(rest, rest).min(LONGEST);
        }
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.inner.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.inner.reach_again();
    }

    fn give_up(&self, host: &HostName) {
        self.inner.give_up(host);
    }
}

fn plus(one: Period, other: Period) -> Period {
    Period::milliseconds(one.as_milliseconds() + other.as_milliseconds())
}

/// What takes back an op that was tried twice. A change that took something away knows what that was by its first try; of the
/// second, what is about other hosts counts. What a create made is in both.
pub(super) fn both(class: Class, first: Inverse, second: Inverse) -> Inverse {
    if class == Class::Create {
        return all_made(first.to_vec(), second).into();
    }
    if first.is_empty() || second.is_empty() {
        return if first.is_empty() { second } else { first };
    }
    let is_new = |op: &Op| !first.iter().any(|known| known.host().map(|host| &host.name) == op.host().map(|host| &host.name));
    let more: Vec<Op> = second.iter().filter(|op| is_new(op)).cloned().collect();
    let mut all = first.clone();
    all.extend(more);
    all
}

/// The ops of both, those of one kind on one host as one that is about the containers of both.
fn all_made(mut first: Vec<Op>, second: Inverse) -> Vec<Op> {
    for mut op in second {
        let is_same = |known: &&mut Op| known.verb() == op.verb() && known.host() == op.host();
        match (first.iter_mut().find(is_same).and_then(Op::containers_mut), op.containers_mut()) {
            (Some(known), Some(more)) => {
                more.retain(|container| !known.contains(container));
                known.append(more);
            }
            _ => first.push(op),
        }
    }
    first
}

fn unanswered(call: &Call, failure: Failure) -> Failure {
    let what = format!("{}, and nobody knows whether `{}` {} was done", failure.message, call.op.verb(), call.op.describe());
    let stopped = Failure { kind: FailureKind::Interrupted, message: what, hints: Vec::new(), ..failure };
    stopped.from(&call.origin).hint("it is not done again by itself: find out, then say so to `podlift resume`")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        executor::{Cancellation, RunInfo},
        failure::Origin,
        model::{Check, ContainerName, Health, Host, Key, ProjectName, RunId, ServiceName, Shared, Version},
        op::{CommandLine, Forget, Hook, HttpGet, HttpTarget, Invocation, Place, Record, Start},
    };

    /// Fails as often as it is told to, with a lost connection.
    struct Shaky {
        losses: Mutex<usize>,
        asked: Mutex<Vec<&'static str>>,
        given_up: Mutex<Vec<String>>,
        inverse: bool,
    }

    impl Executor for Shaky {
        fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
            self.asked.lock().expect("nobody panics").push(call.op.verb());
            let mut losses = self.losses.lock().expect("nobody panics");
            if matches!(*call.op, Op::Pause(_)) || *losses == 0 {
                return Ok(Outcome::of(()));
            }
            *losses -= 1;
            let inverse = self.inverse.then(|| Op::from(forget()));
            Err(Failure::new(FailureKind::Unreachable, "the connection to h1 was lost").lost().undone_by(inverse))
        }

        fn give_up(&self, host: &HostName) {
            self.given_up.lock().expect("nobody panics").push(host.to_string());
        }
    }

    fn shaky(losses: usize) -> Shaky {
        Shaky { losses: Mutex::new(losses), asked: Mutex::default(), given_up: Mutex::default(), inverse: false }
    }

    fn forget() -> Forget {
        let (host, service) = (Host::parse("h1").expect("valid"), ServiceName::new("web").expect("valid"));
        let (run, version) = (RunId::new("r1").expect("valid"), Version::new("v1").expect("valid"));
        Forget { host, project: ProjectName::default(), service, run, version }
    }

    fn call(op: impl Into<Shared<Op>>) -> Call {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "me@here".into(), started: "2026-01-01T00:00:00Z".into() };
        Call::new(op, Key::call("", 1), Origin { file: "deploy.rhai".into(), line: 1, column: 1 }, Arc::new(run))
    }

    fn start() -> Start {
        let health = Health::new(Check::Tcp);
        serde_json::from_value(serde_json::json!({
            "host": forget().host, "project": "shop", "reference": "shop-web:v1", "digest": "", "version": "v1", "replicas": 3,
            "service": {
                "name": "web", "image": "shop-web", "replicas": 3, "health": health, "restart": "no", "stop_timeout": Period::seconds(10),
                "listen": 80,
            },
        }))
        .expect("a start")
    }

    fn note() -> Call {
        let Forget { host, project, service, version, .. } = forget();
        call(Record { host, project, service, version, image: "i:v1".into() })
    }

    #[test]
    fn what_was_found_done_at_the_second_try_is_taken_back_as_was_foreseen_before_the_first() {
        let settle = Settle::new(shaky(1), PATIENCE);
        let foreseen: Inverse = vec![Op::from(forget())].into();
        let outcome = settle.perform(&Call { foreseen: foreseen.clone(), ..note() }).expect("the second try");
        assert_eq!(outcome.inverse, foreseen);
        let outcome = settle.perform(&Call { foreseen, ..note() }).expect("the first try");
        assert!(outcome.inverse.is_empty(), "it knows best itself: {:?}", outcome.inverse);
    }

    #[test]
    fn what_was_on_its_way_is_asked_for_again_and_what_the_first_try_did_can_be_taken_back() {
        let settle = Settle::new(Shaky { inverse: true, ..shaky(2) }, PATIENCE);
        let outcome = settle.perform(&note()).expect("the third try");
        assert_eq!(*outcome.inverse, [Op::from(forget())]);
        assert_eq!(*settle.inner.asked.lock().expect("nobody panics"), ["record", "pause", "record", "pause", "record"]);
        assert!(settle.inner.given_up.lock().expect("nobody panics").is_empty());
    }

    #[test]
    fn a_script_says_how_long_a_host_is_tried_again() {
        let tries = |reconnect| {
            let settle = Settle::new(shaky(100), PATIENCE);
            settle.perform(&Call { reconnect, ..note() }).expect_err("it stays away");
            let asked = settle.inner.asked.lock().expect("nobody panics");
            asked.iter().filter(|verb| **verb == "record").count()
        };
        // Half a second, then twice that.
        assert_eq!(tries(Some(Period::milliseconds(500))), 2);
        assert_eq!(tries(Some(Period::milliseconds(1500))), 3);
        assert!(tries(None) > 3 && tries(Some(Period::seconds(300))) > tries(None));
    }

    #[test]
    fn a_page_that_does_not_answer_is_tried_again_for_as_long_as_it_may_take() {
        struct Refusing(Mutex<usize>);

        impl Executor for Refusing {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                if matches!(*call.op, Op::Pause(_)) {
                    return Ok(Outcome::of(()));
                }
                *self.0.lock().expect("nobody panics") += 1;
                Err(Failure::silent("/", &ContainerName::new("shop-web-v1-1").expect("valid")).on(&forget().host.name))
            }
        }
        let host = forget().host;
        let container = ContainerName::new("shop-web-v1-1").expect("valid");
        let target = HttpTarget::Container { host: host.clone(), container, address: "127.0.0.1".into(), port: 20000, path: "/".into() };
        let page = HttpGet { target, timeout: Period::seconds(2), assume: None, assume_body: None };
        let settle = Settle::new(Refusing(Mutex::new(0)), PATIENCE);
        settle.reached().insert(host.name.clone());
        settle.perform(&call(page)).expect_err("it refuses");
        // At once, and after 0.5, 1.5 and 3.5 s.
        assert_eq!(*settle.inner.0.lock().expect("nobody panics"), 4);
    }

    #[test]
    fn what_was_on_its_way_and_failed_at_the_second_try_may_have_been_done() {
        struct LostThenFailed(Mutex<usize>);

        impl Executor for LostThenFailed {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                if matches!(*call.op, Op::Pause(_)) {
                    return Ok(Outcome::of(()));
                }
                let mut tries = self.0.lock().expect("nobody panics");
                *tries += 1;
                let lost = Failure::new(FailureKind::Unreachable, "the connection to h1 was lost").lost();
                Err(if *tries == 1 { lost } else { Failure::failed("the disk is full") })
            }
        }
        let foreseen: Inverse = vec![Op::from(forget())].into();
        let settle = Settle::new(LostThenFailed(Mutex::new(0)), PATIENCE);
        let failure = settle.perform(&Call { foreseen: foreseen.clone(), ..note() }).expect_err("the second try fails");
        assert_eq!(failure.inverse, foreseen);
        let settle = Settle::new(LostThenFailed(Mutex::new(1)), PATIENCE);
        assert_eq!(settle.perform(&Call { foreseen, ..note() }).expect_err("the first try fails").inverse.len(), 0, "it has done nothing");
    }

    #[test]
    fn what_several_tries_of_a_start_made_is_all_taken_back() {
        /// Loses its connection behind the first container, and finds that one when it is asked again.
        struct Starting(Mutex<usize>);

        impl Executor for Starting {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                let Op::Start(op) = &*call.op else { return Ok(Outcome::of(())) };
                let name = |replica| ContainerName::new(format!("shop-web-v1-{}-{replica}", call.token)).expect("valid");
                let mut tries = self.0.lock().expect("nobody panics");
                *tries += 1;
                match *tries {
                    1 => Err(Failure::new(FailureKind::Unreachable, "lost").lost().undone_by(op.inverse(vec![name(1)]))),
                    2 => Err(Failure::new(FailureKind::Unreachable, "lost").lost().undone_by(op.inverse(vec![name(2)]))),
                    _ => Ok(Outcome::of(()).undone_by(op.inverse(vec![name(1), name(2), name(3)]))),
                }
            }
        }
        let call = call(start());
        let outcome = Settle::new(Starting(Mutex::new(0)), PATIENCE).perform(&call).expect("the third try");
        assert_eq!(outcome.inverse.len(), 3, "drain, stop, remove");
        for mut op in outcome.inverse {
            let containers = op.containers_mut().expect("about containers");
            containers.sort();
            let replicas: Vec<_> =
                containers.iter().map(|name| name.as_str().rsplit_once('-').map_or("", |(_, replica)| replica)).collect();
            assert_eq!(replicas, ["1", "2", "3"]);
        }
    }

    #[test]
    fn a_host_that_stays_away_is_given_up() {
        let settle = Settle::new(shaky(1000), PATIENCE);
        let failure = settle.perform(&note()).expect_err("it stays away");
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(settle.reached().is_empty());
        assert_eq!(*settle.inner.given_up.lock().expect("nobody panics"), ["h1"]);
        // 0.5 + 1 + 2 + 4 + 5 × 5: the model's clock, which no test waits for.
        assert_eq!(settle.inner.asked.lock().expect("nobody panics").iter().filter(|verb| **verb == "pause").count(), 9);
    }

    #[test]
    fn what_is_done_elsewhere_is_tried_once_more_without_a_host_that_is_given_up() {
        /// Waits for h1 and h2 to confirm their leases until they are given up.
        #[derive(Default)]
        struct Waiting {
            given_up: Mutex<Vec<String>>,
            last: Option<Failure>,
        }

        impl Executor for Waiting {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                if matches!(*call.op, Op::Pause(_)) {
                    return Ok(Outcome::of(()));
                }
                let given_up = self.given_up.lock().expect("nobody panics");
                let silent = ["h1", "h2"].into_iter().find(|host| given_up.iter().all(|known| known != host));
                let failure = |host: &str| Failure::new(FailureKind::Unreachable, format!("{host} does not say")).on(&name(host));
                silent.map(failure).or_else(|| self.last.clone()).map_or_else(|| Ok(Outcome::of(())), Err)
            }

            fn give_up(&self, host: &HostName) {
                self.given_up.lock().expect("nobody panics").push(host.to_string());
            }
        }

        fn name(host: &str) -> HostName {
            Host::parse(host).expect("valid").name.clone()
        }

        let command = CommandLine::Program(vec!["migrate".into()]);
        let here = |place| {
            let invocation = Invocation {
                place,
                command: command.clone(),
                env: [].into(),
                stdin: None,
                timeout: Period::seconds(1),
                check: true,
                name: None,
                assume: None,
            };
            call(Hook { invocation, undo: None, lease: None })
        };
        let settle = |last| {
            let settle = Settle::new(Waiting { last, ..Waiting::default() }, PATIENCE);
            settle.reached().insert(name("h1"));
            settle
        };
        settle(None).perform(&here(Place::Local)).expect("neither is needed for it");
        let silent = Failure::new(FailureKind::Unreachable, "nobody says").on(&name("h2"));
        let failure = settle(Some(silent)).perform(&here(Place::Local)).expect_err("without them it cannot be done either");
        assert_eq!(failure.message, "nobody says");
        let there = Place::Host { host: Host::parse("h1").expect("valid") };
        assert_eq!(settle(None).perform(&here(there)).expect_err("h1 is needed for it").host, Some(name("h1")));
    }

    #[test]
    fn what_had_been_at_work_for_long_when_its_host_was_lost_is_tried_again_all_the_same() {
        struct Slow(Mutex<usize>);

        impl Executor for Slow {
            fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
                if matches!(*call.op, Op::Pause(_)) {
                    return Ok(Outcome::of(()));
                }
                *self.0.lock().expect("nobody panics") += 1;
                if *self.0.lock().expect("nobody panics") > 1 {
                    return Ok(Outcome::of(()));
                }
                std::thread::sleep(PATIENCE_OF_A_TEST.duration());
                Err(Failure::new(FailureKind::Unreachable, "the connection to h1 was lost").lost())
            }
        }
        const PATIENCE_OF_A_TEST: Period = Period::milliseconds(20);
        Settle::new(Slow(Mutex::new(0)), PATIENCE_OF_A_TEST).perform(&note()).expect("its host is there again");
    }

    #[test]
    fn a_command_is_never_repeated() {
        let place = Place::Host { host: Host::parse("h1").expect("valid") };
        let command = CommandLine::Program(vec!["migrate".into()]);
        let invocation =
            Invocation { place, command, env: [].into(), stdin: None, timeout: Period::seconds(1), check: true, name: None, assume: None };
        let settle = Settle::new(shaky(1), PATIENCE);
        let failure = settle.perform(&call(Hook { invocation, undo: None, lease: None })).expect_err("nobody knows");
        assert_eq!(failure.kind, FailureKind::Interrupted);
        assert!(failure.message.contains("nobody knows whether `hook` migrate was done"), "{}", failure.message);
        assert_eq!(*settle.inner.asked.lock().expect("nobody panics"), ["hook"]);
    }

    #[test]
    fn a_run_that_is_told_to_stop_does_not_wait_for_a_host() {
        let settle = Settle::new(shaky(1000), PATIENCE);
        let cancellation = Cancellation::default();
        cancellation.request(Urgency::Finish);
        settle.perform(&Call { cancellation, ..note() }).expect_err("it is lost");
        assert_eq!(*settle.inner.asked.lock().expect("nobody panics"), ["record"]);
        assert!(settle.inner.given_up.lock().expect("nobody panics").is_empty(), "the undo asks for it again");
    }
}
