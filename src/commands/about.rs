//! Which hosts and project a command is about: given by hand, or learnt by running a script in a model.

use std::{path::Path, sync::Arc};

use super::{
    complaint,
    environment::Environment,
    exit::Exit,
    identity,
    inventory::Inventory,
    mode::Mode,
    outside::Outside,
    place::{Place, argument},
    stack::{Modelled, Stack},
};
use crate::{
    cli,
    executor::{Cancellation, Event, Executor, Narrator, Simulated, Terms},
    failure::Failure,
    model::ProjectName,
    script::{Branches, Checked, ScriptRun},
    terminal::{Printer, Tree, words::Detail},
    world::Kept,
};

/// Hosts, project and services, and the way to them.
pub struct About {
    /// What it is about.
    pub inventory: Inventory,
    /// The way there.
    pub outside: Outside,
    /// What answers reads: the hosts, or a modelled fleet.
    pub reads: Arc<dyn Executor>,
}

impl About {
    /// About these hosts as they are.
    pub fn new(inventory: Inventory, outside: Outside) -> Self {
        Self { inventory, reads: outside.executor(), outside }
    }

    /// The same of the simulated fleet, as it is kept here.
    pub fn simulated(self) -> Result<Self, Failure> {
        Ok(match Mode::Simulation.model(&self.outside)? {
            Some(model) => Self { reads: Arc::new(model), ..self },
            None => self,
        })
    }
}

/// The script that is meant where none is named, and no host.
const USUAL: &str = "deploy.rhai";

/// Nobody listens.
pub struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}

/// Shows what is going on where that can be shown without leaving a trace.
pub fn spinner(printer: &Printer) -> Arc<dyn Narrator> {
    if printer.is_live() { Arc::new(Tree::new(printer.clone(), Detail::Little)) } else { Arc::new(Deaf) }
}

/// Finds out; whatever is in the way has been told when this returns an exit code.
pub fn find(place: &cli::Where, printer: &Printer) -> Result<About, Exit> {
    let failed = |failure: Failure| {
        complaint::tell_failure(printer, &failure);
        Exit::not_begun(failure.kind)
    };
    let usual = Path::new(USUAL);
    let mut place = place.clone();
    if let Some(first) = place.script.as_deref().and_then(argument) {
        place.script = None;
        place.arguments.insert(0, first);
    }
    let script = place.script.as_deref().or_else(|| (place.hosts.is_empty() && usual.is_file()).then_some(usual));
    if script.is_none() && place.hosts.is_empty() {
        let nowhere = Failure::refused(format!("no script and no host is named, and there is no {USUAL} here"));
        return Err(failed(nowhere.hint("name the script that deploys, or each host with --host ADDRESS")));
    }
    let Some(script) = script else {
        let folder = Path::new(".");
        let environment = Environment::beside(folder).map_err(failed)?;
        let outside = Outside::open(&place.ssh, folder, &environment).map_err(failed)?;
        let hosts = place.hosts.iter().map(|host| (host.name.clone(), host.clone())).collect();
        let inventory = Inventory { project: place.project.clone().unwrap_or_default(), hosts, ..Inventory::default() };
        return Ok(About::new(inventory, outside));
    };
    let script_place = Place::find(script).map_err(failed)?;
    let checked = script_place.check().map_err(failed)?;
    let environment = Environment::beside(script_place.folder()).map_err(failed)?;
    let outside = Outside::open(&place.ssh, script_place.folder(), &environment).map_err(failed)?;
    let mut inventory = learn(&checked, &place.arguments, environment, &outside, printer)?;
    if let Some(project) = &place.project {
        inventory.project = ProjectName::clone(project);
    }
    Ok(About::new(inventory, outside))
}

/// Runs a script on an empty modelled fleet. One that fails on the way still tells its hosts, if it came so far.
pub fn learn(
    script: &Checked,
    arguments: &[(String, String)],
    environment: Environment,
    outside: &Outside,
    printer: &Printer,
) -> Result<Inventory, Exit> {
    let findings = script.diagnostics();
    if !findings.is_empty() {
        complaint::tell(printer, &findings, script.sources());
        return Err(Exit::Bad);
    }
    let model = Modelled::new(Simulated::new(Kept::default(), outside.executor()));
    let stack = Stack::over(Arc::new(model), Arc::new(Deaf), Terms::default());
    let (ended, project) = script.look(ScriptRun {
        arguments: arguments.to_vec(),
        executor: stack.executor(),
        narrator: Arc::new(Deaf),
        run: Arc::new(identity::new_run()),
        branches: Branches::InOrder,
        cancellation: Cancellation::default(),
        secrets: Arc::new(environment),
    });
    let inventory = Inventory::of(project, &stack.records());
    match ended {
        Err(ended) if inventory.hosts.is_empty() => {
            complaint::tell(printer, &[complaint::harmless(ended.diagnostic)], script.sources());
            Err(Exit::Bad)
        }
        _ => Ok(inventory),
    }
}
