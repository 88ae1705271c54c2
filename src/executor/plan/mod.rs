//! A dry run that was saved, and the executor that holds a run to it.

mod differences;
mod fingerprint;
mod fleet;
mod follow;
mod progress;

use std::{fs, path::Path};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::fleet::Fleet;
pub use self::{fingerprint::Fingerprint, fleet::Unchanged, follow::Follow};
use super::{Key, Recorded, RunInfo, whole};
use crate::{
    failure::{Failure, FailureKind, Origin},
    model::{Host, HostState, ProjectName, RunId},
    op::Op,
};

/// The form of the file; another one is not read.
const FORMAT: u32 = 1;
/// The largest file that is read, in bytes: a plan of 1,000 hosts has about 30 MB.
const SIZE: u64 = 256 << 20;

/// What a dry run found out, bound to its script, its arguments and the fleet as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile<Calls = Vec<PlannedCall>> {
    /// The form of the file.
    pub format: u32,
    /// The podlift that wrote it.
    pub podlift: String,
    /// The run that it was made for: names and marks of what the run makes derive from it.
    pub run: RunId,
    /// When it was made, in RFC 3339, UTC.
    pub made: String,
    /// Who made it.
    pub by: String,
    /// The script's file, as the user wrote it.
    pub script: String,
    /// The run's `KEY=VALUE` arguments.
    pub arguments: Vec<(String, String)>,
    /// The script and everything that it imports.
    pub sources: Vec<SourceHash>,
    /// Whether it was made for the simulated fleet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
    /// The hosts as they were found.
    pub fleet: Vec<Surveyed>,
    /// What the run is to do.
    pub calls: Calls,
    /// What of it the script itself is to take back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Key>,
}

/// A text of the script, by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceHash {
    /// The source's name: a path as the user wrote it, or `std/NAME`.
    pub name: String,
    /// The SHA-256 of its text, in hexadecimal digits.
    pub sha256: String,
}

/// A host as a project found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surveyed {
    /// The host.
    pub host: Host,
    /// The project that asked.
    pub project: ProjectName,
    /// What it was; none where it did not answer.
    pub state: Option<Fingerprint>,
}

impl Surveyed {
    /// The host in this state; without one, a host that did not answer.
    pub fn new(host: &Host, project: &ProjectName, state: Option<&HostState>) -> Self {
        Self { host: host.clone(), project: project.clone(), state: state.map(|state| Fingerprint::of(state, project)) }
    }
}

/// One call of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCall {
    /// Which call.
    pub key: Key,
    /// What it is to do, for people.
    pub words: String,
    /// What it is to do, without what an engine or a race decides.
    pub op: Value,
    /// The place in the script.
    pub origin: Origin,
    /// What the dry run could not know and took for granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
    /// What it is answered with: what the clock said, of which names of files and versions may be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// The calls of a plan that is still to be saved. Each is put into its form when it is written: all of them at once would take as
/// much memory as the dry run itself.
#[derive(Clone, Debug)]
pub struct Made<'a>(&'a [Recorded]);

impl Serialize for Made<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().filter(|record| !record.key.is_undo()).map(PlannedCall::of))
    }
}

impl PlannedCall {
    fn of(record: &Recorded) -> Self {
        Self {
            key: record.key.clone(),
            words: words(&record.op),
            op: record.op.canonical(),
            origin: record.origin.clone(),
            assumed: record.result.as_ref().ok().and_then(|outcome| outcome.assumed.clone()),
            answer: record.result.as_ref().ok().filter(|_| matches!(*record.op, Op::Now(_))).and_then(|outcome| outcome.value.read().ok()),
        }
    }
}

/// The keys of what was done to take something back.
fn taken_back(records: &[Recorded]) -> impl Iterator<Item = &Key> {
    records.iter().filter(|record| record.key.is_undo() && record.result.is_ok()).map(|record| &record.key)
}

/// A file whose text no plan begins with, or whose end is missing.
fn no_plan(file: &Path, error: &serde_json::Error) -> Failure {
    let shown = file.display();
    if error.is_eof() {
        return Failure::refused(format!("the plan {shown} cannot be used: its end is missing")).hint("make it again with `podlift plan`");
    }
    let failure = Failure::refused(format!("{shown} is not a plan of podlift"));
    if file.extension().is_some_and(|extension| extension == "rhai") {
        return failure
            .hint(format!("it is a script: `podlift plan {shown} -o release.plan` makes a plan of it, `podlift run {shown}` runs it"));
    }
    failure.hint("`podlift plan SCRIPT -o FILE` makes one")
}

/// What an op does, in one line with its verb and host.
fn words(op: &Op) -> String {
    let place = op.host().map(|host| format!(" on {}", host.name)).unwrap_or_default();
    format!("{} {}{place}", op.verb(), op.describe())
}

impl<'r> PlanFile<Made<'r>> {
    /// The plan of this script and run; `texts` are the script and its imports by name, `records` what the dry run did.
    pub fn new<'a>(
        run: &RunInfo,
        script: &str,
        arguments: &[(String, String)],
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        fleet: Vec<Surveyed>,
        records: &'r [Recorded],
    ) -> Self {
        Self {
            format: FORMAT,
            podlift: env!("CARGO_PKG_VERSION").into(),
            run: run.id.clone(),
            made: run.started.clone(),
            by: run.operator.clone(),
            script: script.into(),
            arguments: arguments.to_vec(),
            sources: texts.into_iter().map(|(name, text)| SourceHash { name: name.into(), sha256: hash(text) }).collect(),
            simulated: false,
            fleet,
            calls: Made(records),
            undone: taken_back(records).cloned().collect(),
        }
    }
}

impl<Calls: Serialize> PlanFile<Calls> {
    /// Writes it. An ordinary file is whole, old or new, at any moment, and keeps its rights; what is none (a pipe, a device) is
    /// written to, and a link is followed.
    pub fn write(&self, file: &Path) -> Result<(), Failure> {
        let unusable = |error: String| Failure::failed(format!("the plan {} cannot be written: {error}", file.display()));
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| unusable(error.to_string()))?;
        text.push(b'\n');
        whole::write(file, &text).map_err(|error| unusable(error.to_string()))
    }
}

impl PlanFile {
    /// Reads one. Fails where there is none, or where it is not of this version's form.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::refused(format!("the plan {} cannot be used: {why}", file.display()));
        let size = fs::metadata(file).map_err(|error| unusable(error.to_string()))?.len();
        if size > SIZE {
            return Err(unusable(format!("it is larger than {} MiB", SIZE >> 20)));
        }
        let text = fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
        let again = |failure: Failure| failure.hint("make it again with `podlift plan`");
        let value: Value = serde_json::from_str(&text).map_err(|error| no_plan(file, &error))?;
        match value["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => return Err(again(unusable(format!("its format is {format}, and this podlift reads {FORMAT}")))),
            None => return Err(again(unusable("it is not a plan of podlift".into()))),
        }
        serde_json::from_value(value).map_err(|error| again(unusable(error.to_string())))
    }

    /// Whether a text is a plan, of whatever form.
    pub fn is_one(text: &str) -> bool {
        serde_json::from_str::<Value>(text).is_ok_and(|value| value["podlift"].is_string() && value["calls"].is_array())
    }

    /// Refuses a run on the fleet of a plan for the simulated one, and the other way round; `file` is where the plan is.
    pub fn is_for(&self, simulated: bool, file: &Path) -> Result<(), Failure> {
        let (made, asked, command) = match (self.simulated, simulated) {
            (true, false) => ("the simulated fleet", "the real one", " --simulate"),
            (false, true) => ("the real fleet", "the simulated one", ""),
            _ => return Ok(()),
        };
        let failure = Failure::new(FailureKind::Unplanned, format!("the plan was made for {made}, and this run is on {asked}"));
        Err(failure.hint(format!("`podlift run --plan {}{command}` does what was planned", file.display())))
    }

    /// Refuses a script, imports or arguments that are not those of the plan.
    pub fn check<'a>(
        &self,
        script: &str,
        arguments: &[(String, String)],
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Failure> {
        let again = |message: String| {
            Err(Failure::new(FailureKind::Unplanned, message).hint("make a new plan with `podlift plan`, and look at it"))
        };
        if script != self.script {
            return again(format!("the plan is for {}, not for {script}", self.script));
        }
        if arguments != self.arguments {
            let listed = |arguments: &[(String, String)]| match arguments {
                [] => "no arguments".into(),
                some => some.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "),
            };
            return again(format!("the plan was made with {}, not with {}", listed(&self.arguments), listed(arguments)));
        }
        let mut planned: Vec<&SourceHash> = self.sources.iter().collect();
        for (name, text) in texts {
            let hash = hash(text);
            match planned.iter().position(|source| source.name == name) {
                Some(index) if planned[index].sha256 == hash => drop(planned.remove(index)),
                Some(_) => return again(format!("{name} is not the text that the plan was made with")),
                None => return again(format!("{name} was not part of the script when the plan was made")),
            }
        }
        match planned.first() {
            Some(gone) => again(format!("{} is no longer part of the script", gone.name)),
            None => Ok(()),
        }
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Period,
        op::{Outcome, Pause},
    };

    fn made(records: &[Recorded]) -> PlanFile<Made<'_>> {
        let run = RunInfo { id: RunId::new("r1").expect("valid"), operator: "ann@desk".into(), started: "2026-01-01T00:00:00Z".into() };
        let arguments = [("version".to_string(), "v2".to_string())];
        PlanFile::new(&run, "deploy.rhai", &arguments, [("deploy.rhai", "a"), ("lib/x", "b")], Vec::new(), records)
    }

    /// The plan of these records, as it is read again.
    fn saved(records: &[Recorded]) -> PlanFile {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("release.plan");
        made(records).write(&file).expect("writes");
        PlanFile::read(&file).expect("reads")
    }

    fn plan() -> PlanFile {
        saved(&[])
    }

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let record = |key: Key| Recorded {
            key,
            op: Pause { period: Period::seconds(1) }.into(),
            origin: Origin { file: "deploy.rhai".into(), line: 3, column: 7 },
            result: Ok(Outcome::of(()).assuming("it takes a second")),
            seconds: 0.0,
        };
        let call = Key::call("", 1);
        let records = [record(call.clone()), record(call.undo(0))];
        let host = Surveyed::new(&Host::parse("h1").expect("valid"), &ProjectName::default(), None);
        let made = PlanFile { fleet: vec![host], simulated: true, ..made(&records) };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("release.plan");
        made.write(&file).expect("writes");
        let PlanFile { format, podlift, run, made, by, script, arguments, sources, simulated, fleet, calls: _, undone } = made;
        // What undoes is no part of it.
        let calls = vec![PlannedCall::of(&records[0])];
        let plan = PlanFile { format, podlift, run, made, by, script, arguments, sources, simulated, fleet, calls, undone };
        assert_eq!(PlanFile::read(&file).expect("reads"), plan);
        assert_eq!((plan.calls[0].words.as_str(), plan.calls[0].assumed.as_deref()), ("pause 1s", Some("it takes a second")));
    }

    #[test]
    fn a_link_is_followed_and_an_older_plan_keeps_its_rights() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("release.plan"), folder.path().join("latest"));
        symlink("release.plan", &link).expect("links");
        made(&[]).write(&link).expect("writes to where the link leads, also where nothing is yet");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("sets");
        made(&[]).write(&link).expect("writes");
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert_eq!(PlanFile::read(&file).expect("reads"), plan());
        assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_plan_is_for_the_fleet_that_it_was_made_for() {
        let simulated = PlanFile { simulated: true, ..plan() };
        let file = Path::new("release.plan");
        assert_eq!((plan().is_for(false, file), simulated.is_for(true, file)), (Ok(()), Ok(())));
        let failure = simulated.is_for(false, file).expect_err("it is another fleet");
        assert_eq!(failure.hints, ["`podlift run --plan release.plan --simulate` does what was planned"]);
        assert!(plan().is_for(true, file).is_err());
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("release.plan");
        for (text, words) in [
            ("{", "its end is missing"),
            ("let a = 1;", "is not a plan of podlift"),
            ("{}", "not a plan"),
            (r#"{"format":9}"#, "format is 9"),
            (r#"{"format":1}"#, "missing field"),
        ] {
            fs::write(&file, text).expect("writes");
            let failure = PlanFile::read(&file).expect_err("it is no plan");
            assert!(failure.message.contains(words), "{failure}");
        }
        assert!(PlanFile::read(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_plan_is_bound_to_its_script_and_arguments() {
        let arguments = [("version".to_string(), "v2".to_string())];
        let texts = [("lib/x", "b"), ("deploy.rhai", "a")];
        let refusal = |script: &str, arguments: &[(String, String)], texts: &[(&str, &str)]| {
            plan().check(script, arguments, texts.iter().copied()).err().map(|failure| failure.message)
        };
        assert_eq!(refusal("deploy.rhai", &arguments, &texts), None);
        let said = |refusal: Option<String>| refusal.expect("it is refused");
        assert_eq!(said(refusal("other.rhai", &arguments, &texts)), "the plan is for deploy.rhai, not for other.rhai");
        assert_eq!(said(refusal("deploy.rhai", &[], &texts)), "the plan was made with version=v2, not with no arguments");
        assert!(
            said(refusal("deploy.rhai", &arguments, &[("deploy.rhai", "x"), ("lib/x", "b")])).starts_with("deploy.rhai is not the text")
        );
        assert!(said(refusal("deploy.rhai", &arguments, &texts[1..])).starts_with("lib/x is no longer"));
        assert!(said(refusal("deploy.rhai", &arguments, &[texts[0], texts[1], ("lib/y", "")])).starts_with("lib/y was not part"));
    }
}
