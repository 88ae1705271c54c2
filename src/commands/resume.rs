//! `podlift resume`

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    changes::Counts,
    complaint,
    doubt::Doubt,
    exit::Exit,
    found::{self, Found},
    journaling,
    place::Place,
    rehearse::rehearse,
    run::{Resumed, Teller, go_on},
    show::complain,
    undo,
};
use crate::{
    cli,
    executor::{PlanFile, doubts::commands},
    failure::Failure,
    journal::{Header, How},
    script::{Checked, SecretNames},
    terminal::Printer,
};

/// Goes on with a run that stopped in the middle; one that was being undone goes on being undone.
pub fn run(options: &cli::Resume, printer: &Printer) -> Exit {
    let (outside, _) = match found::outside(&options.ssh, Path::new(".")) {
        Ok(outside) => outside,
        Err(failure) => return complain(printer, &failure),
    };
    let as_run = options.as_run(Path::new("resume"), &[]);
    let refuse = |failure: &Failure| Teller::new(&as_run, printer).refuse(failure);
    let found = Found::find_to(How::Resume, options.run.as_ref(), &options.from, &outside, printer);
    let found = match found.and_then(|found| found.with_copies(&outside, options.journal.as_deref())) {
        Ok(found) => found,
        Err(failure) => return refuse(&failure),
    };
    found.tell_left_out(printer);
    if found.chain.is_undoing() && found.is_open("resumed").is_ok() {
        printer.tell(format!("run {} was being undone when it stopped: it goes on being undone", found.id));
        outside.close();
        return undo::undo(&options.as_undo(), &found, printer);
    }
    outside.close();
    match prepare(options, &found, printer) {
        Ok((run, resumed)) => go_on(&run, resumed, printer),
        Err(Unprepared::Failure(failure)) => refuse(&failure),
        Err(Unprepared::Script(script)) => Teller::new(&as_run, printer).bad(&script.diagnostics(), &script),
        Err(Unprepared::Ended(ended, script)) => {
            let diagnostic = complaint::harmless(ended.diagnostic);
            complaint::tell(printer, std::slice::from_ref(&diagnostic), script.sources());
            let end = format!("run {} stays as it is", found.id);
            let next = Some("nothing was done or undone".into());
            Teller::new(&as_run, printer).conclude(Exit::Refused, end, next, &Counts::default(), None, &[diagnostic]);
            Exit::Refused
        }
    }
}

enum Unprepared {
    Failure(Failure),
    Script(Box<Checked>),
    Ended(Box<crate::script::Ended>, Box<Checked>),
}

impl From<Failure> for Unprepared {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn prepare(options: &cli::Resume, found: &Found, printer: &Printer) -> Result<(cli::Run, Resumed), Unprepared> {
    found.is_open("resumed")?;
    found.follows_its_script()?;
    let header = found.header()?;
    let (place, script) = match &options.script {
        Some(file) => {
            let place = Place::find(file)?;
            let script = place.check()?;
            (place, script)
        }
        None => (place_of(header), recorded(header)?),
    };
    if !script.diagnostics().is_empty() {
        return Err(Unprepared::Script(Box::new(script)));
    }
    let (outside, environment) = found::outside(&options.ssh, place.folder())?;
    let plan = plan_of(options, found, header)?;
    let journal = Arc::new(journaling::go_on(found, &outside)?);
    if let Some(plan) = &plan {
        plan.write(&found.runs.plan(&found.id))?;
    }
    let run = Arc::new(header.run.clone());
    let secrets: Arc<dyn SecretNames> = Arc::new(environment.clone());
    if let Err(ended) = rehearse(&script, &header.arguments, &run, &journal, &secrets) {
        return Err(Unprepared::Ended(Box::new(ended), Box::new(script)));
    }
    let decide = Doubt::new(options.in_doubt, printer);
    decide.settle(&commands(&journal), &run.id, How::Resume)?;
    let decide = Arc::new(decide);
    let options = options.as_run(&place.file, &header.arguments);
    Ok((options, Resumed { place, script, environment, outside, plan, journal, run, decide }))
}

/// The plan that the run is held to, if it is: the one that is named, or that is kept beside its journal.
fn plan_of(options: &cli::Resume, found: &Found, header: &Header) -> Result<Option<PlanFile>, Failure> {
    let (id, kept) = (&found.id, found.runs.plan(&found.id));
    if !header.planned {
        let refused = || Failure::refused(format!("run {id} is held to no plan")).hint("resume it without `--plan`");
        return options.plan.is_none().then_some(None).ok_or_else(refused);
    }
    if options.plan.is_none() && !kept.exists() {
        return Err(Failure::refused(format!("run {id} is held to a plan, which is not on this machine"))
            .hint(format!("`podlift resume {id} --plan FILE` goes on with it, `podlift undo {id}` takes back what it did")));
    }
    let file = options.plan.as_ref().unwrap_or(&kept);
    let plan = PlanFile::read(file)?;
    if plan.run != *id {
        return Err(Failure::refused(format!("{} is the plan of run {}, not of {id}", file.display(), plan.run)));
    }
    Ok(Some(plan))
}

/// Where the script was; on a machine that does not have its folder, this one.
pub(super) fn place_of(header: &Header) -> Place {
    let name = Path::new(&header.script.name);
    let file = name.file_name().map_or_else(|| PathBuf::from("script.rhai"), PathBuf::from);
    if name.is_file() {
        return Place { file: name.into() };
    }
    let there = Path::new(&header.folder).join(&file);
    Place { file: if there.parent().is_some_and(Path::is_dir) { there } else { file } }
}

/// The script as it was recorded.
fn recorded(header: &Header) -> Result<Checked, Failure> {
    if let Some(source) = std::iter::once(&header.script).chain(&header.imports).find(|source| !source.is_whole()) {
        return Err(Failure::refused(format!("the recorded text of {} is not the one that was hashed", source.name)));
    }
    let imports = header.imports.iter().map(|source| (source.name.clone(), source.text.clone()));
    Ok(Checked::recorded(&header.script.name, &header.script.text, imports.collect()))
}
