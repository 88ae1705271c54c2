//! The load client sees what a careless deploy loses; otherwise its zeroes would prove nothing.

use crate::load::{Latency, Load, LoadOptions, Summary};
use crate::rig::{Rig, RigOptions};

/// A host with one proxied service, deployed by hand.
struct Site {
    rig: Rig,
    port: u16,
}

impl Site {
    fn up() -> Self {
        let rig = Rig::up(RigOptions { client: true, ..RigOptions::default() });
        rig.build_app(1, "v1");
        let mut site = Self { rig, port: 20000 };
        site.start();
        site.reload();
        site
    }

    /// Starts a container on the next port.
    fn start(&mut self) {
        self.port += 1;
        let (name, publish) = (self.container(), format!("127.0.0.1:{}:8000", self.port));
        self.rig.exec(1, &["docker", "run", "-d", "--name", &name, "-p", &publish, "demo:v1"]).text();
        let url = format!("http://127.0.0.1:{}/health", self.port);
        self.rig.exec(1, &["curl", "-sS", "--retry", "50", "--retry-all-errors", "--retry-delay", "0", &url]).text();
    }

    /// Points nginx at the newest container, as a plain deploy script would.
    fn reload(&self) {
        let port = self.port;
        let site = format!("server {{ listen 80; location / {{ proxy_pass http://127.0.0.1:{port}; }} }}\n");
        self.rig.write(1, "/etc/nginx/conf.d/site.conf", &site);
        self.rig.exec(1, &["nginx", "-s", "reload"]).text();
    }

    fn container(&self) -> String {
        format!("demo-{}", self.port)
    }

    fn load(&self) -> Load {
        Load::start(&self.rig, LoadOptions::on(&self.rig))
    }
}

fn report(what: &str, summary: &Summary) {
    let Summary { total, failed, failures, latency, .. } = summary;
    let Latency { p50, p95, p99, max } = latency;
    println!("{what}: {failed} of {total} failed {failures:?}, p50 {p50} p95 {p95} p99 {p99} max {max} ms");
}

#[test]
fn nothing_is_lost_while_nothing_happens() {
    let site = Site::up();
    let mut load = site.load();
    load.mark("quiet");
    load.more(3000);
    load.mark("end");
    let summary = load.finish();
    report("nothing", &summary);
    summary.assert_nothing_lost();
    assert!(summary.phase("quiet").requests >= 2500 && summary.total >= 3500);
    assert_eq!(summary.versions.get("v1"), Some(&summary.ok));
    assert!(summary.phase("quiet").latency.p50 >= 40.0, "the client is 40 ms away");
}

#[test]
fn plain_reloads_lose_requests_of_a_distant_client() {
    let site = Site::up();
    let mut load = site.load();
    for _ in 0..10 {
        load.mark("reload");
        site.reload();
        load.more(500);
    }
    let summary = load.finish();
    report("10 plain reloads", &summary);
    assert!(summary.failed > 0, "the load client overlooks what a reload loses: {summary:#?}");
    let in_phases: usize = summary.phases.iter().map(|phase| phase.failures.values().sum::<usize>()).sum();
    assert_eq!(in_phases, summary.failed, "each is in a phase");
    assert_eq!(summary.phase("start").failed, 0, "all were lost by reloads");
}

#[test]
fn stopping_the_old_containers_right_after_a_reload_loses_requests() {
    let mut site = Site::up();
    let mut load = site.load();
    for _ in 0..3 {
        let old = site.container();
        site.start();
        load.mark("switch");
        site.reload();
        site.rig.exec(1, &["docker", "stop", &old]).text();
        load.more(500);
    }
    let summary = load.finish();
    report("3 switches with the old container stopped at once", &summary);
    assert!(summary.failed > 0, "the load client overlooks what stopping a container loses: {summary:#?}");
}
