//! What a run is to happen in: the fleet, a model of the fleet as it is, or a simulated one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    changes::Counts,
    copies,
    exit::{Exit, Remains},
    journaling,
    outside::Outside,
    stack::{Modelled, states},
};
use crate::{
    cli,
    executor::{
        Real, Recorded, Simulated,
        ending::{Ending, State},
        simulated::{read_kept, write_kept},
    },
    failure::Failure,
    journal::{Entry, Header, Journal},
    model::{HostName, RouteTable},
    nginx_file::{self, names},
    script::Branches,
    terminal::{
        Json, Plan, Printer, plan,
        words::{self, Detail},
    },
};

/// Where simulated fleets are kept, beside where podlift is run.
pub(super) const SIMULATED: &str = ".podlift/simulated.json";

/// One of the modes of `podlift run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is done.
    Live,
    /// It is shown, over the fleet as it is.
    Plan,
    /// It is done to a simulated fleet, which is kept.
    Simulation,
    /// It is shown, over the simulated fleet as it was kept.
    SimulatedPlan,
}

impl Mode {
    /// The mode that the command line asks for.
    pub const fn of(options: &cli::Run) -> Self {
        match (options.simulate, options.dry_run) {
            (false, false) => Self::Live,
            (false, true) => Self::Plan,
            (true, false) => Self::Simulation,
            (true, true) => Self::SimulatedPlan,
        }
    }

    /// The model that it happens in, if it happens in one.
    pub fn model(self, outside: &Outside) -> Result<Option<Modelled>, Failure> {
        Ok(match self {
            Self::Live => None,
            Self::Plan => Some(Modelled::new(Real(outside.executor()))),
            Self::Simulation | Self::SimulatedPlan => {
                Some(Modelled::new(Simulated::new(read_kept(Path::new(SIMULATED))?, outside.executor())))
            }
        })
    }

    /// The journal that it keeps: on the disk where it is done, otherwise in memory.
    pub fn journal(self, header: &Header, outside: &Outside) -> Result<Journal, Failure> {
        match self {
            Self::Live => journaling::begin(header, copies::of(outside)),
            Self::Plan | Self::Simulation | Self::SimulatedPlan => {
                let journal = Journal::in_memory();
                journal.append(Entry::Header(header.clone()))?;
                Ok(journal)
            }
        }
    }

    /// How branches and the hosts of a call are done: a plan lists them in order.
    pub fn branches(self) -> Branches {
        match self {
            Self::Live | Self::Simulation => Branches::default(),
            Self::Plan | Self::SimulatedPlan => Branches::InOrder,
        }
    }

    /// How much a narrator says: a plan is shown as a whole at its end.
    pub const fn detail(self, verbose: bool) -> Detail {
        match self {
            _ if verbose => Detail::All,
            Self::Live | Self::Simulation => Detail::Usual,
            Self::Plan | Self::SimulatedPlan => Detail::Little,
        }
    }

    /// Keeps what a simulated run ended with.
    pub fn keep(self, model: &Modelled) -> Result<(), Failure> {
        match self {
            Self::Simulation => {
                let file = Path::new(SIMULATED);
                write_kept(file, &model.world().kept(read_kept(file)?))
            }
            Self::Live | Self::Plan | Self::SimulatedPlan => Ok(()),
        }
    }

    /// Shows what happened in the model.
    pub fn show(self, options: &cli::Run, printer: &Printer, json: Option<&Json>, records: &[Recorded], model: &Modelled) {
        let (before, world) = (model.before(), model.world());
        let after = states(&world);
        let plan = Plan { records, before: &before, after: &after };
        if let Some(json) = json {
            json.event("plan", plan.json());
            return;
        }
        let style = printer.data_style();
        let traffic = plan::traffic(&world.traffic(), style);
        match self {
            Self::Live | Self::Simulation => printer.data(traffic),
            Self::Plan => printer.data(plan.render(options.verbose, style)),
            Self::SimulatedPlan => printer.data(format!("{}\n{traffic}", plan.render(options.verbose, style))),
        }
        if options.diff {
            printer.data(plan.proxy_files(&usual_file(records), style));
        }
    }

    /// What a failed run left behind.
    pub const fn remains(self, counts: &Counts, state: State, taken_back: bool) -> Remains {
        match self {
            Self::Live | Self::Simulation => Remains::of(counts, state, taken_back),
            Self::Plan | Self::SimulatedPlan => Remains::Nothing,
        }
    }

    /// How it ended well, and what to do next.
    pub fn done(self, counts: &Counts, ending: Option<&Ending>, again: &str, look: &str) -> (String, Option<String>) {
        let did = if counts.changes == 0 { "nothing changed".to_owned() } else { counts.told() };
        let without = match counts.left_out.len() {
            0 => String::new(),
            hosts => format!("; it leaves out {}, so the run is to end as mixed, with {}", words::count(hosts, "host"), Exit::Mixed.code()),
        };
        match self {
            Self::Plan | Self::SimulatedPlan if counts.changes == 0 => {
                (format!("plan: nothing would change on any host{without}"), Some(format!("`{again}` does it")))
            }
            Self::Plan | Self::SimulatedPlan => (format!("plan: {did}, nothing was touched{without}"), Some(format!("`{again}` does it"))),
            Self::Simulation => {
                let forgotten = if counts.databases { ", and nothing of what was done to databases" } else { "" };
                (format!("simulated: {did}"), Some(format!("the fleet is kept in {SIMULATED}{forgotten}")))
            }
            Self::Live => {
                let failed = counts.failed_commands();
                let and = if counts.changes == 0 { "but for" } else { "and" };
                let more = failed.as_ref().map(|failed| format!(", {and} what {failed} did")).unwrap_or_default();
                let next = failed.map(|_| "see what it did".to_owned());
                if counts.changes == 0 || counts.is_all_here() {
                    return (format!("done: {did}{more}"), next);
                }
                (format!("done: {did}{more}{}", serving(ending)), Some(look.into()))
            }
        }
    }

    /// Whether what happens is only shown.
    pub fn is_plan(self) -> bool {
        matches!(self, Self::Plan | Self::SimulatedPlan)
    }

    /// Whether nothing real is at stake.
    pub fn is_modelled(self) -> bool {
        self != Self::Live
    }
}

fn serving(ending: Option<&Ending>) -> String {
    let unread: BTreeSet<&str> =
        ending.iter().flat_map(|ending| &ending.parts).filter(|part| part.unknown.is_some()).map(|part| part.host.as_str()).collect();
    match ending.map_or(State::Unchanged, Ending::state) {
        State::AllNew => ", all new".into(),
        State::Mixed if !unread.is_empty() => {
            format!(", but what is live on {} could not be read", unread.into_iter().collect::<Vec<_>>().join(", "))
        }
        State::Mixed => ", old and new side by side".into(),
        State::AllOld | State::Unchanged => String::new(),
    }
}

/// Makes a service's file as a host of these calls would have it, with its own template: its name and text. A host whose nginx is
/// of another kind has the same routes around other directives.
fn usual_file(records: &[Recorded]) -> impl Fn(&HostName, &RouteTable) -> (String, String) {
    let hosts = records.iter().flat_map(|record| record.op.hosts());
    let templates: BTreeMap<HostName, String> = hosts.filter_map(|host| Some((host.name.clone(), host.proxy.template.clone()?))).collect();
    move |host, table| {
        let name = format!("{}.conf", names::base(&table.project, &table.service));
        let rendered = nginx_file::usual(table, templates.get(host).map(String::as_str));
        (name, rendered.map_or_else(|failure| format!("# {failure}\n"), |rendered| rendered.configuration))
    }
}
