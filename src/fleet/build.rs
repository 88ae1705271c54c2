//! Building an image with the `docker build` command, so that contexts, `.dockerignore`, BuildKit and credential helpers work as
//! people know them.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

mod command;
mod output;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    process::{ExitStatus, Output as Finished, Stdio},
    time::Duration,
};

use bollard::Docker;
use tokio::process::Command;

use self::{
    command::{Prepared, Values, prepare},
    output::{Lines, Output},
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::{Fleet, engine, group::Group, images::digest},
    model::{Image, Text},
    op,
};

/// The longest that a build may take.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// The longest that the docker command may take to say what it is.
const ANSWER: Duration = Duration::from_secs(20);

/// Builds an image with the `docker build` command of this machine and the engine of `op.on`, and returns it with its content
/// digest. Dropping the future ends the build.
pub async fn build(fleet: &Fleet, op: &op::Build, progress: &dyn Progress) -> Result<Image, Failure> {
    let connection = fleet.host(&op.on).await?;
    let secrets = fleet.secrets();
    let builder = Builder {
        program: "docker",
        folder: fleet.folder(),
        socket: &connection.docker_socket().await?,
        docker: connection.docker().await?,
        resolve: &|text| secrets.resolve(text),
        redact: &|text| secrets.redact(text),
    };
    Box::pin(builder.build(op, progress)).await
}

/// Looks whether a build's context and its Dockerfile are there.
pub fn find_context(fleet: &Fleet, op: &op::FindContext) -> Result<(), Failure> {
    command::find_context(fleet.folder(), &op.context, op.dockerfile.as_deref()).map(drop)
}

/// Where and how a build runs.
struct Builder<'a> {
    /// The docker command, `docker` if nothing else is asked for.
    program: &'a str,
    /// The script's folder.
    folder: &'a Path,
    /// The engine's socket, on this machine.
    socket: &'a Path,
    /// The same engine's API.
    docker: Docker,
    /// Swaps a text's secrets for their values.
    resolve: &'a (dyn Fn(&Text) -> Result<String, Failure> + Sync),
    /// Replaces known secrets in what a build says.
    redact: &'a (dyn Fn(&str) -> String + Sync),
}

impl Builder<'_> {
    /// Builds an image and returns it with its content digest. Dropping the future ends the build.
    async fn build(&self, op: &op::Build, progress: &dyn Progress) -> Result<Image, Failure> {
        let resolved = |texts: &BTreeMap<String, Text>| -> Result<Vec<_>, Failure> {
            texts.iter().map(|(name, text)| Ok((name.clone(), (self.resolve)(text)?))).collect()
        };
        let values = Values { args: resolved(&op.args)?, secrets: resolved(&op.secrets)? };
        self.run(op, values, progress).await.map_err(|failure| failure.on(&op.on.name))?;
        let reference = op.reference();
        let found = digest(&self.docker, &reference).await.map_err(|failure| failure.on(&op.on.name))?;
        let Some(digest) = found else {
            return Err(Failure::failed(format!("docker build succeeded, and the engine has no {reference}"))
                .on(&op.on.name)
                .hint("A buildx builder of its own keeps what it builds: `docker buildx use default`, or unset BUILDX_BUILDER."));
        };
        Ok(Image { reference, digest, version: op.version.clone(), registry_digest: None })
    }

    /// Runs the build to its end. Dropping the future ends it.
    async fn run(&self, op: &op::Build, values: Values, progress: &dyn Progress) -> Result<(), Failure> {
        let prepared = prepare(self.folder, op, values)?;
        if !op.secrets.is_empty() {
            self.can_keep_secrets().await?;
        }
        let shown: Vec<_> = prepared.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
        progress.sent(op.on.name.as_str(), &format!("docker {}", shown.join(" ")));
        let mut output = Output::default();
        let ended = tokio::time::timeout(LONGEST, self.follow(&prepared, &mut output, progress)).await;
        let lines = || output.text();
        match ended {
            Err(_) => Err(Failure::new(FailureKind::Timeout, format!("docker build took longer than {} minutes", LONGEST.as_secs() / 60))
                .detail("its last lines", lines())),
            Ok(Err(error)) => Err(no_docker(self.program, &error)),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(explain(
                Failure::new(FailureKind::Command, format!("docker build of {} failed ({})", op.reference(), ending(status)))
                    .detail("its last lines", lines()),
                &lines(),
                &op.context,
            )),
        }
    }

    async fn follow(&self, prepared: &Prepared, output: &mut Output, progress: &dyn Progress) -> io::Result<ExitStatus> {
        let watched = Group::watched().await?;
        let mut docker = self.docker();
        docker.args(&prepared.arguments).envs(prepared.environment.iter().cloned()).process_group(watched.id());
        let mut child = docker.spawn()?;
        let mut stdout = Lines::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut stderr = Lines::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        // Dropped before the program and its pipes are.
        let group = watched;
        let (mut more_stdout, mut more_stderr) = (true, true);
        while more_stdout || more_stderr {
            let (line, keep): (_, fn(&mut Output, String)) = tokio::select! {
                line = stdout.next(), if more_stdout => { more_stdout = line.is_some(); (line, Output::said) }
                line = stderr.next(), if more_stderr => { more_stderr = line.is_some(); (line, Output::complained) }
            };
            if let Some(line) = line {
                let line = (self.redact)(&line);
                progress.doing(&line);
                keep(output, line);
            }
        }
        let status = child.wait().await?;
        group.leave().await;
        Ok(status)
    }

    fn docker(&self) -> Command {
        let mut command = engine::client(self.program, self.socket);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: the first ctrl-C lets the op in flight finish.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// BuildKit, which secrets need, is a plugin from client 23 on.
    async fn can_keep_secrets(&self) -> Result<(), Failure> {
        if self.ask(&["buildx", "version"]).await?.status.success() {
            return Ok(());
        }
        let version = String::from_utf8_lossy(&self.ask(&["--version"]).await?.stdout).into_owned();
        match major(&version) {
            Some(major) if major < 23 => Ok(()),
            _ => Err(Failure::refused("build secrets need BuildKit, and the docker command here has no buildx")
                .detail("docker --version", version.trim())
                .hint("Install it: the package is docker-buildx-plugin or docker-buildx.")),
        }
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        let answer = tokio::time::timeout(ANSWER, self.docker().args(arguments).output()).await;
        let late =
            |_| Failure::new(FailureKind::Timeout, format!("docker {} did not end within {} s", arguments.join(" "), ANSWER.as_secs()));
        answer.map_err(late)?.map_err(|error| no_docker(self.program, &error))
    }
}

/// The first number of `Docker version 28.2.2, build e6534b4`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix("Docker version ")?.split('.').next()?.parse().ok()
}

fn ending(status: ExitStatus) -> String {
    status.code().map_or_else(|| "ended by a signal".into(), |code| format!("exit code {code}"))
}

fn no_docker(program: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::refused(format!("there is no {program} command on this machine, and images are built with it"))
            .hint("Install the Docker command line (docker-ce-cli or docker.io); the engine itself may be on another host.");
    }
    Failure::failed(format!("the {program} command could not be run: {error}"))
}

fn explain(failure: Failure, lines: &str, context: &str) -> Failure {
    let hint = if lines.contains("no space left on device") {
        "The engine's disk is full: `docker system df` shows what takes it, `docker builder prune` frees the build cache.".into()
    } else if lines.contains("Cannot connect to the Docker daemon") {
        "the engine did not answer; try `docker version` there.".into()
    } else {
        format!(
            "Nothing was changed. The step that failed is in the lines above; `docker build {context}` in the script's folder shows all of them."
        )
    };
    failure.hint(hint)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::{Host, Version};

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Progress for Heard {
        fn doing(&self, what: &str) {
            self.0.lock().expect("no panic").push(what.into());
        }
        fn bytes(&self, _: &str, _: u64, _: u64) {}
        fn sent(&self, host: &str, what: &str) {
            self.0.lock().expect("no panic").push(format!("{host}: {what}"));
        }
    }

    fn project(dockerfile: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("written");
        folder
    }

    fn build(version: &str) -> op::Build {
        op::Build {
            on: Host::parse("local").expect("valid"),
            image: "podlift-ship-test-build".into(),
            version: Version::new(version).expect("valid"),
            context: ".".into(),
            dockerfile: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            platform: None,
        }
    }

    fn builder<'a>(program: &'a str, folder: &'a Path, socket: &'a Path) -> Builder<'a> {
        let docker = Docker::connect_with_unix("/var/run/docker.sock", 60, bollard::API_DEFAULT_VERSION).expect("a socket");
        let resolve = &|text: &Text| text.resolve(|_| Ok("hunter2".into()));
        Builder { program, folder, socket, docker, resolve, redact: &|line| line.replace("hunter2", "${PW}") }
    }

    /// Runs a shell script in place of docker.
    async fn played(script: &str, op: &op::Build, values: Values) -> (Result<(), Failure>, Vec<String>) {
        use std::os::unix::fs::PermissionsExt;
        let folder = project("FROM scratch\n");
        let program = folder.path().join("docker");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made runnable");
        let heard = Heard::default();
        let builder = builder(program.to_str().expect("text"), folder.path(), Path::new("/run/some where/docker.sock"));
        let result = builder.run(op, values, &heard).await;
        (result, heard.0.into_inner().expect("no panic"))
    }

    #[tokio::test]
    async fn docker_is_told_the_engine_and_gets_values_in_its_environment() {
        let op = op::Build { args: [("TOKEN".into(), Text::from("x"))].into(), ..build("v1") };
        let values = Values { args: vec![("TOKEN".into(), "hunter2".into())], secrets: Vec::new() };
        let (result, heard) =
            played(r#"echo "at $DOCKER_HOST"; echo "token $TOKEN"; echo "$*" | grep -c hunter2 >&2; exit 0"#, &op, values).await;
        result.expect("built");
        assert!(heard[0].starts_with("local: docker build --force-rm --tag=podlift-ship-test-build:v1 --build-arg=TOKEN -- "), "{heard:?}");
        for line in ["at unix:///run/some where/docker.sock", "token ${PW}", "0"] {
            assert!(heard.iter().any(|said| said == line), "{line}: {heard:?}");
        }
    }

    #[tokio::test]
    async fn a_failed_build_shows_its_last_lines() {
        let (result, _) =
            played("for n in $(seq 50); do echo line $n; done; echo oh no hunter2 >&2; exit 3", &build("v1"), Values::default()).await;
        let failure = result.expect_err("failed");
        assert_eq!(failure.kind, FailureKind::Command);
        assert_eq!(failure.message, "docker build of podlift-ship-test-build:v1 failed (exit code 3)");
        let text = &failure.details[0].text;
        assert_eq!(text.lines().count(), 30);
        assert!(text.contains("line 50") && text.contains("oh no ${PW}"), "{text}");
        assert_eq!(failure.hints.len(), 1);
    }

    #[tokio::test]
    async fn secrets_without_buildkit_are_refused_before_the_build() {
        let op = op::Build { secrets: [("npm".into(), Text::from("x"))].into(), ..build("v1") };
        let values = || Values { args: Vec::new(), secrets: vec![("npm".into(), "hunter2".into())] };
        let docker = |version: &str| {
            format!(r#"case $1 in --version) echo "Docker version {version}, build x";; buildx) exit 1;; *) echo building;; esac"#)
        };
        let (result, heard) = played(&docker("28.2.2"), &op, values()).await;
        let failure = result.expect_err("refused");
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.contains("no buildx"), "{failure:?}");
        assert!(heard.is_empty());
        let (result, heard) = played(&docker("20.10.24+dfsg1"), &op, values()).await;
        result.expect("old clients have it built in");
        assert!(heard.contains(&"building".into()));
    }

    #[tokio::test]
    async fn a_machine_without_docker_is_told_so() {
        let folder = project("FROM scratch\n");
        let builder = builder("docker-that-is-not-there", folder.path(), Path::new("/x"));
        let failure = builder.run(&build("v1"), Values::default(), &Heard::default()).await.expect_err("no docker");
        assert_eq!(failure.kind, FailureKind::Refused);
        assert!(failure.message.starts_with("there is no docker-that-is-not-there command"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_dropped_build_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let mark = folder.path().join("ended late");
        let script = format!("sleep 1; touch '{}'", mark.display());
        tokio::time::timeout(Duration::from_millis(300), played(&script, &build("v1"), Values::default())).await.expect_err("cut off");
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert!(!mark.exists());
    }

    #[tokio::test]
    #[ignore = "needs a Docker engine and command: scripts/test runs it"]
    async fn a_real_build_gives_the_same_image_again() {
        use bollard::query_parameters::RemoveImageOptionsBuilder;

        let folder = project("FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY Dockerfile /it\nCMD [\"/it\"]\n");
        let mut local = builder("docker", folder.path(), Path::new("/var/run/docker.sock"));
        local.docker = local.docker.clone().negotiate_version().await.expect("an answer");
        let asked = |who: &str| op::Build { args: [("WHO".into(), Text::from(who))].into(), ..build("v1") };
        let heard = Heard::default();
        let first = local.build(&asked("$(id) '\""), &heard).await.expect("built");
        assert_eq!(local.build(&asked("$(id) '\""), &heard).await.expect("built again"), first);
        let other =
            local.build(&op::Build { version: Version::new("v2").expect("valid"), ..asked("another") }, &heard).await.expect("built");
        assert_ne!(other.digest, first.digest);
        let labels = local.docker.inspect_image(&first.reference).await.expect("there").config.expect("one").labels;
        assert_eq!(labels.expect("some")["who"], "$(id) '\"");
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        for image in [&first.reference, &other.reference] {
            local.docker.remove_image(image, Some(options.clone()), None).await.expect("removed");
        }

        std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY nothing /it\n").expect("written");
        let failure = local.build(&asked("x"), &heard).await.expect_err("no such file");
        assert_eq!(failure.kind, FailureKind::Command);
        assert!(failure.details[0].text.contains("nothing"), "{failure:?}");
        assert_eq!(failure.host.expect("named").as_str(), "local");
    }
}
