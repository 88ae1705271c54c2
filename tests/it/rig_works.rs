//! The hosts of the other tests are as real as these tests need them to be, and leave nothing behind.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::{Rig, RigOptions, load_program, output, script};
use crate::until::until;

/// Opens an ssh connection as far as the server's greeting.
fn greet(rig: &Rig, number: usize) -> std::io::Result<Duration> {
    let address = SocketAddr::new(rig.host(number).address.parse().expect("hosts have an address"), 22);
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.read_exact(&mut [0; 4])?;
    Ok(start.elapsed())
}

/// Everything on this machine that belongs to a rig.
fn traces(id: &str, state: &Path) -> Vec<String> {
    let prefix = format!("rg{id}-");
    let state = state.to_str().expect("it is plain text");
    let mut found = Vec::new();
    if fs::exists(state).expect("its parent can be read") {
        found.push(format!("directory {state}"));
    }
    for command in [&["ip", "netns", "list"][..], &["ip", "-br", "link"], &["losetup", "-nO", "BACK-FILE"]] {
        let listed = output(Command::new(command[0]).args(&command[1..]), "");
        found.extend(listed.text().lines().filter(|line| line.starts_with(&prefix) || line.contains(state)).map(str::to_owned));
    }
    let cgroups = output(Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("{prefix}*")]), "");
    found.extend(cgroups.stdout.lines().map(str::to_owned));
    for process in fs::read_dir("/proc").expect("there is a /proc").flatten() {
        let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        if read("cgroup").contains(&prefix) || read("mountinfo").contains(state) {
            found.push(format!("process {} {}", process.path().display(), read("comm").trim()));
        }
    }
    found
}

#[test]
fn three_hosts_come_up_with_ssh_docker_and_nginx() {
    let rig = Rig::up(RigOptions { hosts: 3, nginx_default: true, ..RigOptions::default() });
    for number in 1..=3 {
        assert_eq!(rig.ssh(&format!("h{number}"), "hostname; id -un").text(), format!("h{number}\nroot"));
        assert_eq!(rig.ssh(&format!("d{number}"), "id -un; sudo -n id -un; docker ps -q").text(), "deploy\nroot");
        let page = output(Command::new("curl").args(["-sS", &format!("http://{}", rig.host(number).address)]), "");
        assert!(page.text().contains("Welcome to nginx"), "{page:?}");
    }
    assert_eq!(rig.exec(1, &["ssh-keyscan", "-t", "ed25519", "h2"]).text().split(' ').next(), Some("h2"), "hosts see each other");
    let other_key = output(Command::new("ssh-keyscan").args(["-t", "ed25519", &rig.host(2).address]), "");
    assert!(other_key.text().split(' ').nth(2) != rig.exec(1, &["cat", "/etc/ssh/host_key.pub"]).stdout.split(' ').nth(1));
}

#[test]
fn a_deploy_user_can_be_without_sudo() {
    let rig = Rig::up(RigOptions { sudo: false, nginx: false, ..RigOptions::default() });
    assert_eq!(rig.ssh("d1", "docker ps -q").text(), "");
    let refused = rig.ssh("d1", "sudo -n true");
    assert!(refused.code == 1 && refused.stderr.contains("password is required"), "{refused:?}");
}

#[test]
fn a_partition_is_silent_and_heals() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    rig.partition(1);
    assert_eq!(greet(&rig, 1).expect_err("it is cut off").kind(), ErrorKind::TimedOut);
    assert_eq!(rig.exec(1, &["docker", "ps", "-q"]).text(), "", "it runs on");
    assert!(greet(&rig, 2).is_ok(), "the other host is not affected");
    rig.heal(1);
    let took = greet(&rig, 1).expect("it is healed");
    assert!(took < Duration::from_millis(500), "nothing is left of the partition, but it took {took:?}");
}

#[test]
fn two_hosts_can_be_cut_off_from_each_other_and_ports_closed() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let sees = |number| rig.exec(number, &["ssh-keyscan", "-T1", &rig.host(3 - number).address]).stdout.contains("ssh-");
    rig.cut(1, 2);
    assert!(!sees(1) && !sees(2) && greet(&rig, 1).is_ok() && greet(&rig, 2).is_ok());
    rig.heal(2);
    assert!(sees(1) && sees(2));

    rig.refuse_port(1, 22);
    assert_eq!(greet(&rig, 1).expect_err("the port is closed").kind(), ErrorKind::ConnectionRefused);
    rig.heal(1);
    rig.drop_port(1, 22);
    assert_eq!(greet(&rig, 1).expect_err("the port is silent").kind(), ErrorKind::TimedOut);
    rig.heal(1);
    assert!(greet(&rig, 1).is_ok());
}

#[test]
fn a_host_whose_power_was_cut_starts_again_with_its_disk() {
    let rig = Rig::up(RigOptions::default());
    let image = rig.build_app(1, "v1");
    rig.exec(1, &["docker", "run", "-d", "--name", "kept", "--restart", "always", &image]).text();
    rig.exec(1, &["docker", "run", "-d", "--name", "not-kept", &image]).text();
    rig.write(1, "/etc/nginx/conf.d/kept.conf", "# kept\n");
    rig.exec(1, &["sync"]).text();

    rig.kill(1);
    let error = greet(&rig, 1).expect_err("it is off");
    assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "a dead host refuses nothing");
    rig.start(1);
    assert_eq!(rig.exec(1, &["cat", "/etc/nginx/conf.d/kept.conf"]).text(), "# kept");
    let state = |name| rig.exec(1, &["docker", "inspect", "-f", "{{.State.Running}}", name]).text().to_owned();
    until("Docker has restarted the container", || state("kept") == "true");
    assert_eq!(state("not-kept"), "false");
}

#[test]
fn a_host_can_be_shut_down_and_rebooted() {
    let rig = Rig::up(RigOptions::default());
    rig.write(1, "/etc/nginx/conf.d/kept.conf", "# kept\n");
    rig.stop(1);
    assert!(greet(&rig, 1).is_err(), "it is off");
    rig.start(1);
    rig.reboot(1);
    assert_eq!(rig.ssh("h1", "cat /etc/nginx/conf.d/kept.conf").text(), "# kept");
}

#[test]
fn a_small_disk_is_full_when_it_is_full() {
    let rig = Rig::up(RigOptions { disk: Some("32M"), ..RigOptions::default() });
    let full = rig.exec(1, &["dd", "if=/dev/zero", "of=/var/lib/docker/large", "bs=1M", "count=64"]);
    assert!(full.stderr.contains("No space left on device"), "{full:?}");
}

#[test]
fn the_client_is_40_ms_away_from_every_host() {
    let rig = Rig::up(RigOptions { hosts: 2, client: true, ..RigOptions::default() });
    for host in rig.hosts() {
        let timing = output(rig.client("bash").args(["-c", &format!("TIMEFORMAT=%R; time : </dev/tcp/{}/22", host.address)]), "");
        let seconds: f64 = timing.stderr.trim().parse().unwrap_or_else(|_| panic!("{timing:?}"));
        assert!((0.040..0.080).contains(&seconds), "a connection to {} took {seconds} s", host.name);
    }
    assert!(greet(&rig, 1).is_ok_and(|took| took < Duration::from_millis(40)), "this machine is not the client");
}

#[test]
fn a_snapshot_shows_what_was_left_behind() {
    let rig = Rig::up(RigOptions::default());
    let before = rig.snapshot(1);
    assert_eq!(before, rig.snapshot(1), "it is stable");

    let image = rig.build_app(1, "v1");
    rig.exec(1, &["docker", "run", "-d", "--name", "left", "-p", "127.0.0.1:20001:8000", &image]).text();
    rig.write(1, "/etc/nginx/conf.d/left.conf", "# left\n");
    rig.write(1, "/run/left.flag", "");
    let after = rig.snapshot(1);
    let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).map(|line| line.split(" sha256:").next()).collect();
    let image_line = after.iter().find(|line| line.starts_with("image demo:v1")).expect("the image is listed");
    let nginx_line = after.iter().find(|line| line.contains("left.conf")).expect("nginx's file is listed");
    let expected = [
        "container left running demo:v1",
        "file /run/left.flag",
        image_line.split(" sha256:").next().expect("a split has a first part"),
        "listen tcp 127.0.0.1:20001",
        nginx_line,
        "process app",
        "process containerd-shim",
        "process docker-proxy",
    ];
    assert_eq!(new, expected.map(Some));

    rig.exec(1, &["docker", "rm", "-f", "left"]).text();
    rig.exec(1, &["docker", "rmi", &image]).text();
    rig.exec(1, &["rm", "/etc/nginx/conf.d/left.conf", "/run/left.flag"]).text();
    assert_eq!(before, rig.snapshot(1));
}

#[test]
fn nothing_is_left_of_a_rig() {
    // An id of its own: one that was let go of may be another rig's at once.
    let rig = Rig::up_as("197", RigOptions { hosts: 2, client: true, disk: Some("64M"), ..RigOptions::default() });
    let (id, state) = (rig.id().to_owned(), rig.state().to_owned());
    let image = rig.build_app(1, "v1");
    rig.exec(1, &["docker", "run", "-d", &image]).text();
    rig.kill(2);
    assert!(traces(&id, &state).len() > 10, "traces are found while there are some");
    drop(rig);
    assert_eq!(traces(&id, &state), Vec::<String>::new());
    assert_eq!(output(script(&id).arg("down"), "").text(), "", "down may be repeated");
}

#[test]
fn a_rig_whose_test_was_killed_is_swept() {
    let mut owner = Command::new("sleep").arg("600").spawn().expect("there is a sleep");
    let id = "198";
    let mut up = script(id);
    up.args(["up", "1"]).env("RIG_OWNER", owner.id().to_string());
    let up = output(up.env("RIG_CLIENT", "1").env("RIG_LOAD", load_program()), "");
    let state = PathBuf::from(up.text());

    output(script(id).arg("sweep"), "").text();
    assert!(state.exists(), "its owner is alive");
    owner.kill().expect("it runs");
    owner.wait().expect("it runs");
    output(script(id).arg("sweep"), "").text();
    assert_eq!(traces(id, &state), Vec::<String>::new());
}

#[test]
fn nothing_is_left_of_a_rig_that_failed_half_way() {
    // Both hosts boot while the client turns out not to work. No other rig takes this id by itself.
    let id = "199";
    let failed = output(script(id).args(["up", "2"]).env("RIG_CLIENT", "1").env("RIG_LOAD", "/bin/false"), "");
    assert!(failed.code != 0 && failed.stderr.contains("up failed; all of it was removed"), "{failed:?}");
    assert_eq!(traces(id, Path::new("/var/tmp/podlift-rig/rg199")), Vec::<String>::new());
}
