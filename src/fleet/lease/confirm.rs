//! Whether a run's leases are still its own, for what no host has a say in.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::super::{Connection, Fleet};
use crate::{
    executor::Call,
    failure::{Failure, FailureKind},
    model::{HostName, ProjectName, ServiceName},
};

/// How long what hosts have said of their leases counts between the parts of what takes long.
const CONFIRMED: Duration = Duration::from_secs(1);

/// What the leases are confirmed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// For a change.
    Forth,
    /// For what takes a change back.
    Back,
}

/// A lease as far as it is known after its host was asked.
struct Asked {
    host: HostName,
    project: ProjectName,
    service: ServiceName,
    /// Whether it may have run out since the host has said that it is there.
    may_have_run_out: bool,
    /// Whether nobody waits for the host any longer.
    is_given_up: bool,
}

impl Way {
    /// What this call needs them for.
    fn of(call: &Call) -> Self {
        if call.key.is_undo() { Self::Back } else { Self::Forth }
    }
}

impl Fleet {
    /// Asks every host that this process has leases on whether they are still its own, for what this call does.
    ///
    /// # Errors
    /// Where one is another's by now; where the host does not say and one may have run out meanwhile, too. A host that was given up
    /// need not say so where another one does, of the same service: whoever takes a service over takes it on all of its hosts. It
    /// does not keep from being taken back what was done.
    pub async fn confirm_leases(&self, call: &Call) -> Result<(), Failure> {
        // Where the renewal in the background has met it first, nothing is left to ask about.
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        let connections = self.connections().into_iter().filter(|connection| connection.leases().renewal().is_some());
        // Each is judged when its own host has answered: a dead one takes longer than a short lease lasts.
        let confirmed = |connection: Arc<Connection>| async move { connection.confirm().await.map(|()| asked(&connection)) };
        let answers: Vec<Vec<Asked>> = join_all(connections.map(confirmed)).await.into_iter().collect::<Result<_, Failure>>()?;
        let asked: Vec<Asked> = answers.into_iter().flatten().collect();
        let Some(Asked { host, service, .. }) = unconfirmed(&asked, Way::of(call)) else { return Ok(()) };
        let message = format!("{host} does not say whether the lease of {service} is still this run's, and it may have run out");
        Err(Failure::new(FailureKind::Unreachable, message).on(host))
    }

    /// The same between the parts of what takes long: where all hosts have just said so, none is asked again.
    pub async fn confirm_leases_again(&self, call: &Call) -> Result<(), Failure> {
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        if self.connections().iter().all(|connection| connection.leases().are_confirmed(CONFIRMED)) {
            return Ok(());
        }
        self.confirm_leases(call).await
    }

    /// Whether another run may have a lease of this one by now, as far as is known without asking.
    pub fn may_have_lost_leases(&self, call: &Call) -> bool {
        let asked: Vec<Asked> = self.connections().iter().flat_map(|connection| asked(connection)).collect();
        self.lost().is_some() || unconfirmed(&asked, Way::of(call)).is_some()
    }
}

/// The leases that were taken through a connection, as far as they are known now.
fn asked(connection: &Connection) -> Vec<Asked> {
    let (host, is_given_up) = (&connection.host().name, connection.is_given_up());
    let kept = connection.leases().kept().into_iter();
    kept.map(|(project, service, may_have_run_out)| Asked { host: host.clone(), project, service, may_have_run_out, is_given_up }).collect()
}

/// The first lease of which has to be known more than is.
fn unconfirmed(asked: &[Asked], way: Way) -> Option<&Asked> {
    let is_same = |one: &Asked, other: &Asked| one.project == other.project && one.service == other.service;
    let is_confirmed = |lease: &Asked| asked.iter().any(|other| !other.may_have_run_out && is_same(lease, other));
    let can_do_without = |lease: &Asked| lease.is_given_up && (way == Way::Back || is_confirmed(lease));
    asked.iter().find(|lease| lease.may_have_run_out && !can_do_without(lease))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease that its host has confirmed, or has not.
    fn lease(host: &str, service: &str, is_confirmed: bool) -> Asked {
        Asked {
            host: HostName::new(host).expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new(service).expect("valid"),
            may_have_run_out: !is_confirmed,
            is_given_up: false,
        }
    }

    fn dead(host: &str, service: &str) -> Asked {
        Asked { is_given_up: true, ..lease(host, service, false) }
    }

    fn told(asked: &[Asked]) -> [Option<&str>; 2] {
        [Way::Forth, Way::Back].map(|way| unconfirmed(asked, way).map(|lease| lease.host.as_str()))
    }

    #[test]
    fn a_host_that_was_given_up_need_not_confirm_what_another_one_confirms() {
        assert_eq!(told(&[lease("h1", "web", true), lease("h2", "web", true)]), [None, None]);
        assert_eq!(told(&[lease("h1", "web", true), dead("h3", "web")]), [None, None]);
        assert_eq!(told(&[lease("h1", "web", true), dead("h3", "jobs")]), [Some("h3"), None], "it may be another's by now");
        assert_eq!(told(&[dead("h1", "web"), dead("h3", "web")]), [Some("h1"), None]);
    }

    #[test]
    fn a_host_that_is_still_waited_for_has_to_confirm_its_lease() {
        assert_eq!(told(&[lease("h1", "web", true), lease("h3", "web", false)]), [Some("h3"), Some("h3")]);
        assert_eq!(told(&[dead("h1", "web"), lease("h3", "web", false)]), [Some("h1"), Some("h3")]);
    }
}
