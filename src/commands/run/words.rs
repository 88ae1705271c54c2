//! The end of a run in words, with what to do next.

use std::path::Path;

use crate::{
    cli,
    commands::{
        changes::Counts,
        exit::{Exit, Remains},
        mode::{Mode, SIMULATED},
    },
    terminal::{clean, words},
};

/// The end of a run that came to its end and left hosts out.
pub(super) fn incomplete(counts: &Counts, again: &str, look: &str) -> (String, String) {
    let hosts: Vec<String> = counts.left_out.iter().map(|(host, why)| format!("{host} ({})", clean::line(why))).collect();
    let end = format!("done without {}, so the fleet is mixed: left out {}", words::count(hosts.len(), "host"), hosts.join(", "));
    (end, format!("{look}; `{again}` tries again"))
}

/// The command that does for real, or again, what was done.
pub(super) fn again(options: &cli::Run, script: &str) -> String {
    if let Some(plan) = &options.plan {
        return follow(options, plan);
    }
    let simulate = if options.simulate { " --simulate" } else { "" };
    format!("{}{simulate}", command("run", options, script))
}

/// What a run is for, told to whoever meets its lease.
pub(super) fn purpose(options: &cli::Run, script: &str) -> String {
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    clean::line(&std::iter::once(script.to_owned()).chain(arguments).collect::<Vec<_>>().join(" "))
}

/// The command that does what was saved.
pub(super) fn follow(options: &cli::Run, plan: &Path) -> String {
    let simulate = if options.simulate { " --simulate" } else { "" };
    let ssh = options.ssh.ssh_config.iter().map(|file| format!(" --ssh-config {}", quoted(&file.display().to_string())));
    format!("podlift run --plan {}{simulate}{}", quoted(&plan.display().to_string()), ssh.collect::<String>())
}

/// What to do where a plan does not fit any more.
pub(super) fn new_plan(options: &cli::Run, script: &str) -> String {
    format!("`{}` makes a new plan, to look at", planning(options, script, options.plan.as_deref()))
}

/// The command that plans, and saves the plan where a file is named.
pub(super) fn planning(options: &cli::Run, script: &str, file: Option<&Path>) -> String {
    let simulate = if options.simulate { " --simulate" } else { "" };
    let save = file.map(|file| format!(" -o {}", quoted(&file.display().to_string()))).unwrap_or_default();
    format!("{}{save}{simulate}", command("plan", options, script))
}

/// Where to look at what runs.
pub(super) fn look(options: &cli::Run, script: &str) -> String {
    if Mode::of(options).is_modelled() {
        return format!("the simulated fleet is kept as it is now in {SIMULATED}");
    }
    format!("`{}` shows what runs", command("ps", options, script))
}

fn command(verb: &str, options: &cli::Run, script: &str) -> String {
    let arguments = options.arguments.iter().map(|(key, value)| format!("{key}={value}"));
    let words = [path(script)].into_iter().chain(arguments);
    let command = words.fold(format!("podlift {verb}"), |command, word| format!("{command} {}", quoted(&word)));
    let older = if options.allow_older && verb != "ps" { " --allow-older" } else { "" };
    let ssh = options.ssh.ssh_config.iter().map(|file| format!(" --ssh-config {}", quoted(&file.display().to_string())));
    format!("{command}{older}{}", ssh.collect::<String>())
}

/// A word as a shell takes it, and a terminal shows it: what moves a cursor or cannot be seen is escaped, as bash and zsh read it.
pub(in crate::commands) fn quoted(word: &str) -> String {
    if clean::line(word) != word {
        let escaped = |character: char| match character {
            '\n' => r"\n".to_owned(),
            '\t' => r"\t".to_owned(),
            '\'' | '\\' => format!("\\{character}"),
            character if clean::line(&format!("x{character}x")) == format!("x{character}x") => character.to_string(),
            character if character.is_ascii() => format!(r"\x{:02x}", u32::from(character)),
            character => format!(r"\U{:08x}", u32::from(character)),
        };
        return format!("$'{}'", word.chars().map(escaped).collect::<String>());
    }
    let is_plain = word.chars().all(|character| character.is_alphanumeric() || "_-./=:,@%+".contains(character));
    if is_plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A script's path as an argument: one that begins with a hyphen is no option.
pub(in crate::commands) fn path(script: &str) -> String {
    if script.starts_with('-') { format!("./{script}") } else { script.to_owned() }
}

/// What can be done after a run.
pub(super) struct Next<'a> {
    pub(super) script: &'a str,
    pub(super) again: &'a str,
    pub(super) look: &'a str,
    pub(super) run: &'a str,
    /// Whether it may have failed for what was assumed.
    pub(super) is_assumed: bool,
}

/// How a modelled run failed.
pub(super) const fn modelled(is_assumed: bool) -> &'static str {
    if is_assumed { "failed, by what was assumed" } else { "failed, as a run would" }
}

/// The end state of a run that failed, and what to do next. One that was interrupted can be resumed, one that is mixed undone.
pub(super) fn failed(exit: Exit, remains: Remains, counts: &Counts, next: &Next<'_>, mode: Mode) -> (String, String) {
    let (end, again) = ended(exit, remains, counts, next, mode);
    let Next { look, run, .. } = next;
    match exit {
        Exit::Interrupted if !mode.is_modelled() && counts.cannot_be_resumed => (end, format!("`podlift undo {run}` takes it back")),
        Exit::Interrupted if !mode.is_modelled() && !counts.can_be_undone => (end, format!("`podlift resume {run}` goes on")),
        Exit::Interrupted if !mode.is_modelled() => (end, format!("`podlift resume {run}` goes on, `podlift undo {run}` takes it back")),
        Exit::Mixed if !mode.is_modelled() && counts.can_be_undone && counts.is_all_here() => {
            (end, format!("`podlift undo {run}` tries again to take it back"))
        }
        Exit::Mixed if !mode.is_modelled() && counts.can_be_undone => {
            (end, format!("{look}, `podlift undo {run}` tries again to take it back"))
        }
        _ => (end, again),
    }
}

fn ended(exit: Exit, remains: Remains, counts: &Counts, next: &Next<'_>, mode: Mode) -> (String, String) {
    let Next { script, again, look, run, is_assumed } = next;
    let what = if exit == Exit::Interrupted { "interrupted" } else { "failed" };
    let simulate = || {
        let or = if *is_assumed { ", or say with `assume` what to go by" } else { "" };
        format!("correct {script}{or}, and simulate it again")
    };
    if mode.is_modelled() && remains == Remains::Nothing && exit != Exit::Interrupted {
        let next = match (mode.is_plan(), is_assumed) {
            (true, true) => format!("say with `assume` what to go by, or `{again}` goes by what is so"),
            (true, false) => format!("`{again}` would end the same way"),
            (false, _) => simulate(),
        };
        // What the undo of the model could not take back.
        let mixed = if counts.standing > 0 { ", which would leave the fleet mixed" } else { "" };
        return (format!("{}{mixed}; nothing was touched", modelled(*is_assumed)), next);
    }
    let standing = words::count(counts.standing, "change");
    let undone = if counts.committed > 0 { "everything since the last commit" } else { "everything" };
    if mode.is_modelled() && remains == Remains::Undone && counts.commands > 0 {
        // A model does no command: there is nothing to look at.
        let but = format!("but for {}, of which nothing was done", counts.commands_told());
        return (format!("{}; {undone} was undone {but}", modelled(*is_assumed)), simulate());
    }
    match remains {
        Remains::Nothing if exit == Exit::Bad => {
            (format!("{what}: the script is wrong; nothing was changed"), format!("correct {script} and run it again"))
        }
        Remains::Nothing if counts.commands > 0 => (
            format!("{what}; nothing was changed but what {} may have done", words::count(counts.commands, "command")),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Nothing => (format!("{what}; nothing was changed"), format!("`{again}` tries again")),
        Remains::Undone if counts.kept > 0 && counts.kept == counts.changes => (
            format!("{what}; nothing was changed but by {} without `undo`", words::count(counts.commands, "command")),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Undone if counts.commands > 0 => (
            format!("{what}; {undone} was undone but for what {} did", counts.commands_told()),
            format!("see what it did; `{again}` tries again"),
        ),
        Remains::Undone => (format!("{what}; {undone} was undone"), format!("`{again}` tries again")),
        Remains::Changes if counts.standing == 0 && counts.doubtful > 0 => (
            format!("{what}, and the fleet is mixed: what a call did that was given up is not known"),
            format!("{look}; running the script again makes a new release"),
        ),
        Remains::Changes if counts.standing == 0 && counts.committed == 0 => (
            format!("{what}, and the fleet is mixed: {undone} was undone, but not every host shows that"),
            // A modelled run has no journal.
            if mode.is_modelled() { look.to_string() } else { format!("{look}; `podlift undo {run}` tries again") },
        ),
        Remains::Changes if counts.standing == 0 => (
            format!("{what}, and the fleet is mixed: {} that a commit made final stay", words::count(counts.committed, "change")),
            format!("{look}; `{again}` makes it all new"),
        ),
        Remains::Changes if counts.is_all_here() => (
            format!("{what}, and what was done on this machine is mixed: {standing} of {} may stand", counts.changes),
            format!("see what they did; `{again}` tries again"),
        ),
        Remains::Changes => (
            format!("{what}, and the fleet is mixed: {standing} of {} stand", counts.changes),
            format!("{look}; running the script again makes a new release"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Next<'_> = Next {
        script: "deploy.rhai",
        again: "podlift run deploy.rhai",
        look: "`podlift ps deploy.rhai` shows what runs",
        run: "r1",
        is_assumed: false,
    };

    #[test]
    fn the_next_command_is_one_that_can_be_pasted() {
        assert_eq!(quoted("version=v2"), "version=v2");
        assert_eq!(quoted("note=it's $HOME"), r"'note=it'\''s $HOME'");
        assert_eq!(quoted("note=a  'b'\n\\c\u{1b}"), r"$'note=a  \'b\'\n\\c\x1b'");
        assert_eq!((path("-two.rhai").as_str(), path("a/-two.rhai").as_str()), ("./-two.rhai", "a/-two.rhai"));
    }

    #[test]
    fn what_a_simulated_command_did_is_not_to_be_looked_at() {
        let counts = Counts { changes: 1, kept: 1, commands: 1, ..Counts::default() };
        let (end, next) = failed(Exit::Undone, Remains::Undone, &counts, &NEXT, Mode::Simulation);
        assert_eq!(end, "failed, as a run would; everything was undone but for 1 command without `undo`, of which nothing was done");
        assert_eq!(next, "correct deploy.rhai, and simulate it again");
        let (_, next) = failed(Exit::Undone, Remains::Undone, &counts, &NEXT, Mode::Live);
        assert_eq!(next, "see what it did; `podlift run deploy.rhai` tries again");
    }

    #[test]
    fn what_rests_on_an_assumption_is_not_what_a_run_would_do() {
        let next = Next { is_assumed: true, ..NEXT };
        let ends = |mode| failed(Exit::Error, Remains::Nothing, &Counts::default(), &next, mode);
        let (end, then) = ends(Mode::Plan);
        assert_eq!(end, "failed, by what was assumed; nothing was touched");
        assert_eq!(then, "say with `assume` what to go by, or `podlift run deploy.rhai` goes by what is so");
        let (end, then) = ends(Mode::Simulation);
        assert_eq!(end, "failed, by what was assumed; nothing was touched");
        assert_eq!(then, "correct deploy.rhai, or say with `assume` what to go by, and simulate it again");
        let (end, _) = failed(Exit::Error, Remains::Nothing, &Counts::default(), &next, Mode::Live);
        assert_eq!(end, "failed; nothing was changed");
        let counts = Counts { changes: 2, standing: 1, ..Counts::default() };
        let (end, _) = failed(Exit::Error, Remains::Nothing, &counts, &NEXT, Mode::Plan);
        assert_eq!(end, "failed, as a run would, which would leave the fleet mixed; nothing was touched");
    }

    #[test]
    fn the_last_line_of_a_failure_says_what_stands() {
        let counts = Counts { calls: 9, failed: 1, changes: 4, standing: 3, can_be_undone: true, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, &NEXT, Mode::Live);
        assert_eq!(end, "failed, and the fleet is mixed: 3 changes of 4 stand");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs, `podlift undo r1` tries again to take it back");
        let (end, _) = failed(Exit::Unreachable, Remains::Nothing, &Counts::default(), &NEXT, Mode::Live);
        assert_eq!(end, "failed; nothing was changed");
        let (end, next) = failed(Exit::Interrupted, Remains::Nothing, &Counts::default(), &NEXT, Mode::Live);
        assert_eq!(end, "interrupted; nothing was changed");
        assert_eq!(next, "`podlift resume r1` goes on", "there is nothing to take back");
        let counts = Counts { changes: 4, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, &NEXT, Mode::Live);
        assert_eq!(end, "failed, and the fleet is mixed: everything was undone, but not every host shows that");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs; `podlift undo r1` tries again");
        let counts = Counts { changes: 4, committed: 4, ..Counts::default() };
        let (end, next) = failed(Exit::Mixed, Remains::Changes, &counts, &NEXT, Mode::Live);
        assert_eq!(end, "failed, and the fleet is mixed: 4 changes that a commit made final stay");
        assert_eq!(next, "`podlift ps deploy.rhai` shows what runs; `podlift run deploy.rhai` makes it all new");
    }
}
