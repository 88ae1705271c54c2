//! Two machines that both go on with one run, each of which reaches only a part of its hosts: what `docs/journal.md` says happens,
//! and in the end all is new or all is old.

use crate::killed_deploys::{ROLLING, Serving, project};
use crate::podlift::Project;
use crate::rig::{Output, output};

/// A point in the second host's part of a rolling deploy: the first host's is done.
const AT_THE_SECOND_HOST: usize = 34;
/// A point in the first host's part.
const AT_THE_FIRST_HOST: usize = 20;

/// Deploys the next version, in a process that dies at this point.
fn killed(serving: &mut Serving, point: usize) -> String {
    let next = serving.next();
    let killed = dies(&serving.project, &["run", "deploy.rhai", &format!("version={next}")], point);
    assert_eq!(killed.code, -1, "{}", killed.stderr);
    next
}

fn dies(machine: &Project, arguments: &[&str], point: usize) -> Output {
    output(machine.command(arguments).env("PODLIFT_TEST_KILL_AT", point.to_string()), "")
}

/// A machine that has nothing of the run.
fn machine(serving: &Serving) -> Project {
    project(&serving.rig, &ROLLING)
}

#[track_caller]
fn told(output: &Output) -> &Output {
    println!("--- exit {}\n{}", output.code, output.stderr);
    output
}

#[test]
fn of_two_machines_that_took_a_run_back_one_journal_counts_or_a_person_decides_and_all_is_old() {
    let mut serving = Serving::new(&ROLLING);
    let before = serving.fleet();
    killed(&mut serving, AT_THE_SECOND_HOST);

    // One cannot reach the second host: it goes on, fails there, and takes the first host back.
    serving.rig.partition(2);
    let first = serving.project.podlift(&["resume"]);
    assert_eq!(told(&first).code, 6, "{}", first.stderr);
    serving.rig.heal(2);
    // The other one cannot reach the first host, knows nothing of that, and takes the second host back.
    serving.rig.partition(1);
    let second = machine(&serving).podlift(&["undo", "--from", "h2"]);
    assert_eq!(told(&second).code, 6, "{}", second.stderr);
    serving.rig.heal(1);

    let undone = machine(&serving).podlift(&["undo", "--from", "h1"]);
    told(&undone);
    if undone.code == 0 {
        // The second host's copy had not heard of its last start when the run died: that journal asked for no change, and is left out.
        assert!(undone.stderr.contains("the journal on h2 went another way and is left out"), "{}", undone.stderr);
    } else {
        assert_eq!(undone.code, 3, "{}", undone.stderr);
        for words in ["--journal h1", "--journal h2"] {
            assert!(undone.stderr.contains(words), "{words:?} is not in\n{}", undone.stderr);
        }
        // Its journal does not know that the new containers of the first host are gone.
        let decided = machine(&serving).podlift(&["undo", "--from", "h1", "--journal", "h2"]);
        assert_eq!(told(&decided).code, 0, "{}", decided.stderr);
        assert!(decided.stderr.contains("was gone already"), "{}", decided.stderr);
    }
    assert_eq!(serving.fleet(), before, "all is old");
}

#[test]
fn a_copy_takes_the_place_of_a_damaged_journal_unless_it_ends_before_that_does() {
    let mut serving = Serving::new(&ROLLING);
    let before = serving.fleet();
    killed(&mut serving, AT_THE_SECOND_HOST);
    let runs: serde_json::Value = serde_json::from_str(serving.project.podlift(&["runs", "--json"]).text()).expect("JSON");
    let is_interrupted = |run: &&serde_json::Value| run["state"] == "interrupted";
    let run = runs.as_array().expect("runs").iter().find(is_interrupted).expect("it was killed")["run"].as_str().expect("an id");
    let folder = serving.project.path().join(".podlift/runs").join(run);
    let journal = std::fs::read_to_string(folder.join("journal.jsonl")).expect("it is there");
    let lines: Vec<&str> = journal.split_inclusive('\n').collect();
    let damaged = [&lines[..2], &["{}\n"], &lines[3..]].concat().concat();
    std::fs::write(folder.join("journal.jsonl"), &damaged).expect("writes");
    let copy = format!("/var/lib/podlift/runs/{run}/journal.jsonl");
    (1..=2).for_each(|host| serving.rig.write(host, &copy, &lines[..lines.len() - 1].concat()));

    for (arguments, words) in
        [(&["undo"][..], "line 3 of the journal is not what was written there"), (&["undo", "--from", "h1"], "ends before this one does")]
    {
        let refused = serving.project.podlift(arguments);
        assert!(told(&refused).code == 3 && refused.stderr.contains(words), "{}", refused.stderr);
    }
    serving.rig.write(1, &copy, &journal);
    let undone = serving.project.podlift(&["undo", "--from", "h1"]);
    assert_eq!(told(&undone).code, 0, "{}", undone.stderr);
    assert_eq!(serving.fleet(), before, "all is old");
    assert_eq!(std::fs::read_to_string(folder.join("journal.apart.jsonl")).expect("it is kept"), damaged);
}

#[test]
fn a_machine_goes_on_with_what_another_one_did_to_the_hosts_that_it_reached() {
    let mut serving = Serving::new(&ROLLING);
    let next = killed(&mut serving, AT_THE_FIRST_HOST);
    serving.rig.partition(2);
    let first = dies(&serving.project, &["resume"], 6);
    assert_eq!(told(&first).code, -1, "{}", first.stderr);
    serving.rig.heal(2);
    let second = machine(&serving).podlift(&["resume", "--from", "h2"]);
    assert_eq!(told(&second).code, 0, "{}", second.stderr);
    serving.assert_runs(&next, &[1, 2], "all is new");
    // The first machine learns of it.
    let again = serving.project.podlift(&["resume"]);
    assert_eq!(told(&again).code, 3, "{}", again.stderr);
}
