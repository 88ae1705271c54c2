//! `podlift check`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    about::{self, About, spinner},
    complaint,
    environment::Environment,
    exit::{Cause, Exit, Remains},
    inventory::{Asked, Inventory},
    look,
    outside::Outside,
    place::Place,
};
use crate::{
    cli::{self, Word},
    failure::Failure,
    model::{HostName, HostState},
    op::{Query, Row},
    script::{Checked, diagnostics::Diagnostic, sources::Sources},
    terminal::{
        Printer, databases,
        hosts::{self, Part},
        words,
    },
};

/// Checks scripts, and looks at their hosts where that is asked for.
pub fn run(options: &cli::Check, printer: &Printer) -> Exit {
    let mut exit = Exit::Done;
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut scripts = Vec::new();
    for script in options.words.iter().filter_map(script).filter(|script| !is_definition(script)) {
        match Place::find(script).and_then(|place| Ok((place.check()?, place))) {
            Ok((checked, place)) => {
                let findings = checked.diagnostics();
                if !options.json {
                    complaint::tell(printer, &findings, checked.sources());
                }
                found.extend(findings);
                scripts.push((place, checked));
            }
            Err(failure) if options.json => found.push(Diagnostic::of_failure(&failure, &Sources::default())),
            Err(failure) => {
                complaint::tell_failure(printer, &failure);
                exit = Exit::Bad;
            }
        }
    }
    if !found.is_empty() {
        exit = Exit::Bad;
    }
    if options.json {
        printer.data(json!(found).to_string());
    }
    if options.hosts && exit == Exit::Done {
        exit = scripts.iter().map(|(place, script)| look_at_hosts(options, place, script, printer)).fold(exit, worse);
    }
    if !options.json {
        let style = printer.style();
        let scripts = words::count(scripts.len(), "script");
        if exit == Exit::Done {
            printer.tell(format!("{} {scripts}: nothing found", style.good("✓")));
        } else if !found.is_empty() {
            printer.tell(format!("{} {}", style.bad("✗"), words::count(found.len(), "finding")));
        } else if options.hosts {
            printer.tell(format!("{} {scripts}: nothing found in the text, but not all is as a deploy needs it", style.bad("✗")));
        }
    }
    exit
}

fn script(word: &Word) -> Option<&PathBuf> {
    match word {
        Word::Script(script) => Some(script),
        Word::Argument(..) => None,
    }
}

/// Whether it is a definition file, for editors: `deploy/*.rhai` names those of `podlift definitions` too.
fn is_definition(script: &Path) -> bool {
    script.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".d.rhai"))
}

const fn worse(one: Exit, other: Exit) -> Exit {
    if other.code() > one.code() { other } else { one }
}

/// Tells by host and by database what a deploy would stumble over.
fn look_at_hosts(options: &cli::Check, place: &Place, script: &Checked, printer: &Printer) -> Exit {
    let about = match prepare(options, place, script, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    let answers = look::survey(&about, spinner(printer));
    let databases = look_at_databases(&about, printer);
    if options.json {
        printer.data(as_json(&answers, &databases, &about.inventory));
    } else {
        for (part, answer) in by_host(&answers, &about.inventory) {
            match answer {
                Ok(state) => printer.data(hosts::report(part, state, printer.data_style())),
                Err(failure) => complaint::tell_failure(printer, &failure.clone().on(&part.host.name)),
            }
        }
        for (asked, answer) in &databases {
            match answer {
                Ok(row) => printer.data(databases::report(&asked.database, asked.is_changed, row, printer.data_style())),
                Err(failure) => complaint::tell_failure(printer, failure),
            }
        }
    }
    let exit = exit_of(&answers, &databases, &about.inventory);
    about.outside.close();
    exit
}

fn prepare(options: &cli::Check, place: &Place, script: &Checked, printer: &Printer) -> Result<About, Exit> {
    let arguments: Vec<(String, String)> = options
        .words
        .iter()
        .filter_map(|word| match word {
            Word::Argument(key, value) => Some((key.clone(), value.clone())),
            Word::Script(_) => None,
        })
        .collect();
    let opened = Environment::beside(place.folder())
        .and_then(|environment| Ok((Outside::open(&options.ssh, place.folder(), &environment)?, environment)));
    let (outside, environment) = opened.map_err(|failure: Failure| {
        complaint::tell_failure(printer, &failure);
        Exit::Error
    })?;
    let inventory = about::learn(script, &arguments, environment, &outside, printer)?;
    Ok(About::new(inventory, outside))
}

/// What each database says of itself.
fn look_at_databases(about: &About, printer: &Printer) -> Vec<(Asked, Result<Row, Failure>)> {
    let all = &about.inventory.databases;
    let ask = |asked: &Asked| Query { database: asked.database.clone(), text: databases::QUESTION.into(), assume: None };
    let answers = look::read(about, spinner(printer), all.iter().map(ask).collect());
    let one = |rows: Vec<Row>| rows.into_iter().next().ok_or_else(|| Failure::failed("the database did not say what it is"));
    all.iter().cloned().zip(answers.into_iter().map(|answer| answer.and_then(one))).collect()
}

type Databases = [(Asked, Result<Row, Failure>)];
type Answers = BTreeMap<HostName, Result<HostState, Failure>>;

/// What each host is for, and what was found there.
fn by_host<'a>(answers: &'a Answers, inventory: &'a Inventory) -> impl Iterator<Item = (Part<'a>, &'a Result<HostState, Failure>)> {
    inventory.parts().filter_map(|part| Some((part, answers.get(&part.host.name)?)))
}

fn as_json(answers: &Answers, databases: &Databases, inventory: &Inventory) -> Value {
    let of_host = |(part, answer): (Part<'_>, &Result<HostState, Failure>)| match answer {
        Ok(state) => json!({
            "host": part.host.name, "engine": state.engine, "user": state.user, "proxy_folder": state.proxy_folder, "proxy_network": state.proxy_network,
            "proxy_problem": state.proxy_problem, "fronts": state.fronts, "clashes": hosts::clashes(state, part.services),
            "out_of_reach": hosts::out_of_reach(part, state),
        }),
        Err(failure) => json!({ "host": part.host.name, "failure": failure }),
    };
    let of_database = |(asked, answer): &(Asked, Result<Row, Failure>)| match answer {
        Ok(row) => {
            json!({ "database": asked.database.to_string(), "answer": row, "problems": databases::problems(row, asked.is_changed) })
        }
        Err(failure) => json!({ "database": asked.database.to_string(), "failure": failure }),
    };
    Value::Array(by_host(answers, inventory).map(of_host).chain(databases.iter().map(of_database)).collect())
}

/// A host that does not answer is worse than one that would refuse a deploy.
fn exit_of(answers: &Answers, databases: &Databases, inventory: &Inventory) -> Exit {
    let of_host = |(part, answer): (Part<'_>, &Result<HostState, Failure>)| match answer {
        Ok(state) if hosts::is_fit(part, state) => Exit::Done,
        Ok(_) => Exit::Bad,
        Err(failure) => Exit::of(Cause::Failure(failure.kind), Remains::Nothing),
    };
    let of_database = |(asked, answer): &(Asked, Result<Row, Failure>)| match answer {
        Ok(row) if databases::problems(row, asked.is_changed).is_empty() => Exit::Done,
        Ok(_) => Exit::Bad,
        Err(failure) => Exit::of(Cause::Failure(failure.kind), Remains::Nothing),
    };
    by_host(answers, inventory).map(of_host).chain(databases.iter().map(of_database)).fold(Exit::Done, worse)
}
