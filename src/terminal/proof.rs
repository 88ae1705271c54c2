//! How a test of a script went: its counter-stories, step by step, and how far it is meanwhile.

use std::{
    fmt::Write,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{Printer, Style, clean, words};
use crate::{
    executor::faults::{Step, What},
    model::{Period, ServiceName},
    world::{Seen, TrafficSeen, losses::Capacity},
};

/// How long a test goes on before it says how far it is.
const QUIET: Duration = Duration::from_secs(1);

/// Says how far a test is once it takes long, where that can be shown without leaving a trace.
pub struct Progress<'a> {
    printer: &'a Printer,
    began: Instant,
    bar: Mutex<Option<ProgressBar>>,
}

impl<'a> Progress<'a> {
    /// Begins now.
    pub fn new(printer: &'a Printer) -> Self {
        Self { printer, began: Instant::now(), bar: Mutex::new(None) }
    }

    /// So many stories of at most so many were told, and in so many of them a rule was broken.
    pub fn told(&self, stories: usize, broken: usize, most: usize) {
        if !self.printer.is_live() || self.began.elapsed() < QUIET {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| self.printer.live().add(ProgressBar::new_spinner()));
        let found = if broken == 0 { String::new() } else { format!(", a rule is broken in {broken}") };
        bar.set_message(format!("{stories} stories of at most {most}{found}"));
        bar.tick();
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// The most rows of a story of which none is left out.
const SHORT: usize = 8;

/// The most rows that are told of a story of which not the whole is wanted, and how many of them are its last: one that goes on and
/// on, as a loop without an end, is the same again and again.
const LONG: usize = 60;
const LAST: usize = 20;

/// One row of a story.
struct Row {
    at: String,
    host: String,
    place: String,
    words: String,
    /// Whether something goes wrong here.
    matters: bool,
    /// Whether a rule is broken here.
    breaks: bool,
    /// Whether it may be why.
    causes: bool,
}

/// The steps of a story by time, host and line of the script, from `start` on. What is tried again and again is told once, and of a
/// long story what goes wrong, with the step before and the one after it, and of that at most 60 steps, unless the `whole` of it is
/// wanted. Where code meets a schema that was changed under it, the statements are told: one of them is why.
pub fn timeline(steps: &[Step], start: Period, whole: bool, style: Style) -> String {
    let mut rows: Vec<Row> = Vec::new();
    let is_of_schema = steps.iter().any(|step| matches!(&step.what, What::Breach(breach) if breach.rule == "schema"));
    for step in steps.iter().filter(|step| !is_rest(step)) {
        let row = Row {
            at: since(step.at, start),
            host: step.host.as_ref().map(|host| clean::line(host.as_str())).unwrap_or_default(),
            place: step.origin.as_ref().map(|origin| clean::line(&origin.to_string())).unwrap_or_default(),
            words: told(step, style),
            matters: !matches!(&step.what, What::Op(_, None) | What::Said(_, false)),
            breaks: matches!(&step.what, What::Breach(_)),
            causes: is_of_schema && matches!(&step.what, What::Op(words, None) if words.starts_with("sql ")),
        };
        let is_again = |known: &Row| (&known.host, &known.place, &known.words) == (&row.host, &row.place, &row.words);
        if !rows.last().is_some_and(is_again) {
            rows.push(row);
        }
    }
    let matters = |index: Option<usize>| index.and_then(|index| rows.get(index)).is_some_and(|row| row.matters);
    let is_whole = whole || rows.len() <= SHORT;
    let is_near = |index: usize| {
        is_whole || rows[index].causes || matters(Some(index)) || matters(index.checked_sub(1)) || matters(index.checked_add(1))
    };
    // One step takes no more room than the line that would stand for it.
    let is_told = |index: usize| {
        let beside = [index.checked_sub(1), index.checked_add(1).filter(|index| *index < rows.len())];
        is_near(index) || beside.into_iter().flatten().all(is_near)
    };
    let mut shown: Vec<usize> = (0..rows.len()).filter(|index| is_told(*index)).collect();
    if !whole && shown.len() > LONG {
        let middle: Vec<usize> = shown.drain(LONG - LAST..shown.len() - LAST).collect();
        // What the story is told for is not left out.
        shown.extend(middle.into_iter().filter(|index| rows[*index].breaks || rows[*index].causes).take(LAST));
        shown.sort_unstable();
    }
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (at, host, place) = (width(|row| &row.at), width(|row| &row.host), width(|row| &row.place));
    let mut lines = Vec::new();
    let mut left_out = 0;
    for (index, row) in rows.iter().enumerate() {
        if shown.binary_search(&index).is_err() {
            left_out += 1;
            continue;
        }
        lines.extend(gap(&mut left_out, at, style));
        let (time, line) = (format!("{:>at$}", row.at), format!("{:<place$}", row.place));
        lines.push(format!("  {}  {:<host$}  {}  {}", style.faint(time), row.host, style.faint(line), row.words));
    }
    lines.extend(gap(&mut left_out, at, style));
    lines.join("\n")
}

/// The line that stands for steps which are left out.
fn gap(left_out: &mut usize, indent: usize, style: Style) -> Option<String> {
    let count = std::mem::take(left_out);
    (count > 0).then(|| format!("  {:>indent$}  {}", "…", style.faint(words::count(count, "step"))))
}

/// A wait before a lost host is tried again.
fn is_rest(step: &Step) -> bool {
    matches!(&step.what, What::Op(words, None) if words.starts_with("pause "))
}

fn told(step: &Step, style: Style) -> String {
    let undoes = if step.key.starts_with("undo/") { "undo: " } else { "" };
    match &step.what {
        What::Op(words, None) => format!("{undoes}{}", clean::line(words)),
        What::Op(words, Some(why)) => format!("{undoes}{}: {}", clean::line(words), style.warning(clean::line(why))),
        What::Said(text, false) => style.faint(clean::line(text)),
        What::Said(text, true) => style.warning(clean::line(text)),
        What::GoesOn { command, elsewhere: true } => style.warning(format!("! another machine goes on: podlift {command}")),
        What::GoesOn { command, elsewhere: false } => style.warning(format!("! what comes next: podlift {command}")),
        What::Fault(fault) => style.warning(format!("! {}", fault.told())),
        What::Back => style.warning("! the host is there again"),
        What::Breach(breach) => style.bad(format!("✗ {}: {}", clean::line(&breach.rule), clean::line(&breach.what))),
    }
}

fn since(at: Period, start: Period) -> String {
    Period::milliseconds(at.as_milliseconds().saturating_sub(start.as_milliseconds())).to_string()
}

/// What became of each service's traffic, a line each, where any was lost or fewer containers served than in the beginning; each ends
/// with a line break.
pub fn traffic(traffic: &TrafficSeen, capacity: &Capacity, style: Style) -> String {
    let mut lines = String::new();
    for (service, seen) in traffic {
        let over_time = capacity.get(service).map(Vec::as_slice).unwrap_or_default();
        let first = over_time.first().map_or(0, |(_, count)| *count);
        let least = over_time.iter().map(|(_, count)| *count).min().unwrap_or(0);
        if seen.lost() == 0.0 && least == first {
            continue;
        }
        let lost = |count: f64, word: &str| {
            let told = format!("{:.0} {word}", count.ceil());
            if count > 0.0 { style.warning(told) } else { told }
        };
        let (dropped, refused, misrouted) =
            (lost(seen.dropped, "dropped"), lost(seen.refused, "refused"), lost(seen.misrouted, "misrouted"));
        let answered = seen.answered.values().fold(0.0, |sum, count| sum + count);
        let serve = words::count(first, "container");
        let _ = writeln!(
            lines,
            "  {service}: {answered:.0} requests answered, {dropped}, {refused}, {misrouted}; {serve} served, at the least {least}"
        );
    }
    lines
}

/// The same for programs: of each service the requests, and how many containers served from when on.
pub fn traffic_json(traffic: &TrafficSeen, capacity: &Capacity, start: Period) -> Value {
    let since = |at: Period| at.as_milliseconds().saturating_sub(start.as_milliseconds());
    let over_time = |service: &ServiceName| {
        let known = capacity.get(service).map(Vec::as_slice).unwrap_or_default();
        known.iter().map(|(at, count)| json!({ "milliseconds": since(*at), "containers": count })).collect::<Vec<_>>()
    };
    let one = |(service, seen): (&ServiceName, &Seen)| {
        (service.to_string(), json!({ "requests": seen.rounded(), "capacity": over_time(service) }))
    };
    traffic.iter().map(one).collect::<serde_json::Map<_, _>>().into()
}

/// A story's steps for programs.
pub fn steps(steps: &[Step], start: Period) -> Value {
    let step = |step: &Step| {
        let milliseconds = step.at.as_milliseconds().saturating_sub(start.as_milliseconds());
        let (kind, text, why) = match &step.what {
            What::Op(words, why) => ("op", words.clone(), why.clone()),
            What::Fault(fault) => ("fault", fault.word().to_owned(), None),
            What::Back => ("back", "the host is there again".to_owned(), None),
            What::GoesOn { command, .. } => ("goes_on", format!("podlift {command}"), None),
            What::Said(text, is_warning) => (if *is_warning { "warn" } else { "info" }, text.clone(), None),
            What::Breach(breach) => ("breach", format!("{}: {}", breach.rule, breach.what), None),
        };
        json!({ "milliseconds": milliseconds, "host": step.host, "key": step.key, "origin": step.origin, "kind": kind, "text": text, "failed": why })
    };
    Value::Array(steps.iter().map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{executor::faults::Fault, failure::Origin, model::HostName, world::watch::Breach};

    fn step(seconds: u64, host: Option<&str>, what: What) -> Step {
        Step {
            at: Period::seconds(30 + seconds),
            host: host.map(|host| HostName::new(host).expect("valid")),
            key: "5[0]".into(),
            origin: Some(Origin { file: "deploy.rhai".into(), line: 14, column: 1 }),
            what,
        }
    }

    #[test]
    fn traffic_is_told_where_some_is_lost_or_fewer_serve() {
        let service = |name: &str| ServiceName::new(name).expect("valid");
        let fine = Seen { answered: [("v1".to_owned(), 1200.0)].into(), ..Seen::default() };
        let lost = Seen { dropped: 29.5, refused: 0.2, ..fine.clone() };
        let seen: TrafficSeen = [(service("api"), fine.clone()), (service("web"), lost), (service("worker"), fine)].into();
        let at = Period::seconds;
        let capacity: Capacity = [
            (service("api"), vec![(at(30), 2), (at(31), 4), (at(40), 2)]),
            (service("web"), vec![(at(30), 2)]),
            (service("worker"), vec![(at(30), 2), (at(31), 1), (at(40), 2)]),
        ]
        .into();
        assert_eq!(
            traffic(&seen, &capacity, Style::PLAIN),
            "  web: 1200 requests answered, 30 dropped, 1 refused, 0 misrouted; 2 containers served, at the least 2\n  \
             worker: 1200 requests answered, 0 dropped, 0 refused, 0 misrouted; 2 containers served, at the least 1\n"
        );
        let told = traffic_json(&seen, &capacity, at(30));
        let requests = json!({ "answered": { "v1": 1200 }, "dropped": 30, "refused": 1, "misrouted": 0 });
        assert_eq!(told["web"], json!({ "requests": requests, "capacity": [{ "milliseconds": 0, "containers": 2 }] }));
        assert_eq!(told["worker"]["capacity"][2], json!({ "milliseconds": 10_000, "containers": 2 }));
    }

    #[test]
    fn a_timeline_tells_tries_once_and_what_broke() {
        let away = || What::Op("start 2 × web v2".into(), Some("10.0.0.1 does not answer".into()));
        let steps = [
            step(4, Some("10.0.0.1"), What::Fault(Fault::Gone)),
            step(5, None, What::Op("pause 500ms".into(), None)),
            step(5, Some("10.0.0.1"), away()),
            step(6, Some("10.0.0.1"), away()),
            Step { origin: None, ..step(36, None, What::Breach(Breach::new("ending", "a lease is left"))) },
        ];
        let text = timeline(&steps, Period::seconds(30), false, Style::PLAIN);
        assert_eq!(
            text,
            "   4s  10.0.0.1  deploy.rhai:14  ! the host is cut off for good\n   \
             5s  10.0.0.1  deploy.rhai:14  start 2 × web v2: 10.0.0.1 does not answer\n  \
             36s                            ✗ ending: a lease is left"
        );
    }

    #[test]
    fn where_code_meets_a_changed_schema_the_statements_are_told() {
        let mut steps: Vec<Step> = (0..20).map(|second| step(second, Some("h1"), What::Op(format!("start {second}"), None))).collect();
        steps[5] = step(5, None, What::Op("sql ALTER TABLE users DROP COLUMN mail".into(), None));
        let has_statement = |steps: &[Step]| timeline(steps, Period::seconds(30), false, Style::PLAIN).contains("DROP COLUMN mail");
        steps[15] = step(15, Some("h1"), What::Breach(Breach::new("schema", "web runs v1, and column users.mail is gone")));
        assert!(has_statement(&steps));
        steps[15] = step(15, Some("h1"), What::Breach(Breach::new("dropped", "web was ended while it had traffic")));
        assert!(!has_statement(&steps), "it is beside nothing that matters");
    }

    #[test]
    fn of_a_long_story_only_what_goes_wrong_is_told_with_what_is_beside_it() {
        let done = |second: u64| step(second, Some("h1"), What::Op(format!("start {second}"), None));
        let mut steps: Vec<Step> = (0..20).map(done).collect();
        steps.insert(5, step(5, Some("h1"), What::Fault(Fault::Fails)));
        steps.push(step(20, Some("h1"), What::Breach(Breach::new("dropped", "it had traffic"))));
        let text = timeline(&steps, Period::seconds(30), false, Style::PLAIN);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert_eq!((lines[0], lines[4]), ("…  4 steps", "…  13 steps"));
        assert!(lines[1].ends_with("start 4") && lines[2].ends_with("! it fails") && lines[3].ends_with("start 5"), "{text}");
        assert!(lines[5].ends_with("start 19") && lines[6].ends_with("✗ dropped: it had traffic"), "{text}");
    }

    #[test]
    fn a_story_tells_what_is_taken_back_what_the_script_says_and_who_goes_on_and_as_a_whole_every_step() {
        let op = |key: &str, words: &str| Step { key: key.into(), ..step(1, Some("h1"), What::Op(words.into(), None)) };
        let goes_on = |elsewhere| step(1, None, What::GoesOn { command: "undo", elsewhere });
        let mut steps = vec![op("4", "start web"), step(1, None, What::Said("it is late".into(), true)), goes_on(true), goes_on(false)];
        steps.extend([op("undo/4.0", "stop web"), step(2, None, What::Said("fine".into(), false))]);
        steps.extend((0..20).map(|number| op("5", &format!("ship {number}"))));
        let text = timeline(&steps, Period::seconds(30), true, Style::PLAIN);
        for line in
            ["it is late", "! another machine goes on: podlift undo", "! what comes next: podlift undo", "undo: stop web", "fine", "ship 9"]
        {
            assert!(text.lines().any(|told| told.ends_with(line)), "{line}: {text}");
        }
        let short = timeline(&steps, Period::seconds(30), false, Style::PLAIN);
        assert!(short.contains("undo: stop web") && !short.contains("ship 9"), "{short}");
        // A gap of one step is told, not counted.
        let pair = |fault: Fault| [op("6", "ship a"), step(3, Some("h1"), What::Fault(fault)), op("6", "ship b")];
        let steps = [pair(Fault::Fails).as_slice(), &[op("7", "ship c")], &pair(Fault::Gone), &pair(Fault::Dies)].concat();
        let text = timeline(&steps, Period::seconds(30), false, Style::PLAIN);
        assert!(text.contains("ship c") && !text.contains('…'), "{text}");
    }

    #[test]
    fn a_story_without_an_end_is_told_by_its_first_and_last_steps() {
        let fails = |second: u64| step(second, Some("h1"), What::Op(format!("healthcheck {second}"), Some("it is not healthy".into())));
        let steps: Vec<Step> = (0..5000).map(fails).collect();
        let told = |whole| timeline(&steps, Period::seconds(30), whole, Style::PLAIN).lines().map(str::to_owned).collect::<Vec<_>>();
        let lines = told(false);
        assert_eq!(lines.len(), LONG + 1);
        assert!(lines[LONG - LAST].ends_with("…  4940 steps") && lines[LONG].contains("healthcheck 4999"), "{lines:#?}");
        assert_eq!(told(true).len(), 5000, "who asks for the whole of it has it");
        let mut steps = steps.clone();
        steps[2000] = step(2000, None, What::Breach(Breach::new("dropped", "it had traffic")));
        assert!(timeline(&steps, Period::seconds(30), false, Style::PLAIN).contains("✗ dropped: it had traffic"));
    }
}
