//! What a host says of a lease.

use jiff::Timestamp;

use crate::model::{Lease, Period, RunId, ServiceName};

/// What a host says of a lease.
#[derive(Debug)]
pub(super) enum Answer {
    /// The group whose folder it is in.
    Taken(u32),
    Done,
    Changed,
    /// Who has it, and which process that is.
    Held(Lease, String),
    Lost(Option<Lease>),
    Error(String),
}

impl Answer {
    pub(super) fn read(output: &str) -> Self {
        let mut lines = output.lines();
        let (word, rest) = lines.next().map_or(("", ""), |line| line.split_once(' ').unwrap_or((line, "")));
        let record = || {
            let service = ServiceName::new("unknown").ok()?;
            let record = Record::read(&lines.clone().collect::<Vec<_>>());
            Some((record.lease(service, rest.parse().ok()?)?, record.holder))
        };
        match word {
            "taken" => match rest.parse() {
                Ok(group) => Self::Taken(group),
                Err(_) => Self::Error("the folder of the lease has no number for its name".into()),
            },
            "done" => Self::Done,
            "changed" => Self::Changed,
            "held" => record().map_or_else(|| Self::Error("the lease cannot be read".into()), |(lease, holder)| Self::Held(lease, holder)),
            "lost" => Self::Lost(record().map(|(lease, _)| lease)),
            _ => Self::Error(if word == "error" { rest.to_owned() } else { output.to_owned() }),
        }
    }

    pub(super) fn of(self, service: &ServiceName) -> Self {
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
pub(super) struct Record {
    pub(super) generation: u64,
    state: String,
    run: String,
    pub(super) holder: String,
    owner: String,
    purpose: String,
    since: i64,
    expires: i64,
}

impl Record {
    pub(super) fn read(lines: &[&str]) -> Self {
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
    pub(super) fn lease(&self, service: ServiceName, now: i64) -> Option<Lease> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_groups_number() {
        assert!(matches!(Answer::read("taken 998\n"), Answer::Taken(998)));
        for said in ["taken", "taken ", "taken ../../etc", "taken 1;id", "taken -1", "taken 99999999999", "taken 1 2"] {
            assert!(matches!(Answer::read(said), Answer::Error(_)), "{said:?}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_is_no_lease() {
        for text in ["", "state held", "state held\nrun a b\n", "state held\nrun r1;id\nsince x\n", "state odd\nrun r1\n"] {
            let record = Record::read(&text.lines().collect::<Vec<_>>());
            assert_eq!(record.lease(ServiceName::new("web").expect("valid"), 10), None, "{text:?}");
        }
    }
}
