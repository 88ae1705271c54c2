//! What a run that did not reach its end left on its hosts, beyond what serves.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::changes::{failed, kept};
use crate::{
    executor::{
        Recorded,
        ending::{Ending, Part},
        pending::since_commit,
    },
    failure::Origin,
    journal::Intent,
    model::{Key, RunId},
    op::Op,
    terminal::{clean, words},
};

/// All that is told of what a run left that was taken back, or was to be.
pub fn of_run(ending: Option<&Ending>, records: &[Recorded], begun: &[Intent], doubts: &[Intent]) -> Vec<String> {
    let ending = ending.map(lines).into_iter().flatten();
    let of_records = commands(records, begun).into_iter().chain(pruned(records));
    let half_pruned =
        half_pruned(records, doubts).map(|(_, op, _)| op).filter_map(|op| pruning(op, "was being pruned: what of it was deleted stays so"));
    ending.chain(of_records).chain(unanswered(begun)).chain(half_pruned).collect()
}

/// The same for programs, of each call of the run: what it did or may have done, and why nothing takes that back.
pub fn calls(run: &RunId, records: &[Recorded], unanswered: &[Intent], doubts: &[Intent]) -> Vec<Value> {
    let of = |why: &str, key: &Key, op: &Op, origin: &Origin| {
        let host = op.host().map(|host| &host.name);
        json!({ "run": run, "why": why, "key": key, "host": host, "verb": op.verb(), "op": op.canonical(), "origin": origin })
    };
    let of_record = |why, record: &Recorded| of(why, &record.key, &record.op, &record.origin);
    let of_intent = |why, Intent { asked, .. }: &Intent| of(why, &asked.key, &asked.op, &asked.origin);
    let kept = kept(records).map(|record| of_record("no_undo", record));
    let failed = answered(records, unanswered).map(|record| of_record("failed", record));
    let pruned = deleted(records).map(|record| of_record("pruned", record));
    let unanswered = unanswered.iter().map(|intent| of_intent("in_doubt", intent));
    let half_pruned = half_pruned(records, doubts).map(|(key, op, origin)| of("half_pruned", key, op, origin));
    kept.chain(failed).chain(pruned).chain(unanswered).chain(half_pruned).collect()
}

/// A line for each host on which old releases were deleted: that is no change of what serves, and nothing brings them back.
fn pruned(records: &[Recorded]) -> Vec<String> {
    deleted(records).filter_map(|record| pruning(&record.op, "was pruned and stays deleted")).collect()
}

/// The calls that deleted old releases and were not made final.
fn deleted(records: &[Recorded]) -> impl Iterator<Item = &Recorded> {
    let is_done = |record: &&Recorded| record.result.as_ref().is_ok_and(|outcome| !outcome.is_skipped());
    since_commit(records, "").into_iter().filter(is_done).filter(|record| matches!(*record.op, Op::Prune(_)))
}

/// The calls that deleted a part of old releases, or may have: those that failed in the middle, and those that were begun when nobody
/// was there any more.
fn half_pruned<'a>(records: &'a [Recorded], doubts: &'a [Intent]) -> impl Iterator<Item = (&'a Key, &'a Op, &'a Origin)> {
    let open = doubts.iter().map(|Intent { asked, .. }| (&asked.key, &*asked.op, &asked.origin));
    let is_half_done = |record: &&Recorded| record.result.as_ref().is_err_and(|failure| failure.half_done);
    let is_open = move |record: &&Recorded| doubts.iter().any(|intent| intent.asked.key == record.key);
    let failed = since_commit(records, "").into_iter().filter(is_half_done).filter(move |record| !is_open(record));
    open.chain(failed.map(|record| (&record.key, &*record.op, &record.origin))).filter(|(_, op, _)| matches!(op, Op::Prune(_)))
}

fn pruning(op: &Op, became: &str) -> Option<String> {
    let Op::Prune(op) = op else { return None };
    Some(clean::line(&format!("{}: {} {became}", op.host.name, op.releases())))
}

/// The commands that failed, but for those of which nobody knows even that.
fn answered<'a>(records: &'a [Recorded], unanswered: &'a [Intent]) -> impl Iterator<Item = &'a Recorded> {
    failed(records).filter(|record| unanswered.iter().all(|intent| intent.asked.key != record.key))
}

/// A line for each command that was done, or failed, and that nothing takes back, with the hosts that it was for.
fn commands(records: &[Recorded], unanswered: &[Intent]) -> Vec<String> {
    let kept = kept(records).map(|record| (record, "was done, and has no `undo`"));
    let failed = answered(records, unanswered).map(|record| (record, "failed: nobody knows what it did until then"));
    let mut commands: Vec<(&Origin, String, &str, Vec<&str>)> = Vec::new();
    for (record, became) in kept.chain(failed) {
        let what = format!("`{}` {}", record.op.verb(), record.op.describe());
        let host = if let Op::Hook(hook) = &*record.op { hook.invocation.place.host() } else { None };
        let host = host.map(|host| host.name.as_str());
        match commands.iter_mut().find(|(origin, known, end, _)| (*origin, known, *end) == (&record.origin, &what, became)) {
            Some((.., hosts)) => hosts.extend(host.filter(|host| !hosts.contains(host))),
            None => commands.push((&record.origin, what, became, Vec::from_iter(host))),
        }
    }
    let line = |(origin, what, became, hosts): (&Origin, String, &str, Vec<&str>)| {
        let place = if hosts.is_empty() { String::new() } else { format!(" on {}", hosts.join(", ")) };
        clean::line(&format!("{origin}: {what}{place} {became}"))
    };
    commands.into_iter().map(line).collect()
}

/// A line for each command that was begun and not answered, and that nothing takes back.
fn unanswered(commands: &[Intent]) -> Vec<String> {
    let line = |Intent { asked, .. }: &Intent| {
        let place = asked.op.host().map(|host| format!(" on {}", host.name)).unwrap_or_default();
        let what = format!("`{}` {}{place}", asked.op.verb(), asked.op.describe());
        let may_go_on = if asked.op.host().is_some_and(|host| !host.is_local()) { " or still runs" } else { "" };
        let unknown = format!("nobody knows whether it was done{may_go_on}, and it has no `undo`");
        clean::line(&format!("{}: {what} was begun and not answered: {unknown}", asked.origin))
    };
    commands.iter().map(line).collect()
}

/// A line for each service that is new on some hosts and not on others, for each host that could not be read, and for each on which
/// containers of the run serve nothing.
fn lines(ending: &Ending) -> Vec<String> {
    let mut services: BTreeMap<&str, Vec<&Part>> = BTreeMap::new();
    for part in &ending.parts {
        services.entry(part.service.as_str()).or_default().push(part);
    }
    services.into_iter().filter_map(|(service, parts)| sides(service, &parts)).chain(ending.parts.iter().flat_map(of)).collect()
}

/// Where a service is new, where it is as it was, and where both serve.
fn sides(service: &str, parts: &[&Part]) -> Option<String> {
    let on = |which: fn(&Part) -> bool| {
        let of = |part: &&&Part| part.unknown.is_none() && which(part);
        let place = |part: &&Part| match part.serving.keys().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => part.host.to_string(),
            ref versions => format!("{} ({})", part.host, versions.join(" and ")),
        };
        let hosts: Vec<String> = parts.iter().filter(of).map(place).collect();
        (!hosts.is_empty()).then(|| hosts.join(", "))
    };
    let sides = [("new", on(|part| part.new)), ("as before", on(|part| part.old)), ("both", on(|part| !part.new && !part.old))];
    let sides: Vec<String> = sides.into_iter().filter_map(|(side, hosts)| Some(format!("{side} on {}", hosts?))).collect();
    (sides.len() > 1).then(|| clean::line(&format!("{service} is {}", sides.join(", "))))
}

fn of(part: &Part) -> Vec<String> {
    let Part { host, service, idle, unknown, .. } = part;
    let unknown = unknown.as_ref().map(|why| format!("{host}: what runs of {service} there is not known: {}", clean::line(why)));
    let idle = (!idle.is_empty()).then(|| {
        let what = words::count(idle.len(), "container");
        format!("{host}: {what} of this run got no traffic and stay: {}", idle.join(", "))
    });
    unknown.into_iter().chain(idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::{Key, Outcome},
        failure::Failure,
        journal::Asked,
        model::{Host, HostName, ProjectName, ServiceName, Version},
        op::{Inverse, Prune},
    };

    #[test]
    fn hosts_that_are_new_and_hosts_that_are_not_are_named() {
        let part = |host: &str, version: &str, new: bool| Part {
            service: ServiceName::new("web").expect("valid"),
            host: HostName::new(host).expect("valid"),
            serving: BTreeMap::from([(version.into(), 2)]),
            new,
            old: !new,
            committed: false,
            idle: Vec::new(),
            unknown: None,
        };
        let ending = Ending { parts: vec![part("h1", "v2", true), part("h2", "v1", false), part("h3", "v1", false)] };
        assert_eq!(lines(&ending), ["web is new on h1 (v2), as before on h2 (v1), h3 (v1)"]);
        assert!(lines(&Ending { parts: vec![part("h1", "v2", true)] }).is_empty());
    }

    #[test]
    fn releases_that_nothing_brings_back_are_named() {
        let op = Prune {
            host: Host::parse("h1").expect("valid"),
            project: ProjectName::default(),
            service: ServiceName::new("web").expect("valid"),
            proxies: Vec::new(),
            versions: ["v2", "v1"].map(|version| Version::new(version).expect("valid")).to_vec(),
            containers: Vec::new(),
            images: Vec::new(),
        };
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        let record = Recorded { key: Key::call("", 1), op: Op::from(op).into(), origin, result: Ok(Outcome::of(())), seconds: 0.0 };
        let begun = Intent {
            asked: Asked { key: Key::call("", 2), origin: record.origin.clone(), op: record.op.clone() },
            at: String::new(),
            inverse: Inverse::default(),
        };
        assert_eq!(of_run(None, std::slice::from_ref(&record), &[], &[]), ["h1: web v2, v1 was pruned and stays deleted"]);
        let run = RunId::new("r1").expect("valid");
        let told: Vec<String> = calls(&run, std::slice::from_ref(&record), &[], std::slice::from_ref(&begun))
            .iter()
            .map(|call| ["run", "why", "host", "key"].map(|field| call[field].to_string()).join(" "))
            .collect();
        assert_eq!(told, ["\"r1\" \"pruned\" \"h1\" \"1\"", "\"r1\" \"half_pruned\" \"h1\" \"2\""]);
        let failed = |failure: Failure| Recorded { result: Err(failure), ..record.clone() };
        let half = failed(Failure::failed("the engine stopped").half_done());
        let line = "h1: web v2, v1 was being pruned: what of it was deleted stays so";
        assert_eq!(of_run(None, std::slice::from_ref(&half), &[], &[]), [line]);
        let doubt = Intent { asked: Asked { key: half.key.clone(), ..begun.asked.clone() }, ..begun };
        assert_eq!(of_run(None, &[half], &[], &[doubt]), [line], "what is in doubt is told once");
        assert!(of_run(None, &[failed(Failure::refused("it runs again"))], &[], &[]).is_empty());
    }

    #[test]
    fn what_is_not_known_and_what_is_idle_is_named() {
        let part = |host: &str, idle: &[&str], unknown: Option<&str>| Part {
            service: ServiceName::new("web").expect("valid"),
            host: HostName::new(host).expect("valid"),
            serving: BTreeMap::new(),
            new: false,
            old: false,
            committed: false,
            idle: idle.iter().map(ToString::to_string).collect(),
            unknown: unknown.map(Into::into),
        };
        let ending = Ending {
            parts: vec![part("h1", &["a-1", "a-2"], None), part("h2", &[], Some("h2 did not answer SSH")), part("h3", &[], None)],
        };
        assert_eq!(
            lines(&ending),
            [
                "h1: 2 containers of this run got no traffic and stay: a-1, a-2",
                "h2: what runs of web there is not known: h2 did not answer SSH"
            ]
        );
    }
}
