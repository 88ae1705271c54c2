//! What a run would do, or did in a model: every op by host, what was assumed, and the end state.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

use super::{
    clean, containers, diff,
    style::Style,
    words::{self, Line},
};
use crate::{
    executor::Recorded,
    model::{HostName, HostState, RouteTable},
    op::{Class, Op},
    world::TrafficSeen,
};

/// Hosts' states by name.
pub type States = BTreeMap<HostName, HostState>;

/// Makes a proxy's file of a table: its path and its text.
pub type RenderFile<'a> = &'a dyn Fn(&HostName, &RouteTable) -> (String, String);

/// What a script did in a model.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Its calls, in the script's order.
    pub records: &'a [Recorded],
    /// The hosts as they were.
    pub before: &'a States,
    /// The hosts as they are afterwards.
    pub after: &'a States,
}

impl Plan<'_> {
    /// The plan for people; reads are in it only if `verbose`.
    pub fn render(&self, verbose: bool, style: Style) -> String {
        let mut text = self.ops(verbose, style);
        text += &self.assumed(style);
        if self.after.values().any(|state| !state.containers.is_empty()) {
            let _ = write!(text, "\n{}\n{}", style.strong("Afterwards"), indent(&containers::releases(self.after, style)));
        }
        text
    }

    fn ops(&self, verbose: bool, style: Style) -> String {
        let mut hosts: Vec<(String, Vec<(&Recorded, Line)>)> = Vec::new();
        let told = |record: &&Recorded| {
            verbose || record.result.is_err() || record.op.class() != Class::Read || matches!(*record.op, Op::Commit(_) | Op::LeaveOut(_))
        };
        for record in self.records.iter().filter(told) {
            let line = Line::of(&record.op);
            match hosts.iter_mut().find(|(host, _)| *host == line.host) {
                Some((_, lines)) => lines.push((record, line)),
                None => hosts.push((line.host.clone(), vec![(record, line)])),
            }
        }
        let all = || hosts.iter().flat_map(|(_, lines)| lines);
        let key_width = all().map(|(record, _)| record.key.as_str().len()).max().unwrap_or(0);
        let width = all().map(|(_, line)| line.description.chars().count()).max().unwrap_or(0).min(70);
        let mut text = String::new();
        for (host, lines) in &hosts {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", style.strong(host));
            for (record, Line { verb, description, .. }) in lines {
                let (key, mark) = (record.key.as_str(), mark(record, style));
                let origin = style.faint(&record.origin);
                let _ = writeln!(text, "  {mark} {key:<key_width$}  {verb:<12} {description:<width$}  {origin}");
                let more = match &record.result {
                    Ok(outcome) => words::summary(&record.op, outcome).map(|words| style.faint(words)),
                    Err(failure) => Some(style.bad(clean::line(&failure.message))),
                };
                if let Some(more) = more {
                    let _ = writeln!(text, "    {:<key_width$}  {:<12} {more}", "", "");
                }
            }
        }
        text
    }

    /// What the model took for granted, with the lines that it was for.
    fn assumed(&self, style: Style) -> String {
        let mut text = String::new();
        for (record, what) in assumptions(self.records) {
            if text.is_empty() {
                let _ = writeln!(text, "\n{}", style.strong("Assumed"));
            }
            let Line { host, verb, description } = Line::of(&record.op);
            let _ = writeln!(text, "  {}  {verb} {description} ({host}): {}", record.origin, clean::line(what));
        }
        text
    }

    /// The changes of the proxies' files as a unified diff.
    pub fn proxy_files(&self, render: RenderFile<'_>, style: Style) -> String {
        let mut text = String::new();
        for (host, after) in self.after {
            let before = self.before.get(host).map(|state| &state.routes);
            for (service, table) in &after.routes {
                let (path, new) = render(host, table);
                let old = before.and_then(|tables| tables.get(service)).map(|table| render(host, table).1).unwrap_or_default();
                text += &diff::unified(&format!("{host}:{path}"), &old, &new, style);
            }
            for (service, table) in before.into_iter().flatten().filter(|(service, _)| !after.routes.contains_key(*service)) {
                let (path, old) = render(host, table);
                text += &diff::unified(&format!("{host}:{path} ({service})"), &old, "", style);
            }
        }
        text
    }

    /// What programs read of it, beside the events: the assumptions and the end state.
    pub fn json(&self) -> Value {
        let assumed: Vec<Value> = assumptions(self.records)
            .map(|(record, what)| json!({ "key": record.key, "origin": record.origin, "verb": record.op.verb(), "assumed": what }))
            .collect();
        json!({ "assumed": assumed, "after": containers::rows(self.after) })
    }
}

fn assumptions(records: &[Recorded]) -> impl Iterator<Item = (&Recorded, &str)> {
    records.iter().filter_map(|record| Some((record, record.result.as_ref().ok()?.assumed.as_deref()?)))
}

fn mark(record: &Recorded, style: Style) -> String {
    if record.result.is_err() {
        return style.bad("✗");
    }
    match (&*record.op, record.op.class()) {
        (Op::StartAgain(_), _) | (_, Class::Create) => style.good("+"),
        (_, Class::Put) => style.warning("~"),
        (_, Class::End) => style.bad("-"),
        (_, Class::Once) => style.warning("!"),
        (_, Class::Read | Class::Wait) => style.faint("·"),
    }
}

/// The traffic that a steady load would have seen.
pub fn traffic(seen: &TrafficSeen, style: Style) -> String {
    let mut text = String::new();
    for (service, seen) in seen {
        if text.is_empty() {
            let _ = writeln!(text, "{}", style.strong("Traffic that a steady load would have seen"));
        }
        let answered: Vec<String> = seen.answered.iter().map(|(version, count)| format!("{count:.0} by {version}")).collect();
        let answered = if answered.is_empty() { "none".into() } else { answered.join(", ") };
        let failed = format!("{:.0} failed", seen.lost());
        let failed = if seen.lost() > 0.0 { style.bad(failed) } else { style.good(failed) };
        let _ = writeln!(text, "  {service}: answered {answered}; {failed}");
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut indented, line| {
        let _ = writeln!(indented, "  {line}");
        indented
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{call, fleet, healthcheck, ship, stop},
        *,
    };
    use crate::{
        executor::Outcome,
        failure::Failure,
        model::Period,
        op::{CommandLine, Hook, Invocation, Now, Place, Shipped},
        world::Seen,
    };

    fn record(op: impl Into<crate::model::Shared<Op>>, number: usize, part: Option<usize>, result: Result<Outcome, Failure>) -> Recorded {
        let call = call(op, number, part);
        Recorded { key: call.key, op: call.op, origin: call.origin, result, seconds: 0.0 }
    }

    fn hook() -> Hook {
        let invocation = Invocation {
            place: Place::Local,
            command: CommandLine::Shell("make migrate".into()),
            env: BTreeMap::new(),
            stdin: None,
            timeout: Period::seconds(60),
            check: true,
            name: None,
            assume: None,
        };
        Hook { invocation, undo: None, lease: None }
    }

    fn records() -> Vec<Recorded> {
        vec![
            record(Now {}, 1, None, Ok(Outcome::of("2026-01-01T00:00:00Z"))),
            record(hook(), 2, None, Ok(Outcome::of(()).assuming("exit code 0 and no output"))),
            record(ship("h1"), 3, Some(0), Ok(Outcome::of(Shipped { sent: 2048, reused: 0, seconds: 0.0 }))),
            record(ship("h2"), 3, Some(1), Ok(Outcome::of(Shipped::default()))),
            record(healthcheck("h1"), 4, None, Ok(Outcome::of(()))),
            record(stop("h1"), 5, None, Err(Failure::refused("shop-web-v1-0123456789-1 still gets\ntraffic"))),
        ]
    }

    #[test]
    fn a_plan_tells_ops_by_host_assumptions_and_the_end() {
        let (records, fleet) = (records(), fleet());
        let plan = Plan { records: &records, before: &fleet, after: &fleet };
        assert_eq!(
            plan.render(false, Style::PLAIN),
            "\
here
  ! 2     hook         make migrate                           deploy.rhai:2
                       assumed: exit code 0 and no output

h1
  + 3[0]  ship         shop-web:v2                            deploy.rhai:3
                       2.0 kB sent
  · 4     healthcheck  shop-web-v2-0123456789-1, at most 30s  deploy.rhai:4
  ✗ 5     stop         shop-web-v1-0123456789-1               deploy.rhai:5
                       shop-web-v1-0123456789-1 still gets traffic

h2
  + 3[1]  ship         shop-web:v2                            deploy.rhai:3
                       nothing to send

Assumed
  deploy.rhai:2  hook make migrate (here): exit code 0 and no output

Afterwards
  SERVICE  HOST  VERSION  CONTAINERS  TRAFFIC
  web      h1    v2       1 running   10%
  web      h1    v1       1 running   90%
  web      h2    v1       1 stopped   none
"
        );
        assert_eq!(plan.json()["assumed"][0]["key"], "2");
        assert_eq!(plan.json()["after"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_proxys_new_file_is_shown_as_a_diff() {
        let (before, mut after) = (fleet(), fleet());
        let table = after.values_mut().flat_map(|state| state.routes.values_mut()).next().expect("h1 has one");
        table.shares.values_mut().next().expect("h1's")[1].weight = 90;
        let plan = Plan { records: &[], before: &before, after: &after };
        let render = |_: &HostName, table: &RouteTable| {
            let lines = table
                .servers()
                .iter()
                .fold(String::new(), |text, server| format!("{text}server {} {};\n", server.endpoint.port, server.weight));
            ("/etc/nginx/conf.d/shop-web.conf".into(), lines)
        };
        assert_eq!(
            plan.proxy_files(&render, Style::PLAIN),
            "\
--- h1:/etc/nginx/conf.d/shop-web.conf
+++ h1:/etc/nginx/conf.d/shop-web.conf
@@ -1,2 +1,2 @@
-server 20000 9;
+server 20000 1;
 server 20001 1;
"
        );
        assert_eq!(Plan { after: &before, ..plan }.proxy_files(&render, Style::PLAIN), "");
    }

    #[test]
    fn traffic_tells_who_answered() {
        let seen = Seen { answered: BTreeMap::from([("v1".into(), 120.0), ("v2".into(), 80.4)]), ..Seen::default() };
        let seen = BTreeMap::from([(crate::model::ServiceName::new("web").expect("valid"), seen)]);
        assert_eq!(
            traffic(&seen, Style::PLAIN),
            "Traffic that a steady load would have seen\n  web: answered 120 by v1, 80 by v2; 0 failed\n"
        );
    }
}
