//! What a deploy meets on bad days: each a clear error with its exit code, and the hosts as they were.

use std::time::{Duration, Instant};

use crate::podlift::Project;
use crate::rig::{Output, Rig, RigOptions, output};

/// Deploys the app with `rolling`; a test replaces what it is about.
const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("shop");
let fleet = [host("h1")];
let web = service("web", #{ port: 8000, health: http("/health", #{ timeout: "5s" }) });
let img = build(web, #{ tag: "v1" });
ship(img, fleet);
rolling::deploy(web, img, fleet);
"#;

/// A project on a rig, with `DEPLOY` in which `from` is replaced by `to`.
fn project(rig: &Rig, from: &str, to: &str) -> Project {
    let project = Project::on(rig);
    assert!(DEPLOY.contains(from), "{from} is not in the script");
    project.write("deploy.rhai", &own(rig, &DEPLOY.replace(from, to)));
    project
}

/// The script with a project of the rig's own: tests share this machine's engine, in which a name is one image.
fn own(rig: &Rig, script: &str) -> String {
    script.replace("\"shop\"", &format!("\"shop{}\"", rig.id()))
}

#[track_caller]
fn assert_ends(run: &Output, code: i32, words: &[&str]) {
    println!("--- exit {}\n{}", run.code, run.stderr);
    assert_eq!(run.code, code, "{}", run.stderr);
    for words in words {
        assert!(run.stderr.contains(words), "{words:?} is not in\n{}", run.stderr);
    }
}

/// Runs the script, which must end so, and leave the host as it was but for images.
#[track_caller]
fn assert_fails(rig: &Rig, project: &Project, code: i32, words: &[&str]) {
    let before = rig.snapshot(1);
    let run = project.podlift(&["run", "deploy.rhai"]);
    assert_ends(&run, code, words);
    assert_as_before(&before, &rig.snapshot(1));
}

/// Nothing but images may differ.
#[track_caller]
fn assert_as_before(before: &[String], after: &[String]) {
    let lost: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line) && !line.starts_with("image ")).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost: {lost:#?}\nnew: {new:#?}");
}

#[test]
fn a_host_that_ssh_cannot_log_in_to_is_named_with_the_reason_in_time() {
    let rig = Rig::up(RigOptions::default());
    let deploy = project(&rig, "v1", "v1");
    let within = |seconds, words: &[&str]| {
        let begin = Instant::now();
        let run = deploy.podlift(&["run", "deploy.rhai"]);
        assert_ends(&run, 5, words);
        assert!(begin.elapsed() < Duration::from_secs(seconds), "it took {:?}", begin.elapsed());
    };
    let before = rig.snapshot(1);
    rig.refuse_port(1, 22);
    within(10, &["h1 refused the SSH connection", "check that sshd runs there", "nothing was changed"]);
    rig.heal(1);
    rig.drop_port(1, 22);
    within(15, &["h1 did not answer SSH", "firewall"]);
    rig.heal(1);
    rig.partition(1);
    within(15, &["h1 did not answer SSH"]);
    rig.heal(1);

    let known = rig.state().join("known_hosts");
    let keys = std::fs::read_to_string(&known).expect("the rig made it");
    std::fs::write(&known, "").expect("it can be written");
    within(10, &["h1's host key is not known", "ssh-keyscan"]);
    let other = std::fs::read_to_string(rig.state().join("id.pub")).expect("the rig made it");
    std::fs::write(&known, format!("h1,{} {other}", rig.host(1).address)).expect("it can be written");
    within(10, &["h1 shows another host key than the known one", "ssh-keygen -R"]);
    std::fs::write(&known, keys).expect("it can be written");

    let missing = project(&rig, "host(\"h1\")", "host(\"nowhere.invalid\")").podlift(&["run", "deploy.rhai"]);
    assert_ends(&missing, 5, &["there is no host of the name nowhere.invalid"]);
    rig.exec(1, &["mv", "/root/.ssh/authorized_keys", "/root/keys"]).text();
    within(10, &["h1 did not accept the login as root@", "authorized_keys"]);
    rig.exec(1, &["mv", "/root/keys", "/root/.ssh/authorized_keys"]).text();
    assert_as_before(&before, &rig.snapshot(1));
}

#[test]
fn a_docker_engine_that_cannot_be_used_is_told_with_what_to_do() {
    let rig = Rig::up(RigOptions::default());
    let as_root = project(&rig, "v1", "v1");
    let as_deploy = project(&rig, "host(\"h1\")", "host(\"d1\")");
    rig.exec(1, &["mv", "/run/docker.sock", "/run/docker.away"]).text();
    // Without its engine the host can tell no snapshot.
    assert_ends(&as_root.podlift(&["run", "deploy.rhai"]), 5, &["there is no Docker socket /var/run/docker.sock on h1", "install Docker"]);
    rig.exec(1, &["mv", "/run/docker.away", "/run/docker.sock"]).text();

    rig.exec(1, &["sed", "-i", r"s/^\(docker:.*:\)deploy$/\1/", "/etc/group"]).text();
    assert_fails(&rig, &as_deploy, 5, &["the user deploy may not use the Docker socket", "usermod -aG docker deploy"]);

    rig.exec(1, &["sh", "-c", "echo AllowStreamLocalForwarding no >>/etc/ssh/sshd_config && kill -HUP $(cat /run/sshd.pid)"]).text();
    assert_fails(&rig, &as_root, 5, &["h1's sshd does not forward the Docker socket", "AllowStreamLocalForwarding yes"]);
}

#[test]
fn a_full_disk_is_told_before_anything_moves_or_else_undone() {
    let rig = Rig::up(RigOptions { disk: Some("64M"), ..RigOptions::default() });
    let large = project(&rig, "v1", "v1");
    let mut bytes = vec![0; 48 << 20];
    let mut state = 1_u64;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = state.to_be_bytes()[0];
    }
    std::fs::write(large.path().join("large"), bytes).expect("the folder can be written");
    large.write(".dockerignore", "");
    large.write("Dockerfile", "FROM scratch\nCOPY app /app\nCOPY large /large\nENTRYPOINT [\"/app\"]\n");
    large.write("deploy.rhai", &own(&rig, &DEPLOY.replace("\"web\"", "\"large\"")));
    assert_fails(&rig, &large, 3, &["the host has too little room for shop", "docker system df"]);

    let small = project(&rig, "v1", "v1");
    assert_ends(&small.podlift(&["run", "deploy.rhai"]), 0, &[]);
    rig.exec(1, &["sh", "-c", "cat /dev/zero >/var/lib/docker/full 2>/dev/null; true"]).text();
    assert_fails(&rig, &small, 1, &["no space left on device"]);
    rig.exec(1, &["rm", "/var/lib/docker/full"]).text();
    assert_ends(&small.podlift(&["run", "deploy.rhai"]), 0, &[]);
}

#[test]
fn a_port_that_a_process_has_is_told() {
    let rig = Rig::up(RigOptions::default());
    let taken = project(&rig, "port: 8000,", "port: 8000, publish: 22,");
    assert_fails(&rig, &taken, 1, &["port 22, which web publishes, is taken on h1", "choose another `publish`"]);
}

#[test]
fn a_service_without_domain_beside_debians_default_site_is_refused_before_anything_starts() {
    let rig = Rig::up(RigOptions { nginx_default: true, ..RigOptions::default() });
    assert_fails(&rig, &project(&rig, "v1", "v1"), 3, &["sites-enabled/default", "default server"]);
}

#[test]
fn nginx_that_cannot_take_a_change_is_told_and_nothing_starts() {
    let rig = Rig::up(RigOptions::default());
    let deploy = project(&rig, "v1", "v1");
    rig.write(1, "/etc/nginx/conf.d/broken.conf", "server { listen 8099; broken on; }\n");
    assert_fails(&rig, &deploy, 3, &["broken.conf", "unknown directive"]);
    rig.exec(1, &["rm", "/etc/nginx/conf.d/broken.conf"]).text();

    let off = Rig::up(RigOptions { nginx: false, ..RigOptions::default() });
    assert_fails(&off, &project(&off, "v1", "v1"), 3, &["nginx is not running", "systemctl status nginx"]);
}

#[test]
fn a_user_without_sudo_is_told_which_command_was_refused() {
    let rig = Rig::up(RigOptions { sudo: false, ..RigOptions::default() });
    assert_fails(
        &rig,
        &project(&rig, "host(\"h1\")", "host(\"d1\")"),
        3,
        &["deploy may not run `sudo -n -- sh -c", "as root on d1", "deploy ALL=(root) NOPASSWD: /bin/sh"],
    );
}

#[test]
fn a_build_that_cannot_be_done_shows_dockers_words() {
    let rig = Rig::up(RigOptions::default());
    let deploy = project(&rig, "v1", "v1");
    deploy.write("Dockerfile", "FROM scratch\nCOPY no-such-file /x\n");
    assert_fails(&rig, &deploy, 1, &["docker build of shop", "no-such-file", "deploy.rhai"]);
    std::fs::remove_file(deploy.path().join("Dockerfile")).expect("it was there");
    assert_fails(&rig, &deploy, 3, &["there is no Dockerfile in the build context"]);
}

#[test]
fn without_a_tag_the_version_comes_from_a_clean_git_tree() {
    let rig = Rig::up(RigOptions::default());
    let deploy = project(&rig, ", #{ tag: \"v1\" }", "");
    assert_fails(&rig, &deploy, 1, &["not a git repository", "tag: \"v1\""]);
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(deploy.path()).args(["-c", "user.name=t", "-c", "user.email=t@t.invalid"]).args(arguments);
        output(&mut command, "").text().to_owned()
    };
    git(&["init", "-q"]);
    assert_fails(&rig, &deploy, 1, &["commit once"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    deploy.write("new", "x");
    assert_fails(&rig, &deploy, 1, &["the working tree differs from its commit", "allow_dirty"]);
    let text = own(&rig, &DEPLOY.replace("tag: \"v1\"", "allow_dirty: true"));
    deploy.write("deploy.rhai", &text);
    assert_ends(&deploy.podlift(&["run", "deploy.rhai"]), 0, &["-dirty-"]);
}

#[test]
fn a_missing_secret_and_wrong_arguments_end_before_anything_starts() {
    let rig = Rig::up(RigOptions::default());
    let secret = project(&rig, "port: 8000,", "port: 8000, env: #{ PW: secret(\"NO_SUCH_SECRET\") },");
    assert_fails(&rig, &secret, 1, &["there is no secret NO_SUCH_SECRET", "deploy.rhai:5", ".env"]);

    let before = rig.snapshot(1);
    let arguments = project(&rig, "project(\"shop\");", "project(\"shop\"); let p = params(#{ version: \"v1\" });");
    let run = |arguments_given: &[&str]| arguments.podlift(&[&["run", "deploy.rhai"], arguments_given].concat());
    assert_ends(&run(&["versoin=v2"]), 2, &["versoin", "version"]);
    let none = project(&rig, "v1", "v1");
    assert_ends(&none.podlift(&["run", "deploy.rhai", "a=b"]), 2, &["the script takes no arguments"]);
    assert_as_before(&before, &rig.snapshot(1));
}

#[test]
fn all_findings_of_a_script_are_told_at_once_and_nothing_is_touched() {
    let rig = Rig::up(RigOptions::default());
    let unsound =
        project(&rig, "rolling::deploy(web, img, fleet);", "healthchek(web);\nstart(web, img, fleet, #{ replica: 2 });\nset_weights();");
    assert_fails(&rig, &unsound, 2, &["healthchek", "healthcheck", "replica", "set_weights", "3 findings", "nothing was touched"]);
}

#[test]
fn a_name_that_could_be_something_else_is_refused_where_it_is_written() {
    let folder = Project::new();
    let mut taken = Vec::new();
    for line in [
        "host(\"-oProxyCommand=touch pwned\");",
        "host(\"h1; touch pwned\");",
        "host(\"$(touch pwned)\");",
        "host(\"h1\\nh2\");",
        "host(\"a b@h1\");",
        "host(\"h1\", #{ bind: \"0.0.0.0; x\" });",
        "host(\"h1\", #{ docker: \"run/docker.sock\" });",
        "project(\"shop; x\");",
        "service(\"we'b\", #{});",
        "service(\"we\\nb\", #{});",
        "service(\"$(touch pwned)\", #{});",
        "service(\"-web\", #{});",
        "service(\"web\", #{ image: \"a b; c\" });",
        "service(\"web\", #{ image: \"--help\" });",
        "service(\"web\", #{ env: #{ \"A=B\": \"c\" } });",
        "service(\"web\", #{ env: #{ \"A\\nB\": \"c\" } });",
        "service(\"web\", #{ env: #{ A: \"zero\\x00byte\" } });",
        "service(\"web\", #{ port: 80, health: tcp(), domain: \"a.de; } server {\" });",
        "service(\"web\", #{ port: 80, health: tcp(), domain: \"a\\nb\" });",
        "service(\"web\", #{ network: \"a b\" });",
        "service(\"web\", #{ volumes: [\"relative:../x\"] });",
        "service(\"web\", #{ restart: \"always; x\" });",
        "service(\"web\", #{ port: 80, health: tcp(), listen: 0 });",
        "service(\"web\", #{ port: 70000, health: http(\"/\") });",
        "service(\"web\", #{ port: 80, health: tcp(), tls: #{ certificate: \"/a; b\", key: \"/k\" } });",
        "http(\"/health\\r\\nHost: x\");",
        "http(\"health\");",
        "image(\"web;x:v1\");",
        "image(\"-web:v1\");",
        "build(service(\"web\", #{}), #{ tag: \"v1; touch pwned\" });",
        "build(service(\"web\", #{}), #{ tag: \"-v1\" });",
        "build(service(\"web\", #{}), #{ tag: \"v1\\n\" });",
        "build(service(\"web\", #{}), #{ tag: \"v1\", context: \"--help\" });",
        "build(service(\"web\", #{}), #{ tag: \"v1\", args: #{ DOCKER_HOST: \"x\" } });",
        "hook(host(\"h1\"), [\"echo\", \"zero\\x00byte\"]);",
        "hook(\"local\", \"echo zero\\x00byte\");",
        "import \"../x\" as x;",
    ] {
        folder.write("deploy.rhai", line);
        let run = folder.podlift(&["run", "deploy.rhai"]);
        let refused = [2, 3].contains(&run.code) && run.stderr.contains("deploy.rhai:1:");
        if !refused || folder.path().join("pwned").exists() {
            taken.push(format!("{line}\n{} {}", run.code, run.stderr));
        }
    }
    assert!(taken.is_empty(), "{}", taken.join("\n"));
}

/// What no shell, no template and no parser may take for anything but text.
const HOSTILE: &str = "a'b\"c `touch pwned` $(touch pwned) ${HOME} \\ ; | & > x\n{{ 7 * 7 }} %s -oProxyCommand=x é\u{202e}";

#[test]
fn hostile_values_arrive_byte_for_byte_as_data() {
    let rig = Rig::up(RigOptions::default());
    let project = Project::on(&rig).env("HOSTILE", HOSTILE);
    let folder = "my $(touch pwned) 'folder'";
    for file in ["app", ".dockerignore"] {
        let bytes = std::fs::read(project.path().join(file)).expect("it is there");
        project.write(&format!("{folder}/{file}"), "");
        std::fs::write(project.path().join(folder).join(file), bytes).expect("the folder was made");
    }
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path().join(folder).join("app"), executable).expect("it is there");
    let dockerfile = "FROM scratch\nARG WORDS\nLABEL words=$WORDS\nCOPY app /app\nENTRYPOINT [\"/app\"]\n";
    project.write(&format!("{folder}/Docker; touch pwned"), dockerfile);
    let script = own(
        &rig,
        r#"
        import "std/rolling" as rolling;
        project("shop");
        let hostile = env("HOSTILE");
        let h = host("h1");
        let web = service("web", #{
            port: 8000, health: http("/health?a=$(touch%20pwned)&b=';x"), command: ["serve", hostile],
            env: #{ SHOW_ENV: "WORDS", WORDS: hostile }, labels: #{ words: hostile },
        });
        let img = build(web, #{
            tag: "v1", context: "my $(touch pwned) 'folder'", dockerfile: "Docker; touch pwned", args: #{ WORDS: hostile },
        });
        ship(img, h);
        rolling::deploy(web, img, [h]);
        for place in ["local", h] {
            let said = hook(place, ["printf", "%s", hostile]);
            ensure(said.stdout == hostile, "as an argument: " + said.stdout);
            let said = hook(place, "printf %s \"$WORDS\"; cat", #{ env: #{ WORDS: hostile }, stdin: hostile });
            ensure(said.stdout == hostile + hostile, "in the environment and on stdin: " + said.stdout);
        }
        "#,
    );
    project.write("deploy.rhai", &script);
    let run = project.podlift(&["run", "deploy.rhai"]);
    assert_ends(&run, 0, &[]);
    let shown = rig.exec(1, &["curl", "-sS", "http://127.0.0.1/env"]);
    assert_eq!(shown.stdout, format!("{HOSTILE}\n"));
    let engine = |format: &str| {
        let id = rig.exec(1, &["docker", "ps", "-q"]).text().to_owned();
        rig.exec(1, &["docker", "inspect", "-f", format, &id]).text().to_owned()
    };
    assert_eq!(engine("{{ index .Args 1 }}"), HOSTILE);
    assert_eq!(engine("{{ index .Config.Labels \"words\" }}"), HOSTILE);
    let made = rig.exec(1, &["find", "/root", "/home", "/tmp", "/run", "/etc", "/srv", "/opt", "/var/lib", "/var/tmp", "-name", "pwned"]);
    assert_eq!(made.stdout, "", "made on the host");
    for place in [project.path().to_owned(), project.path().join(folder)] {
        assert!(!place.join("pwned").exists(), "{} was written into", place.display());
    }
}
