//! How a test of a script went: its counter-stories, step by step, and how far it is meanwhile.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{Printer, Style, clean};
use crate::{
    executor::faults::{Step, What},
    model::Period,
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

    /// So many stories of at most so many were told.
    pub fn told(&self, stories: usize, most: usize) {
        if !self.printer.is_live() || self.began.elapsed() < QUIET {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| self.printer.live().add(ProgressBar::new_spinner()));
        bar.set_message(format!("{stories} stories of at most {most}"));
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

/// The steps of a story by time and host, from `start` on. What is tried again and again is told once.
pub fn timeline(steps: &[Step], start: Period, style: Style) -> String {
    let mut rows: Vec<([String; 3], String)> = Vec::new();
    for step in steps.iter().filter(|step| !is_rest(step)) {
        let host = step.host.as_ref().map(|host| clean::line(host.as_str())).unwrap_or_default();
        let (place, words) = ([since(step.at, start), host, clean::line(&step.key)], words(&step.what, style));
        let is_again = rows.last().is_some_and(|(known, told)| known[1..] == place[1..] && *told == words);
        if !is_again {
            rows.push((place, words));
        }
    }
    let width = |column: usize| rows.iter().map(|(place, _)| place[column].chars().count()).max().unwrap_or(0);
    let (at, host, key) = (width(0), width(1), width(2));
    let line = |(place, words): &([String; 3], String)| {
        let time = style.faint(format!("{:>at$}", place[0]));
        format!("  {time}  {:<host$}  {}  {words}", place[1], style.faint(format!("{:<key$}", place[2])))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A wait before a lost host is tried again.
fn is_rest(step: &Step) -> bool {
    matches!(&step.what, What::Op(words, None) if words.starts_with("pause "))
}

fn words(what: &What, style: Style) -> String {
    match what {
        What::Op(words, None) => clean::line(words),
        What::Op(words, Some(why)) => format!("{}: {}", clean::line(words), style.warning(clean::line(why))),
        What::Fault(fault) => style.warning(format!("! {}", fault.told())),
        What::Back => style.warning("! the host is there again"),
        What::Breach(breach) => style.bad(format!("✗ {}: {}", breach.rule, clean::line(&breach.what))),
    }
}

fn since(at: Period, start: Period) -> String {
    Period::milliseconds(at.as_milliseconds().saturating_sub(start.as_milliseconds())).to_string()
}

/// The same for programs.
pub fn steps(steps: &[Step], start: Period) -> Value {
    let step = |step: &Step| {
        let milliseconds = step.at.as_milliseconds().saturating_sub(start.as_milliseconds());
        let (kind, text, why) = match &step.what {
            What::Op(words, why) => ("op", words.clone(), why.clone()),
            What::Fault(fault) => ("fault", fault.word().to_owned(), None),
            What::Back => ("back", "the host is there again".to_owned(), None),
            What::Breach(breach) => ("breach", format!("{}: {}", breach.rule, breach.what), None),
        };
        json!({ "milliseconds": milliseconds, "host": step.host, "key": step.key, "kind": kind, "text": text, "failed": why })
    };
    Value::Array(steps.iter().map(step).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{executor::faults::Fault, model::HostName, world::watch::Breach};

    #[test]
    fn a_timeline_tells_tries_once_and_what_broke() {
        let step = |seconds: u64, host: Option<&str>, what: What| Step {
            at: Period::seconds(30 + seconds),
            host: host.map(|host| HostName::new(host).expect("valid")),
            key: "5[0]".into(),
            what,
        };
        let away = || What::Op("start 2 × web v2".into(), Some("10.0.0.1 does not answer".into()));
        let steps = [
            step(4, Some("10.0.0.1"), What::Fault(Fault::Gone)),
            step(5, None, What::Op("pause 500ms".into(), None)),
            step(5, Some("10.0.0.1"), away()),
            step(6, Some("10.0.0.1"), away()),
            step(36, None, What::Breach(Breach::new("ending", "a lease is left"))),
        ];
        let text = timeline(&steps, Period::seconds(30), Style::PLAIN);
        assert_eq!(
            text,
            "   4s  10.0.0.1  5[0]  ! the host is cut off for good\n   5s  10.0.0.1  5[0]  start 2 × web v2: 10.0.0.1 does not answer\n  \
             36s            5[0]  ✗ ending: a lease is left"
        );
    }
}
