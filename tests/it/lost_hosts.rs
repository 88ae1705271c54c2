//! A deploy that loses a host in the middle: one that is killed and comes back much later, and one that is cut off and healed. Each
//! time it ends as `docs/locking.md` says, and no request through a proxy that lives is lost. A few points, which a seed chooses;
//! `scripts/kill-sweep --hosts` does all.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::killed_deploys::{ROLLING, Random, Serving, setting};
use crate::load::{Load, LoadOptions};
use crate::rig::Output;
use crate::until::until;

/// What a run may take that loses a host for good: nine to twelve seconds until ssh notices, `--reconnect`, and the rest of it.
const GIVEN_UP: Duration = Duration::from_secs(70);

/// The first point behind the build and both shipments, the first that hosts hear of the deploy. A host that does not answer when it
/// is first asked for is not waited for.
const MET: usize = 12;

/// A deploy that waits at a point.
struct Halted<'a> {
    serving: &'a Serving,
    deploy: Child,
}

impl<'a> Halted<'a> {
    /// Deploys until this point; `None` where it came to its end before.
    fn at(point: usize, serving: &'a Serving, version: &str, reconnect: &str) -> Option<Self> {
        let halt = serving.project.path().join("halt");
        let mut command = serving.project.command(&["run", "deploy.rhai", &format!("version={version}"), "--reconnect", reconnect]);
        command.env("PODLIFT_TEST_HALT_AT", point.to_string()).env("PODLIFT_TEST_HALT", &halt);
        let mut deploy = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("podlift starts");
        let mut ended = None;
        until("it halts, or ends", || {
            ended = deploy.try_wait().expect("it is our child");
            ended.is_some() || halt.exists()
        });
        let Some(status) = ended else { return Some(Self { serving, deploy }) };
        assert!(status.success(), "nothing went wrong, and it ended with {status}");
        None
    }

    /// Lets it go on.
    fn go_on(&self) {
        std::fs::remove_file(self.serving.project.path().join("halt")).expect("it halts");
    }

    /// Waits for its end.
    #[track_caller]
    fn end(self) -> Output {
        let output = self.deploy.wait_with_output().expect("it is our child");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Output { code: output.status.code().unwrap_or(-1), stdout: String::new(), stderr }
    }
}

/// A proxy that does not live loses its requests: they go to the other one.
fn load(serving: &Serving, host: usize) -> Load {
    let targets = vec![format!("{}:80", serving.rig.host(host).address)];
    Load::start(&serving.rig, LoadOptions { kept: 12, fresh: 6, targets, ..LoadOptions::on(&serving.rig) })
}

/// A host is killed at this point and stays away: what was done elsewhere is taken back, or all was done before. Whether the deploy
/// came that far.
fn killed(serving: &mut Serving, point: usize, victim: usize) -> bool {
    let (next, other) = (serving.next(), 3 - victim);
    let before = serving.fleet();
    let there = serving.on(other);
    let load = load(serving, other);
    let Some(halted) = Halted::at(point, serving, &next, "2s") else {
        serving.version = next;
        return false;
    };
    serving.rig.kill(victim);
    let begin = Instant::now();
    halted.go_on();
    let ended = halted.end();
    let took = begin.elapsed();
    let how = format!("point {point}: h{victim} killed, ended with {} after {:.0} s", ended.code, took.as_secs_f64());
    println!("{}\n--- {how}", ended.stderr);
    assert!(took < GIVEN_UP, "{how}");
    let summary = load.finish();
    summary.assert_nothing_lost();
    serving.requests += summary.total;
    match ended.code {
        0 => {
            serving.assert_runs(&next, &[other], &how);
            assert!(ended.stderr.contains(&format!("what is live on h{victim} could not be read")), "{how}");
        }
        4..=6 => assert_eq!(serving.on(other), there, "{how}: h{other} is to be as it was"),
        _ => panic!("{how}"),
    }
    if ended.code == 6 {
        assert!(ended.stderr.contains(&format!("! h{victim}: what runs of web there is not known")), "{how}");
    }

    serving.rig.start(victim);
    until("its containers run again", || serving.on(victim).iter().any(|line| line.contains(" serves v")));
    if ended.code == 6 {
        let undone = serving.project.podlift(&["undo"]);
        println!("{}", undone.stderr);
        assert_eq!(undone.code, 0, "{how}: {}", undone.stderr);
    } else if ended.stderr.contains("the lease could not be given back") {
        // The run itself is over.
        let released = serving.project.podlift(&["lock", "release", "deploy.rhai", "--force"]);
        assert_eq!(released.code, 0, "{how}: {}", released.stderr);
    }
    if ended.code == 0 {
        serving.version = next;
    } else {
        assert_eq!(serving.fleet(), before, "{how}: undone, it is as it was");
    }
    serving.assert_runs(&serving.version, &[1, 2], &how);
    println!("--- {how}: as documented, 0 of {} requests failed", summary.total);
    true
}

/// A host is cut off at this point, and healed after a while: the deploy goes on, or has not begun. Whether it came that far.
fn cut_off(serving: &mut Serving, point: usize, victim: usize, away: Duration) -> bool {
    let (next, other) = (serving.next(), 3 - victim);
    let before = serving.fleet();
    let load = load(serving, other);
    let Some(halted) = Halted::at(point, serving, &next, "1m") else {
        serving.version = next;
        return false;
    };
    serving.rig.partition(victim);
    halted.go_on();
    thread::sleep(away);
    serving.rig.heal(victim);
    let ended = halted.end();
    let how = format!("point {point}: h{victim} cut off for {} s, ended with {}", away.as_secs(), ended.code);
    println!("{}\n--- {how}", ended.stderr);
    let summary = load.finish();
    summary.assert_nothing_lost();
    serving.requests += summary.total;
    if point < MET && ended.code == 5 {
        assert!(ended.stderr.contains("did not answer SSH") && ended.stderr.contains("nothing was changed"), "{how}");
        assert_eq!(serving.fleet(), before, "{how}: it is as it was");
        println!("--- {how}: refused at first contact, 0 of {} requests failed", summary.total);
        return true;
    }
    assert_eq!(ended.code, 0, "{how}");
    serving.assert_runs(&next, &[1, 2], &how);
    serving.version = next;
    println!("--- {how}: all new, 0 of {} requests failed", summary.total);
    true
}

#[test]
fn a_deploy_that_loses_a_host_ends_as_documented_and_loses_no_request() {
    let mut random = Random(setting("PODLIFT_SEED").unwrap_or(1));
    let mut dice = move |below| usize::try_from(random.below(below)).expect("it is small");
    let (first, last): (Option<usize>, usize) = (setting("PODLIFT_KILL_FROM"), setting("PODLIFT_KILL_TO").unwrap_or(usize::MAX));
    let end = setting("PODLIFT_KILL_MINUTES").map(|minutes: u64| Instant::now() + Duration::from_secs(60 * minutes));
    // Of each change the moment before its effect and the one behind it; where nothing is asked for, one on the hosts.
    let sample = 4 * (3 + dice(10)) + 1 + dice(2);
    let points = first.unwrap_or(sample)..=if first.is_some() { last } else { sample };

    let mut serving = Serving::new(&ROLLING);
    let mut survived = 0;
    for point in points.filter(|point| [1, 2].contains(&(point % 4))) {
        if end.is_some_and(|end| Instant::now() >= end) {
            println!("--- it is time: go on with --points {point}-");
            break;
        }
        let victim = 1 + dice(2);
        // Either the connection outlasts it, or it breaks.
        let away = Duration::from_secs([2, 14][usize::from(point % 4 == 1)]);
        if !killed(&mut serving, point, victim) || !cut_off(&mut serving, point, 3 - victim, away) {
            println!("--- a deploy has no point {point}");
            break;
        }
        survived += 1;
    }
    println!("--- at {survived} points a host was killed, and one cut off; 0 of {} requests failed", serving.requests);
}
