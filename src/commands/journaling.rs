//! What commands write into journals, and where.

use std::{collections::BTreeSet, path::Path};

use super::{
    copies::{self, Copies},
    exit::Exit,
    found::Found,
    identity,
    outside::Outside,
    place::Place,
};
use crate::{
    executor::{Call, Executor, ending::Ending},
    failure::{Failure, Origin},
    journal::{Began, Chain, Ended, Entry, Header, How, Journal, Source, Store, deadly::Deadly, entry::FORMAT, folder::Runs, now},
    model::{Key, RunInfo},
    op::{Git, Op},
    script::{Checked, resolver::project_folder},
};

/// The runs of the project that podlift is run in: of the nearest folder with `.git`, `podlift.yml` or `deploy/`, else of this one.
pub fn runs() -> Runs {
    Runs::of(&project_folder(Path::new(".")))
}

/// The folder that podlift keeps what it knows of the project in.
pub fn runs_folder() -> std::path::PathBuf {
    project_folder(Path::new(".")).join(".podlift")
}

/// What is run, for a journal's first record. `local` reads the state of the repository, where there is one.
pub fn header(
    place: &Place,
    script: &Checked,
    arguments: &[(String, String)],
    run: &std::sync::Arc<RunInfo>,
    local: &dyn Executor,
) -> Header {
    let name = place.name();
    let mut texts: Vec<Source> = script.sources().all().into_iter().map(|(name, text)| Source::new(name, &*text)).collect();
    let own = texts.iter().position(|text| text.name == name).map_or_else(|| Source::new(&name, ""), |index| texts.remove(index));
    let folder =
        std::path::absolute(place.folder()).map_or_else(|_| place.folder().display().to_string(), |path| path.display().to_string());
    let origin = Origin { file: name.into(), line: 1, column: 1 };
    let git = local.perform(&Call::new(Git {}, Key::call("header/", 1), origin, run.clone())).ok();
    Header {
        format: FORMAT,
        podlift: env!("CARGO_PKG_VERSION").into(),
        run: (**run).clone(),
        folder,
        script: own,
        imports: texts,
        arguments: arguments.to_vec(),
        git: git.and_then(|outcome| outcome.value.read().ok()),
        planned: false,
    }
}

/// A new run's journal on the disk, with copies on its hosts.
pub fn begin(header: &Header, copies: Copies) -> Result<Journal, Failure> {
    let (id, chain) = (&header.run.id, Chain::default());
    let runs = runs();
    if header.planned {
        runs.is_known(id)?;
    }
    let journal = runs.begin(id, |file| store(copies.over(file, id.clone(), &chain)))?;
    journal.append(Entry::Header(header.clone()))?;
    began(&journal, How::Run)?;
    Ok(journal)
}

/// The journal of a run that goes on behind `chain`. What it knows of secrets, hosts may say back from here on.
pub fn go_on(found: &Found, outside: &Outside) -> Result<Journal, Failure> {
    let secrets: BTreeSet<String> = found.chain.entries().iter().flat_map(Entry::ops).flat_map(Op::secrets).collect();
    outside.fleet().secrets().hide(secrets);
    let copies = copies::of(outside);
    let journal = found.runs.open(&found.id, &found.chain, |file| store(copies.over(file, found.id.clone(), &found.chain)))?;
    Ok(journal.instead_of(found.left_out.iter().map(|copy| copy.chain.head().to_owned()).collect()))
}

/// The store of a journal. Tests make it deadly, or let it halt.
fn store(store: impl Store + 'static) -> Box<dyn Store> {
    let point = |name: &str| std::env::var(name).ok().and_then(|point| point.parse().ok());
    match (point("PODLIFT_TEST_KILL_AT"), point("PODLIFT_TEST_HALT_AT"), std::env::var_os("PODLIFT_TEST_HALT")) {
        (Some(point), ..) => Box::new(Deadly::new(store, point)),
        (None, Some(point), Some(file)) => Box::new(Deadly::halting(store, point, file.into())),
        _ => Box::new(store),
    }
}

/// Notes that this process works on the run.
pub fn began(journal: &Journal, how: How) -> Result<(), Failure> {
    let by = identity::operator().to_owned();
    let podlift = env!("CARGO_PKG_VERSION").into();
    journal.append(Entry::Began(Began { at: now(), by, process: std::process::id(), podlift, how, instead_of: journal.left_out() }))
}

/// Notes that the run is being taken back. What cannot be noted is undone all the same.
pub fn undoing(journal: &Journal) {
    let _ = journal.append(Entry::Undoing { at: now() });
}

/// Notes that a variable was set by hand.
pub fn set_by_hand(journal: &Journal, variable: &str) -> Result<(), Failure> {
    journal.append(Entry::SetByHand { at: now(), variable: variable.to_owned() })
}

/// Notes how this process ended its work, and why and where it did not reach its end. Where that cannot be noted the run counts as
/// interrupted.
pub fn ended(journal: &Journal, exit: Exit, ending: Option<&Ending>, why: Option<(String, Option<Origin>)>) {
    let state = ending.and_then(|ending| serde_json::to_value(ending.state()).ok()?.as_str().map(str::to_owned));
    let (why, origin) = why.map_or((None, None), |(why, origin)| (Some(why), origin));
    let _ = journal.append(Entry::Ended(Ended { at: now(), exit: exit.word().into(), state, why, origin }));
}
