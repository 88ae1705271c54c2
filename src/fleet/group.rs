//! Groups of processes on the operator's own machine: what a program started ends with it, and with podlift.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{
    fs, io,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// Waits for the end of its input, which comes when podlift ends, in whatever way, and then ends its whole group and itself. The
/// group is its own, so that its number is nobody else's while it waits. It does not end by what a program sends to its group.
const WATCH: &str = "trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2 TSTP TTIN TTOU; echo; read -r line; kill -KILL 0";

/// How long a shell may take to begin.
const BEGINNING: Duration = Duration::from_secs(10);

/// How long a group that is told to end may take, as on hosts.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// A group of processes, which is ended when it is dropped: first politely, after two seconds for good. Neither a program of it nor
/// the pipes to that may be dropped before.
pub struct Group {
    id: Option<u32>,
    watch: Option<(Child, ChildStdin)>,
}

impl Group {
    /// A group that also ends when podlift does, even by SIGKILL. Programs are started [in it](Self::id).
    ///
    /// # Errors
    /// Where there is no shell that watches it.
    pub async fn watched() -> io::Result<Self> {
        let mut watch = Command::new("sh")
            .args(["-c", WATCH])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdin = watch.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut stdout = watch.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // Before its trap stands, what is started in the group could end it.
        timeout(BEGINNING, stdout.read_u8()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Self { id: watch.id(), watch: Some((watch, stdin)) })
    }

    /// The group that this program leads.
    pub fn led_by(program: &Child) -> Self {
        Self { id: program.id(), watch: None }
    }

    /// Its number, for [`Command::process_group`].
    pub fn id(&self) -> i32 {
        self.id.and_then(|id| i32::try_from(id).ok()).unwrap_or_default()
    }

    /// Ends the watch: the program has ended, and what it left running on purpose goes on.
    pub async fn leave(mut self) {
        self.id = None;
        if let Some((mut watch, stdin)) = self.watch.take() {
            // Its input ends behind it.
            let _ = watch.kill().await;
            drop(stdin);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        // A shell that watches does not end by this.
        signal("TERM", id);
        let watch = self.watch.as_ref().and_then(|(watch, _)| watch.id());
        let begin = Instant::now();
        while begin.elapsed() < GRACE && is_at_work(id, watch) {
            thread::sleep(LOOK);
        }
        signal("KILL", id);
    }
}

fn signal(name: &str, group: u32) {
    let mut kill = std::process::Command::new("kill");
    let arguments = [&format!("-{name}"), "--", &format!("-{group}")];
    let _ = kill.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Whether a process of the group has not ended, but for the one that watches it; where nobody can tell, one may not have.
fn is_at_work(group: u32, watch: Option<u32>) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let is_of_it = |stat: &str| {
        // `PID (NAME) STATE PARENT GROUP …`, and a name may have anything in it.
        let Some((process, fields)) = stat.split_once(' ').and_then(|(process, rest)| Some((process, rest.rsplit_once(") ")?.1))) else {
            return false;
        };
        let mut fields = fields.split(' ');
        let (state, of) = (fields.next(), fields.nth(1));
        of == Some(&group.to_string()) && !matches!(state, Some("Z" | "X")) && watch.is_none_or(|watch| process != watch.to_string())
    };
    processes.flatten().any(|process| fs::read_to_string(process.path().join("stat")).is_ok_and(|stat| is_of_it(&stat)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// A program in the group that lasts until it is ended.
    fn lasting(group: &Group) -> Child {
        Command::new("sleep").arg("300").process_group(group.id()).spawn().expect("there is sleep")
    }

    #[tokio::test]
    async fn a_group_ends_when_its_input_does() {
        let mut group = Group::watched().await.expect("there is sh");
        let mut program = lasting(&group);
        // As the end of podlift's process closes it.
        let (mut watch, stdin) = group.watch.take().expect("it is watched");
        drop(stdin);
        assert_eq!(program.wait().await.expect("it ends").signal(), Some(9));
        assert_eq!(watch.wait().await.expect("it ends").signal(), Some(9));
        group.id = None;
    }

    #[tokio::test]
    async fn a_group_that_is_dropped_ends_and_one_that_is_left_goes_on() {
        let group = Group::watched().await.expect("there is sh");
        let mut program = lasting(&group);
        drop(group);
        assert!(!program.wait().await.expect("it ends").success());

        let group = Group::watched().await.expect("there is sh");
        let mut program = lasting(&group);
        group.leave().await;
        let process = program.id().expect("nobody has waited for it").to_string();
        Command::new("kill").args(["-TERM", &process]).status().await.expect("there is kill");
        assert_eq!(program.wait().await.expect("it ends").signal(), Some(15), "it went on until then");
    }

    #[tokio::test]
    async fn a_group_is_asked_to_end_before_it_is_killed() {
        for watched in [true, false] {
            let ends = async |trap: &str| {
                let group = if watched { Some(Group::watched().await.expect("there is sh")) } else { None };
                let mut program = Command::new("sh")
                    .args(["-c", &format!("trap '{trap}' TERM; echo; while :; do sleep 0.05; done")])
                    .stdout(Stdio::piped())
                    .process_group(group.as_ref().map_or(0, Group::id))
                    .spawn()
                    .expect("there is sh");
                let group = group.unwrap_or_else(|| Group::led_by(&program));
                program.stdout.as_mut().expect("it is piped").read_u8().await.expect("its trap stands");
                let begin = Instant::now();
                drop(group);
                (program.wait().await.expect("it ends"), begin.elapsed())
            };
            let (status, took) = ends("exit 3").await;
            assert!(status.code() == Some(3) && took < GRACE, "{status} after {took:?}");
            let (status, took) = ends("").await;
            assert!(status.signal() == Some(9) && took >= GRACE, "{status} after {took:?}");
        }
    }

    #[tokio::test]
    async fn what_a_program_sends_to_its_group_does_not_end_the_watch() {
        let mut group = Group::watched().await.expect("there is sh");
        let script = "trap '' TERM; kill -TERM 0; kill -USR1 0; exit 3";
        let program = Command::new("sh").args(["-c", script]).process_group(group.id()).status().await.expect("there is sh");
        assert_eq!(program.signal(), Some(10), "it reached its group");
        let (watch, _) = group.watch.as_mut().expect("it is watched");
        assert!(watch.try_wait().expect("it can be asked").is_none());
    }
}
