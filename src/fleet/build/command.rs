//! What `docker build` is called with: arguments that anybody may see, and an environment and files that hold the values.

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{failure::Failure, fleet::images::check_reference, model::name::env_name, op};

/// Names that the docker command itself would take for its own.
const OWN_NAMES: [&str; 6] = ["PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK", "BASH_ENV"];
/// What such names begin with.
const OWN_PREFIXES: [&str; 4] = ["DOCKER_", "BUILDX_", "LD_", "DYLD_"];

/// The values that a build was given, secrets swapped in: never in arguments, never in output.
#[derive(Default)]
pub(super) struct Values {
    /// Build arguments.
    pub(super) args: Vec<(String, String)>,
    /// BuildKit secrets, by id.
    pub(super) secrets: Vec<(String, String)>,
}

/// A build that can be started.
pub(super) struct Prepared {
    /// The arguments behind `docker`.
    pub(super) arguments: Vec<OsString>,
    /// What is added to the environment.
    pub(super) environment: Vec<(String, String)>,
    /// Holds the secrets' files, and removes them when it is dropped.
    _files: Option<TempDir>,
}

/// Refuses what could not be built, and lays out the rest: `folder` is the script's.
pub(super) fn prepare(folder: &Path, op: &op::Build, values: Values) -> Result<Prepared, Failure> {
    check_reference(&op.reference())?;
    for name in op.args.keys() {
        check_argument(name)?;
    }
    for id in op.secrets.keys() {
        check_secret(id)?;
    }
    let (context, dockerfile) = find_context(folder, &op.context, op.dockerfile.as_deref())?;
    // Without BuildKit a step that fails leaves its container, which has the build's arguments in its environment.
    let mut arguments: Vec<OsString> = vec!["build".into(), "--force-rm".into(), format!("--tag={}", op.reference()).into()];
    if op.dockerfile.is_some() {
        arguments.push(flag("--file=", &dockerfile));
    }
    arguments.extend(op.target.iter().map(|target| format!("--target={target}").into()));
    arguments.extend(op.platform.iter().map(|platform| format!("--platform={platform}").into()));
    arguments.extend(op.args.keys().map(|name| format!("--build-arg={name}").into()));
    let files =
        secret_files(&values.secrets).map_err(|error| Failure::failed(format!("the build's secrets could not be laid out: {error}")))?;
    if let Some(files) = &files {
        for (number, (id, _)) in values.secrets.iter().enumerate() {
            arguments.push(flag(&format!("--secret=id={id},src="), &files.path().join(number.to_string())));
        }
    }
    arguments.push("--".into());
    arguments.push(context.into());
    let mut environment = values.args;
    if files.is_some() {
        // Clients before 23 have BuildKit and use it only when told to.
        environment.push(("DOCKER_BUILDKIT".into(), "1".into()));
    }
    Ok(Prepared { arguments, environment, _files: files })
}

fn check_argument(name: &str) -> Result<(), Failure> {
    env_name(name).map_err(|invalid| Failure::refused(format!("the build argument {invalid}")))?;
    if OWN_NAMES.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Failure::refused(format!("the build argument {name} would change the docker command itself"))
            .hint("Values are handed over in the environment, where no other user sees them; give the argument another name."));
    }
    Ok(())
}

fn check_secret(id: &str) -> Result<(), Failure> {
    let fits = !id.is_empty() && id.len() <= 128 && id.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if fits {
        Ok(())
    } else {
        Err(Failure::refused(format!("{id:?} is not a valid id of a build secret: letters, digits, `_`, `.` and `-`")))
    }
}

/// Where a build's context is, and its Dockerfile.
pub(super) fn find_context(folder: &Path, written: &str, dockerfile: Option<&str>) -> Result<(PathBuf, PathBuf), Failure> {
    let context = context(folder, written)?;
    let dockerfile = find_dockerfile(&context, written, dockerfile.unwrap_or("Dockerfile"))?;
    Ok((context, dockerfile))
}

/// The context's folder. It may lie outside of the script's: `..` is how people build from a `deploy/` folder.
fn context(folder: &Path, written: &str) -> Result<PathBuf, Failure> {
    let hint = "A context is a folder, relative to the script's.";
    if written.starts_with('-') {
        return Err(Failure::refused(format!("the build context {written:?} looks like an option of docker")).hint(hint));
    }
    match folder.join(written).canonicalize() {
        Ok(context) if context.is_dir() => Ok(context),
        Ok(_) => Err(Failure::refused(format!("the build context {written:?} is not a folder")).hint(hint)),
        Err(error) => Err(Failure::refused(format!("the build context {written:?} cannot be used: {error}"))
            .detail("looked for in", folder.display().to_string())
            .hint(hint)),
    }
}

fn find_dockerfile(context: &Path, written_context: &str, written: &str) -> Result<PathBuf, Failure> {
    let path = context.join(written);
    if path.is_file() {
        return Ok(path);
    }
    Err(Failure::refused(format!("there is no {written} in the build context {written_context:?}"))
        .detail("looked for", path.display().to_string())
        .hint("Its path is relative to the context; `dockerfile` names another."))
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(path);
    flag
}

/// A folder of this user's only, with a file for each secret.
fn secret_files(secrets: &[(String, String)]) -> io::Result<Option<TempDir>> {
    if secrets.is_empty() {
        return Ok(None);
    }
    let folder = tempfile::Builder::new().prefix("podlift-").tempdir()?;
    for (number, (_, value)) in secrets.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(value.as_bytes())?;
    }
    Ok(Some(folder))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{
        failure::FailureKind,
        model::{Host, Text, Version},
    };

    fn project() -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("deploy")).expect("made");
        std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").expect("written");
        std::fs::write(folder.path().join("my file"), "FROM scratch\n").expect("written");
        folder
    }

    fn build(context: &str) -> op::Build {
        op::Build {
            on: Host::parse("local").expect("valid"),
            image: "shop-web".into(),
            version: Version::new("v2").expect("valid"),
            context: context.into(),
            dockerfile: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            platform: None,
        }
    }

    fn words(prepared: &Prepared) -> Vec<String> {
        prepared.arguments.iter().map(|argument| argument.to_str().expect("text").to_owned()).collect()
    }

    #[test]
    fn values_are_in_no_argument() {
        let project = project();
        let root = project.path().canonicalize().expect("there");
        let op = op::Build {
            dockerfile: Some("my file".into()),
            target: Some("--rm".into()),
            platform: Some("linux/amd64".into()),
            args: [("COMMIT".into(), Text::from("$(id)"))].into(),
            secrets: [("npm".into(), Text::from("-"))].into(),
            ..build("..")
        };
        let values = Values { args: vec![("COMMIT".into(), "$(id)".into())], secrets: vec![("npm".into(), "hunter2".into())] };
        let prepared = prepare(&root.join("deploy"), &op, values).expect("fine");
        let mut words = words(&prepared);
        let secret = words.remove(7);
        let file = secret.strip_prefix("--secret=id=npm,src=").expect("a file").to_owned();
        assert_eq!(
            words,
            [
                "build",
                "--force-rm",
                "--tag=shop-web:v2",
                &format!("--file={}", root.join("my file").display()),
                "--target=--rm",
                "--platform=linux/amd64",
                "--build-arg=COMMIT",
                "--",
                root.to_str().expect("text"),
            ]
        );
        assert_eq!(prepared.environment, [("COMMIT".into(), "$(id)".into()), ("DOCKER_BUILDKIT".into(), "1".to_string())]);
        assert_eq!(std::fs::read_to_string(&file).expect("there"), "hunter2");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        drop(prepared);
        assert!(!Path::new(&file).exists());
    }

    #[test]
    fn an_ordinary_build_is_short() {
        let project = project();
        let root = project.path().canonicalize().expect("there");
        let prepared = prepare(&root, &build("."), Values::default()).expect("fine");
        assert_eq!(words(&prepared), ["build", "--force-rm", "--tag=shop-web:v2", "--", root.to_str().expect("text")]);
        assert!(prepared.environment.is_empty());
    }

    #[test]
    fn what_cannot_be_built_is_refused_before() {
        let project = project();
        let refused = |op: &op::Build| {
            let failure = prepare(project.path(), op, Values::default()).err().expect("refused");
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(!failure.hints.is_empty() || failure.message.contains("letters"), "{failure:?}");
            failure.message
        };
        for context in ["-", "--help", "nowhere", "Dockerfile", "https://example.com/x.git"] {
            assert!(refused(&build(context)).contains(context));
        }
        assert_eq!(refused(&build("deploy")), r#"there is no Dockerfile in the build context "deploy""#);
        assert_eq!(refused(&op::Build { dockerfile: Some("Other".into()), ..build(".") }), r#"there is no Other in the build context ".""#);
        for name in ["", "A=B", "A B", "PATH", "DOCKER_HOST", "LD_PRELOAD", "-x"] {
            refused(&op::Build { args: [(name.into(), Text::from("x"))].into(), ..build(".") });
        }
        for id in ["", "a,src=/etc/shadow", "a b", "../x\n"] {
            refused(&op::Build { secrets: [(id.into(), Text::from("x"))].into(), ..build(".") });
        }
    }
}
