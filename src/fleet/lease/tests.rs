//! The script for leases, on this machine.
#![expect(clippy::disallowed_types, reason = "the script is what is tested")]

use std::process::Command;

use super::*;
use crate::model::{Host, RunId};

/// The script on this machine, below a folder of the test's own.
struct Here {
    base: tempfile::TempDir,
    host: Host,
}

impl Here {
    fn new() -> Self {
        let mut host = Host::parse("local").expect("valid");
        host.docker = "/nowhere/docker.sock".into();
        Self { base: tempfile::tempdir().expect("a folder"), host }
    }

    fn base(&self) -> &str {
        self.base.path().to_str().expect("it is plain")
    }

    fn holding(run: &str) -> Holding {
        Holding {
            project: ProjectName::new("shop").expect("valid"),
            service: ServiceName::new("web").expect("valid"),
            run: RunId::new(run).expect("valid"),
            owner: "ann@desk".into(),
            purpose: "deploy.rhai 'version=v2' $(id)".into(),
            lasting: Period::seconds(60),
            group: None,
            lost: None,
            known: true,
            confirmed: SystemTime::now(),
        }
    }

    /// What the script says.
    fn says(&self, verb: &str, run: &str, holder: &str, seconds: u64, generation: Option<u64>) -> String {
        let holding = Holding { lasting: Period::seconds(seconds), ..Self::holding(run) };
        Self::run(&words(verb, self.base(), &self.host, &holding, holder, generation))
    }

    fn run(words: &[String]) -> String {
        let output = Command::new(&words[0]).args(&words[1..]).output().expect("there is sh");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn answers(&self, verb: &str, run: &str, holder: &str) -> String {
        self.says(verb, run, holder, 60, None).split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// Lets the lease run out.
    fn expire(&self) {
        for entry in std::fs::read_dir(self.folder()).expect("a folder").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("a lease");
            let lines = text.lines().map(|line| if line.starts_with("expires ") { "expires 1\n".into() } else { format!("{line}\n") });
            std::fs::write(entry.path(), lines.collect::<String>()).expect("written");
        }
    }

    fn folder(&self) -> std::path::PathBuf {
        std::fs::read_dir(self.base.path()).expect("a folder").flatten().next().expect("it was made").path()
    }
}

#[test]
fn one_run_at_a_time_has_a_lease() {
    let here = Here::new();
    assert_eq!(here.answers("take", "r1", "a"), "taken");
    assert_eq!(here.answers("take", "r1", "a"), "taken", "its own once more");
    let said = here.says("take", "r2", "b", 60, None);
    let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
    assert_eq!((lease.run.as_str(), lease.owner.as_str(), lease.purpose.as_str()), ("r1", "ann@desk", "deploy.rhai 'version=v2' $(id)"));
    assert!(lease.is_in_force() && lease.age <= Period::seconds(60) && lease.generation == 2, "{lease:?}");
    assert_eq!(here.answers("renew", "r1", "a"), "taken");
    assert_eq!(here.answers("renew", "r2", "b"), "lost");
    assert_eq!(here.answers("free", "r2", "b"), "lost", "another's is not given back");
    assert_eq!(here.answers("free", "r1", "a"), "done");
    assert_eq!(here.answers("take", "r2", "b"), "taken");
    assert_eq!(std::fs::read_dir(here.folder()).expect("a folder").count(), 1, "one file is left");
}

/// A directory that another group has than this process's own; `None` where nothing can be given to another group.
fn of_another_group(path: &std::path::Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::write(path, "").expect("writes");
    let own = std::fs::metadata(path).expect("it was made").gid();
    let others = Command::new("id").arg("-G").output().expect("there is id").stdout;
    let others = String::from_utf8(others).expect("numbers");
    let known = others.split_whitespace().filter_map(|group| group.parse().ok()).chain([own + 1]);
    known.filter(|group| *group != own).find(|group| std::os::unix::fs::chown(path, None, Some(*group)).is_ok())
}

#[test]
fn a_lease_stays_in_its_folder_when_dockers_socket_appears_or_goes_away() {
    let mut here = Here::new();
    let socket = here.base.path().join("docker.sock");
    here.host.docker = socket.to_str().expect("it is plain").into();
    let take = |here: &Here, run: &str| Here::run(&words("take", here.base(), &here.host, &Here::holding(run), run, None));
    let Answer::Taken(own) = Answer::read(&take(&here, "r1")) else { panic!("it is free") };
    // A user with one group only cannot make a socket of another.
    let Some(dockers) = of_another_group(&socket) else { return };
    let with = |verb: &str, group| {
        let holding = Holding { group, ..Here::holding("r1") };
        Here::run(&words(verb, here.base(), &here.host, &holding, "r1", None))
    };
    assert!(with("renew", None).starts_with("lost "), "Docker's folder has no lease");
    assert_eq!(with("renew", Some(own)), format!("taken {own}\n"));
    assert_eq!(take(&here, "r2"), format!("taken {dockers}\n"));
    std::fs::remove_file(&socket).expect("it is there");
    assert_eq!(with("free", Some(own)), "done\n");
    assert_eq!(std::fs::read_dir(here.base.path()).expect("a folder").count(), 2);
}

#[test]
fn another_process_of_the_same_run_takes_over_only_what_ran_out_or_was_left() {
    let here = Here::new();
    assert_eq!(here.answers("take", "r1", "a"), "taken");
    assert_eq!(here.answers("take", "r1", "b"), "held");
    assert_eq!(here.answers("left", "r1", "a"), "done");
    let said = here.says("take", "r2", "c", 60, None);
    let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
    assert!(lease.left && !lease.is_in_force());
    assert_eq!(here.answers("take", "r1", "b"), "taken");
}

#[test]
fn a_lease_that_ran_out_is_not_free_until_it_is_given_up() {
    let here = Here::new();
    // Its session is no process that can be ended: not this test's own.
    assert_eq!(here.answers("take", "r1", "a"), "taken");
    here.expire();
    let said = here.says("take", "r2", "b", 60, None);
    let Answer::Held(lease, _) = Answer::read(&said) else { panic!("{said}") };
    assert!(!lease.left && !lease.is_in_force());
    let file = std::fs::read_dir(here.folder()).expect("a folder").flatten().next().expect("a lease").path();
    let text = std::fs::read_to_string(&file).expect("a lease");
    let lines = text.lines().map(|line| if line.starts_with("session ") { "session -\n".into() } else { format!("{line}\n") });
    std::fs::write(file, lines.collect::<String>()).expect("written");
    assert_eq!(here.says("break", "x", "x", 60, Some(lease.generation + 1)).trim(), "changed");
    assert_eq!(here.says("break", "x", "x", 60, Some(lease.generation)).trim(), "done");
    assert_eq!(here.answers("renew", "r1", "a"), "lost");
    assert_eq!(here.answers("take", "r2", "b"), "taken");
}

#[test]
fn of_many_at_once_one_gets_it() {
    let here = Here::new();
    let taken = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|number| format!("r{number}")).collect();
        let asked: Vec<_> = runs
            .into_iter()
            .map(|run| {
                scope.spawn({
                    let here = &here;
                    move || here.answers("take", &run, &run)
                })
            })
            .collect();
        asked.into_iter().map(|thread| thread.join().expect("it ends")).filter(|answer| answer == "taken").count()
    });
    assert_eq!(taken, 1);
}

#[test]
fn taking_over_ends_the_session_that_had_it() {
    let here = Here::new();
    assert_eq!(here.answers("take", "r1", "a"), "taken");
    here.expire();
    let mut stale = Command::new("sleep").arg("60").spawn().expect("there is sleep");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", stale.id())).expect("it runs");
    let began = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)).expect("its start");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("it is Linux");
    let file = std::fs::read_dir(here.folder()).expect("a folder").flatten().next().expect("a lease").path();
    let text = std::fs::read_to_string(&file).expect("a lease");
    let with = |session: &str| -> String {
        text.lines().map(|line| if line.starts_with("session ") { format!("session {session}\n") } else { format!("{line}\n") }).collect()
    };
    // A process that began at another time is another one.
    std::fs::write(&file, with(&format!("{} 1 {boot}", stale.id()))).expect("written");
    assert_eq!(here.answers("take", "r1", "b"), "taken");
    assert!(stale.try_wait().expect("it is ours").is_none());
    std::fs::write(here.folder().join("shop@web@99"), with(&format!("{} {began} {boot}", stale.id()))).expect("written");
    assert_eq!(here.answers("take", "r1", "c"), "taken");
    assert!(!stale.wait().expect("it is ours").success());
}

#[test]
fn the_next_process_of_a_run_takes_over_from_one_that_is_known_to_be_gone() {
    let here = Here::new();
    assert_eq!(here.answers("take", "r1", "m/1/2"), "taken");
    let mut words = words("take", here.base(), &here.host, &Here::holding("r1"), "b", None);
    words.push("m/1/3".into());
    assert!(Here::run(&words).starts_with("held "), "another process was gone");
    let holder = holder();
    assert!(!is_gone(&holder) && !is_gone("m/1/2") && !is_gone("") && !is_gone("0123456789abcdef"));
    let (machine, _) = holder.rsplit_once('/').and_then(|(rest, start)| Some((rest.rsplit_once('/')?.0, start))).expect("it is Linux");
    assert!(is_gone(&format!("{machine}/{}/1", std::process::id())), "the number is another process's by now");
}
