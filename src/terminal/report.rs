//! A run's journal as one page of HTML that needs nothing else.

use std::{collections::BTreeMap, time::Duration};

use minijinja::Environment;
use serde_json::{Value, json};

use super::{
    clean,
    words::{self, Line},
};
use crate::{
    journal::{
        Header,
        timeline::{Fate, Step},
    },
    model::Share,
    op::{Class, Op},
};

/// What only such a page has.
const MARK: &str = "<meta name=\"generator\" content=\"podlift\">";

/// Whether a text is such a page.
pub fn is_one(text: &str) -> bool {
    text.contains(MARK)
}

/// The page. Everything in it is escaped: the template's name makes it HTML.
pub fn page(title: &str, head: &[String], steps: &[Step], header: Option<&Header>) -> Result<String, String> {
    let longest = steps.iter().map(|step| step.record.seconds).fold(0.001, f64::max);
    let mut hosts: Vec<(String, f64, Vec<Value>)> = Vec::new();
    for step in steps.iter().filter(|step| step.record.op.class() != Class::Read || step.fate != Fate::Done) {
        let record = &step.record;
        let Line { host, verb, description } = Line::of(&record.op);
        let width = (record.seconds / longest * 100.0).clamp(0.0, 100.0).round();
        let op = json!({
            "class": class(step), "verb": verb, "what": description, "origin": record.origin.to_string(), "took": took_words(step), "width": width,
            "said": words::said(step),
        });
        match hosts.iter_mut().find(|(name, ..)| *name == host) {
            Some((_, sum, ops)) => {
                *sum += record.seconds;
                ops.push(op);
            }
            None => hosts.push((host, record.seconds, vec![op])),
        }
    }
    let hosts: Vec<Value> = hosts.into_iter().map(|(name, sum, ops)| json!({ "name": name, "took": took(sum), "ops": ops })).collect();
    let of = |fate: Fate| steps.iter().filter(move |step| step.fate == fate);
    let failures: Vec<Value> = of(Fate::Failed).filter_map(failure).collect();
    let doubts: Vec<Value> = of(Fate::InDoubt).map(|step| what(step).into()).collect();
    let weights: Vec<Value> = of(Fate::Done).flat_map(weights).collect();
    let sources: Vec<Value> = header.into_iter().flat_map(|header| sources(header, steps)).collect();
    let context = json!({
        "title": title, "head": head, "hosts": hosts, "failures": failures, "doubts": doubts, "weights": weights, "sources": sources,
    });
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html")).map_err(|error| error.to_string())?;
    environment
        .get_template("report.html")
        .and_then(|template| template.render(minijinja::value::Serde(context)))
        .map_err(|error| error.to_string())
}

fn took(seconds: f64) -> String {
    words::time(Duration::from_secs_f64(seconds.clamp(0.0, 1e9)))
}

/// How it looks.
fn class(step: &Step) -> &'static str {
    match (step.fate, step.record.key.is_undo(), step.record.op.class()) {
        (Fate::Failed, ..) => "failed",
        (Fate::Skipped, ..) => "skipped",
        (Fate::InDoubt | Fate::UnderWay, ..) => "doubt",
        (Fate::Done, true, _) => "undo",
        (Fate::Done, _, Class::Wait) => "wait",
        (Fate::Done, ..) => "done",
    }
}

/// How long it took, or that nobody knows.
fn took_words(step: &Step) -> String {
    match step.fate {
        Fate::Skipped => "skipped".into(),
        Fate::InDoubt => "in doubt".into(),
        Fate::UnderWay => "under way".into(),
        Fate::Done | Fate::Failed => took(step.record.seconds),
    }
}

/// A call in words.
fn what(step: &Step) -> String {
    let Line { host, verb, description } = Line::of(&step.record.op);
    format!("{verb} {description} on {host}, {}", step.record.origin)
}

fn failure(step: &Step) -> Option<Value> {
    let failure = step.record.result.as_ref().err()?;
    let details: Vec<Value> =
        failure.details.iter().map(|detail| json!({ "title": detail.title, "text": clean::block(&detail.text) })).collect();
    Some(json!({ "what": what(step), "message": clean::block(&failure.message), "details": details, "hints": failure.hints }))
}

/// The shares that a call gave each host.
fn weights(Step { record, .. }: &Step) -> Vec<Value> {
    let Op::SetWeights(op) = &*record.op else { return Vec::new() };
    let of_host = |(host, shares): (&crate::model::HostName, &Vec<Share>)| {
        let sum: u64 = shares.iter().map(|share| share.weight).sum();
        let shares = shares.iter().filter(|share| share.weight > 0);
        let shares = shares.map(|share| json!({ "name": share.release.version, "percent": share.weight * 100 / sum.max(1) }));
        json!({ "what": format!("{} on {host}, {}", op.service, record.origin), "shares": shares.collect::<Vec<_>>() })
    };
    op.changes.iter().map(of_host).collect()
}

/// The texts of the run, with the time that their lines' calls took.
fn sources(header: &Header, steps: &[Step]) -> Vec<Value> {
    let mut times: BTreeMap<(&str, usize), f64> = BTreeMap::new();
    let ran = |step: &&Step| matches!(step.fate, Fate::Done | Fate::Failed) && !step.record.key.is_undo();
    for Step { record, .. } in steps.iter().filter(ran) {
        *times.entry((&*record.origin.file, record.origin.line)).or_default() += record.seconds;
    }
    let of = |source: &crate::journal::Source| {
        let lines = (1..).zip(source.text.lines()).map(|(number, text)| {
            let time = times.get(&(source.name.as_str(), number));
            let class = if time.is_some() { "ran" } else { "" };
            json!({ "number": number, "text": text, "class": class, "took": time.map(|time| took(*time)).unwrap_or_default() })
        });
        json!({ "name": source.name, "lines": lines.collect::<Vec<_>>() })
    };
    std::iter::once(&header.script).chain(&header.imports).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        executor::{Outcome, Recorded},
        failure::{Failure, Origin},
        model::{Key, Period},
        op::Pause,
    };

    fn step(fate: Fate, result: Result<Outcome, Failure>) -> Step {
        let record = Recorded {
            key: Key::call("", 1),
            op: Pause { period: Period::seconds(1) }.into(),
            origin: Origin { file: "a<b>.rhai".into(), line: 1, column: 1 },
            result,
            seconds: 1.5,
        };
        Step { record, fate, answered_by: None }
    }

    #[test]
    fn what_was_left_out_and_what_nobody_knows_is_told_as_that() {
        let page = |fate| page("Run r1", &[], &[step(fate, Ok(Outcome::of(())))], None).expect("it renders");
        let skipped = page(Fate::Skipped);
        assert!(skipped.contains("class=\"skipped\"") && skipped.contains(">skipped<") && !skipped.contains("In doubt"), "{skipped}");
        let doubt = page(Fate::InDoubt);
        assert!(doubt.contains("<h2>In doubt</h2>") && doubt.contains("class=\"doubt\"") && doubt.contains(">in doubt<"), "{doubt}");
        assert!(!page(Fate::Done).contains("<h2>In doubt</h2>"));
    }

    #[test]
    fn who_answered_for_a_call_is_named() {
        let page = |fate, who: Option<&str>| {
            let step = Step { answered_by: who.map(Into::into), ..step(fate, Ok(Outcome::of(()))) };
            page("Run r1", &[], &[step], None).expect("it renders")
        };
        assert!(page(Fate::Done, Some("ann@here")).contains(">was done, says ann@here<"));
        assert!(page(Fate::Skipped, Some("<ann>")).contains(">skipped by &lt;ann&gt;: it was not done<"));
        assert!(page(Fate::Skipped, None).contains(">skipped by hand: it was not done<"));
        assert!(!page(Fate::Done, None).contains("class=\"said\""));
    }

    #[test]
    fn what_a_host_said_is_text_and_nothing_else() {
        let failure = Failure::failed("<script>alert(1)</script>").detail("log", "\u{1b}[31m<b>&").hint("look \"there\"");
        let page = page("Run <r1>", &["by \"me\"".into()], &[step(Fate::Failed, Err(failure))], None).expect("it renders");
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<r1>") && !page.contains('\u{1b}'), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("1.5s") && page.contains("class=\"failed\""), "{page}");
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="), "it needs nothing else");
    }
}
