//! A release that is older than what is live, by the project's git history, is not deployed by mistake: it would undo what somebody
//! else has deployed meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    failure::Failure,
    model::Version,
    op::{Age, CompareVersions, Compared, Found, Start},
};

/// What is known of versions' ages in a run.
#[derive(Default)]
pub(super) struct Ages {
    is_allowed: bool,
    known: Mutex<BTreeMap<(Version, Vec<Version>), Compared>>,
}

impl Ages {
    /// With `is_allowed` an older release may be deployed.
    pub(super) fn new(is_allowed: bool) -> Self {
        Self { is_allowed, known: Mutex::default() }
    }

    /// Refuses to start what is older than what is live on its host; `read` asks git. Returns what is assumed where git does not
    /// know the commit of what is live. A copy of what runs elsewhere is as old as that.
    pub(super) fn is_not_older(
        &self,
        op: &Start,
        found: &Found,
        read: impl Fn(CompareVersions) -> Result<Compared, Failure>,
    ) -> Result<Option<String>, Failure> {
        let Start { host, service, version, .. } = op;
        let others: Vec<Version> = live(op, found).into_iter().filter(|live| *live != version).cloned().collect();
        if self.is_allowed || op.copy.is_some() || others.is_empty() {
            return Ok(None);
        }
        let asked = (version.clone(), others.clone());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&asked).cloned();
        let compared = match known {
            Some(compared) => compared,
            None => read(CompareVersions { version: version.clone(), others: others.clone() })?,
        };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, compared.clone());
        for (other, age) in others.iter().zip(&compared.others) {
            let Age::Older(by) = age else { continue };
            let commits = if *by == 1 { "1 commit".into() } else { format!("{by} commits") };
            let message = format!("{} {version} is older than {other}, which is live on {}, by {commits}", service.name, host.name);
            return Err(Failure::refused(message)
                .on(&host.name)
                .hint("deploy a newer commit; `podlift run --allow-older` deploys this one all the same")
                .hint("`std/rollback` goes back to a release that is kept, without a build"));
        }
        let unknown = others.iter().zip(&compared.others).find(|(_, age)| **age == Age::Unknown).filter(|_| compared.known);
        Ok(unknown.map(|(other, _)| format!("{version} is not older than {other}, which git does not know here")))
    }
}

/// The versions that have traffic on the host of a start; of a service without proxy, that run there.
fn live<'a>(op: &Start, found: &'a Found) -> BTreeSet<&'a Version> {
    let is_proxied = !op.service.proxies(std::slice::from_ref(&op.host)).is_empty();
    let containers = found.containers.iter().filter(|container| container.is_running());
    containers.filter(|container| !is_proxied || found.weights.contains_key(&container.name)).map(|container| &container.version).collect()
}
