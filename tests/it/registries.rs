//! Images go through a real registry: pushed there, pulled by hosts by one digest, and refused with words that help.

use std::process::Command;

use crate::podlift::Project;
use crate::registry::{PASSWORD, Registry};
use crate::rig::{Rig, RigOptions, output};

/// A project without hosts whose builds and pulls are of this machine's engine. Its images go with it.
struct Here {
    project: Project,
    name: String,
}

impl Here {
    fn new(password: &str) -> Self {
        let project = Project::new().env("REGISTRY_PASSWORD", password);
        let folder = project.path().file_name().expect("it has a name").to_string_lossy().to_lowercase();
        let name = format!("registry{}", folder.chars().filter(char::is_ascii_alphanumeric).collect::<String>());
        // No other build has a layer of it, so nothing is lost to anybody when it is deleted.
        project.write("Dockerfile", &format!("FROM scratch\nLABEL test={name}\nCOPY Dockerfile /\n"));
        Self { project, name }
    }

    /// Runs a script with the registry and a built image in it.
    fn run(&self, port: u16, script: &str) -> crate::rig::Output {
        let prelude = format!(
            r#"
            project("{}");
            let registry = registry("127.0.0.1:{port}/team", #{{ username: "podlift", password: secret("REGISTRY_PASSWORD") }});
            let web = service("web", #{{ port: 8000, health: http("/health") }});
            let here = host("local");
            let img = build(web, #{{ tag: "v1" }});
            "#,
            self.name
        );
        self.project.write("script.rhai", &format!("{prelude}{script}"));
        self.project.podlift(&["run", "script.rhai", "--verbose"])
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let listed =
            output(Command::new("docker").args(["images", "--format", "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"]), "");
        let own: Vec<&str> =
            listed.stdout.split_whitespace().filter(|name| name.contains(&self.name) && !name.contains("<none>")).collect();
        if !own.is_empty() {
            output(Command::new("docker").args(["rmi", "--force"]).args(own), "");
        }
    }
}

#[test]
fn an_image_is_pushed_and_pulled_by_the_registrys_digest_and_the_password_is_nowhere_to_be_seen() {
    let mut registry = Registry::start("127.0.0.1");
    let here = Here::new(PASSWORD);
    let run = here.run(
        registry.port,
        r#"
        let there = push(img, registry);
        ensure(there.digest == img.digest && there.version == "v1", `${there.digest} and ${img.digest}`);
        let pulled = pull(there, here);
        ensure(pulled.registry_digest == there.registry_digest && pulled.digest == img.digest, `${pulled.registry_digest}`);
        let again = pull(image(there.reference), here);
        ensure(again == pulled, "a tag is one image in all of a run");
        info(`pushed as ${there.registry_digest} under ${there.reference}`);
        "#,
    );
    assert_eq!(run.code, 0, "{}\n{}", run.stderr, registry.log());
    let name = format!("team/{}-web", here.name);
    assert!(run.stderr.contains("pushed as sha256:") && run.stderr.contains(&format!("/{name}:v1")), "{}", run.stderr);
    assert!(registry.has(&name));
    let journals = output(Command::new("grep").args(["-rlF", PASSWORD]).arg(here.project.path().join(".podlift")), "");
    assert_eq!(journals.code, 1, "{} holds the password", journals.stdout);
    assert!(!run.stderr.contains(PASSWORD), "{}", run.stderr);
    // What the host has is not asked for again, so a registry that is away stops no deploy of it.
    let script = format!(r#"pull(image("127.0.0.1:{}/{name}@{}"), here);"#, registry.port, digest(&run.stderr));
    registry.stop();
    let run = here.run(registry.port, &script);
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// The registry's digest that a run has told.
fn digest(told: &str) -> String {
    let start = told.find("pushed as ").expect("it was told") + "pushed as ".len();
    told[start..].split_whitespace().next().expect("a digest").to_owned()
}

#[test]
fn what_a_registry_refuses_is_told_with_what_to_do() {
    let mut registry = Registry::start("127.0.0.1");
    let here = Here::new("not-the-password");
    let fails = |script: &str, words: &[&str]| {
        let run = here.run(registry.port, script);
        assert_eq!(run.code, 1, "{}", run.stderr);
        for words in words {
            assert!(run.stderr.contains(words), "{words:?} is not in\n{}", run.stderr);
        }
        assert!(!run.stderr.contains("not-the-password"), "{}", run.stderr);
    };
    let log_in = "give the registry the right `username` and `password`";
    fails("push(img, registry);", &["could not be pushed from local", log_in]);
    let missing = format!("pull(image(\"127.0.0.1:{}/team/nothing:v1\"), here);", registry.port);
    fails(&missing, &["team/nothing:v1 was not found from local", log_in]);
    drop(here);

    let here = Here::new(PASSWORD);
    let run = here.run(registry.port, &missing);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("the registry does not have it") && run.stderr.contains("`push`"), "{}", run.stderr);
    let plan = here.project.podlift(&["run", "script.rhai", "--dry-run"]);
    assert_ne!(plan.code, 0, "a dry run asks for what it only reads: {}", plan.stdout);
    registry.stop();
    let run = here.run(registry.port, "push(img, registry);");
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("does not reach the registry") && run.stderr.contains("connection refused"), "{}", run.stderr);
}

#[test]
fn a_fleet_pulls_what_was_pushed_through_one_of_its_hosts_and_serves_it() {
    let options = RigOptions { hosts: 2, docker: Some(r#""insecure-registries":["10.77.0.0/16"]"#), ..RigOptions::default() };
    let rig = Rig::up(options);
    let gateway = rig.gateway();
    let registry = Registry::start(&gateway);
    let project = Project::on(&rig).env("REGISTRY_PASSWORD", PASSWORD);
    let script = format!(
        r#"
        import "std/deploy" as deploy;
        project("shop{}");
        let fleet = hosts(["h1", "h2"]);
        let login = #{{ username: "podlift", password: secret("REGISTRY_PASSWORD"), via: fleet[0] }};
        let web = service("web", #{{ port: 8000, health: http("/health") }});
        deploy::run(web, fleet, #{{ tag: "v1", build: #{{ args: #{{ VERSION: "v1" }} }}, registry: registry("{gateway}:{}", login) }});
        "#,
        rig.id(),
        registry.port,
    );
    project.write("deploy.rhai", &script);
    let plan = project.events(&["run", "deploy.rhai", "--dry-run"]);
    assert_eq!(plan.output.code, 0, "{}", plan.output.stderr);
    let run = project.events(&["run", "deploy.rhai"]);
    assert_eq!(run.output.code, 0, "{}\n{}", run.output.stderr, registry.log());
    crate::podlift::assert_alike(&plan, &run);
    for host in rig.hosts() {
        let url = format!("http://{}/version", host.address);
        assert_eq!(output(Command::new("curl").args(["-sS", "--max-time", "20", &url]), "").text(), "v1");
    }
    let stored =
        rig.exec(1, &["sh", "-c", "cat /root/.docker/config.json 2>/dev/null; grep -rlF correct-horse /root /etc/docker /var/lib/podlift"]);
    assert_eq!(stored.stdout, "", "nothing of the login stays on a host");
}
