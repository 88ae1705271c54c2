use crate::{
    model::Period,
    op::Op,
    script::recording::{deploy, script},
};

#[test]
fn a_service_is_declared_in_full() {
    let story = deploy(
        r#"let lb = hosts(["10.0.0.8", "10.0.0.9"]);
        let db = service("db", #{ image: "registry.example/team/db", port: 5432, replicas: 1, command: ["serve"], env: #{ A: "x", N: 2, B: true },
            health: tcp(#{ timeout: "1m" }), volumes: ["data:/var/lib/db", "/etc/x:/etc/x:ro"], network: "back", publish: 5432, memory: "1g", cpus: 1.5,
            restart: "on-failure:3", stop_timeout: "1m", labels: #{ tier: "data" }, domain: "*.shop.example", listen: 8080, balancer: lb,
            tls: #{ certificate: "/c.pem", key: "/k.pem" }, server: false, options: #{ ShmSize: 64, Ulimits: [#{ Name: "nofile" }] } });
        start(db, img, fleet[0]);"#,
    )
    .run();
    let Op::Start(op) = &*story.calls[0].op else { panic!("not a start") };
    let mut service = serde_json::to_value(&op.service).expect("json");
    assert_eq!(service["balancer"]["hosts"][1]["name"], "10.0.0.9");
    service["balancer"] = serde_json::Value::Null;
    assert_eq!(
        service,
        serde_json::json!({
            "name": "db", "image": "registry.example/team/db", "port": 5432, "replicas": 1, "command": ["serve"],
            "env": { "A": "x", "B": "true", "N": "2" },
            "health": { "check": { "kind": "tcp" }, "timeout": "1m", "interval": "1s", "successes": 1, "start_period": "0s" },
            "volumes": ["data:/var/lib/db", "/etc/x:/etc/x:ro"], "network": "back", "publish": 5432, "memory": 1_073_741_824u64, "cpus": 1500,
            "restart": "on-failure:3", "stop_timeout": "1m", "labels": { "tier": "data" }, "domain": "*.shop.example", "listen": 8080,
            "balancer": null, "tls": { "certificate": "/c.pem", "key": "/k.pem" }, "server": false,
            "options": "{\"ShmSize\":64,\"Ulimits\":[{\"Name\":\"nofile\"}]}",
        })
    );
}

#[test]
fn what_does_not_fit_is_refused_where_it_is_written() {
    for (call, problem) in [
        (r#"project("Shop")"#, "not a valid project name"),
        (r#"service("web;rm")"#, "not a valid service name"),
        (r#"service("a", #{ port: 80 })"#, "has a port and no health check"),
        (r#"service("a", #{ health: http("/") })"#, "has no port that its health check could ask"),
        (r#"service("a", #{ prot: 80 })"#, "`service` has no option `prot`"),
        (r#"service("a", #{ image: "Bad Name" })"#, "not a valid image name"),
        (r#"service("a", #{ options: #{ Nope: 1 } })"#, "which Docker's HostConfig does not have"),
        (r#"service("a", #{ options: #{ Memory: "x" } })"#, "do not fit Docker's HostConfig"),
        (r#"service("a", #{ volumes: ["da:/data", "db:/data/:ro"] })"#, "another one has the same target"),
        (r#"service("a", #{ port: 80, health: tcp(), balancer: [host("lb"), host("lb")] })"#, "the balancer lb is named twice"),
        (r#"service("a", #{ domain: "a.example" })"#, "has no port, so its `domain` is for nothing"),
        (r#"service("a", #{ server: false })"#, "has no port, so its `server` is for nothing"),
        (r#"service("a", #{ publish: 80 })"#, "has no port, so its `publish` is for nothing"),
        (r#"service("a", #{ balancer: host("lb") })"#, "has no port, so its `balancer` is for nothing"),
        (r#"service("a", #{ port: 80, health: tcp(), listen: 81, balancer: "none" })"#, "has no proxy, so its `listen` is for nothing"),
        (r#"host("u@h:0")"#, "not a valid host"),
        (r#"prometheus("http://x:y")"#, "not a valid Prometheus URL"),
        (r#"http_get("http://x:y")"#, "not a valid URL"),
        (r#"service("a", #{ domain: "a;b" })"#, "not a valid domain"),
        (r#"service("a", #{ network: "a b" })"#, "not a valid network"),
        (r#"service("a", #{ restart: "sometimes" })"#, "\"on-failure\" or \"on-failure:5\", and got \"sometimes\""),
        (r#"service("a", #{ volumes: ["data"] })"#, "not a valid volume"),
        (r#"service("a", #{ volumes: ["./data:/data"] })"#, "not a valid volume"),
        (r#"service("a", #{ volumes: ["d:/data"] })"#, "not a valid volume"),
        (r#"service("a", #{ volumes: ["data:/"] })"#, "not a valid volume"),
        (r#"service("a", #{ volumes: ["data:/data:readonly"] })"#, "not a valid volume"),
        (r#"service("a", #{ memory: "1m" })"#, "not a valid memory limit: 6m at least"),
        (r#"service("a", #{ cpus: 0.001 })"#, "not a valid part of a CPU: 0.01 at least"),
        (r#"service("a", #{ labels: #{ "podlift.run": "x" } })"#, "podlift's own"),
        (r#"service("a", #{ tls: #{ certificate: "/x" } })"#, "`tls` has no `key`"),
        (r#"service("a", #{ tls: #{ certificate: "/x", key: "/y", kye: "z" } })"#, "`tls` has no `kye`"),
        (r#"service("a", #{ tls: #{ certificate: "/x; y", key: "/y" } })"#, "cannot stand in nginx's configuration"),
        (r#"service("a", #{ env: #{ A: "b\x00" } })"#, "`A` holds a zero byte"),
        (r#"service("a", #{ command: ["b\x00"] })"#, "`command` holds a zero byte"),
        (r#"hook(fleet[0], "echo \x00")"#, "`command` holds a zero byte"),
        (r#"service("a", #{ balancer: "some" })"#, "a host, an array of hosts, or \"none\""),
        (r#"host("-oProxyCommand=id")"#, "not a valid host"),
        (r#"host("a", #{ bind: "everywhere" })"#, "not a valid bind address"),
        (r#"host("a", #{ docker: "run/docker.sock" })"#, "not a valid docker socket"),
        (r#"host("a", #{ proxy: #{ kind: "caddy" } })"#, "podlift does not speak to \"caddy\": nginx is the proxy"),
        (r#"host("a", #{ proxy: #{ knid: "nginx" } })"#, "a proxy has no `knid`"),
        (r#"hosts(["a", "b@a"])"#, "the host a is named twice"),
        ("hosts([])", "no host is named, and a deploy to none would do nothing and pass"),
        (r#"hosts(["a", 5])"#, "addresses[1] of `hosts` is a whole number, and is to be an address"),
        (r"start(1, img, [fleet[0], fleet[0]])", "start(service, image, hosts, options?) got start(int, image, array)"),
        (r"start(web, img, [fleet[0], fleet[0]])", "the host 10.0.0.1 is named twice"),
        (r#"image("web")"#, "has no tag"),
        (r#"image("web:v 1")"#, "not a valid version"),
        (r#"image("web@sha256:abc")"#, "not a valid image reference"),
        (r#"http("health")"#, "is not a path"),
        (r#"http("/a b")"#, "is not a path"),
        (r"command([])", "the command is empty"),
        (r#"command("ls")"#, "an array of strings"),
        (r#"build(web, #{ tag: "a b" })"#, "not a valid version"),
        (r#"build(web, #{ platform: "linux" })"#, "not a valid platform"),
        (r#"build(web, #{ target: "-x" })"#, "not a valid build target"),
        (r#"env("A B")"#, "not a valid environment variable"),
        (r#"http_get("ftp://x")"#, "not a valid URL"),
        (r"logs((), 0)", "`lines` is a whole number from 1 to 100000"),
    ] {
        let error = deploy(&format!("{call};")).fails();
        assert!(error.starts_with("5: ") && error.contains(problem), "{call}: {error}");
    }
}

#[test]
fn the_project_comes_first() {
    let error = script(r#"service("web"); project("shop");"#).fails();
    assert_eq!(
        error,
        "1: the project cannot become shop here: services of default are declared already | call project(…) before the first service(…)"
    );
    assert_eq!(script(r#"print(project("shop")); print(service("web").image); project("shop");"#).says(), ["shop", "shop-web"]);
}

#[test]
fn images_and_hosts_know_themselves() {
    let digest = "ab".repeat(32);
    let said = script(format!(
        r#"print(image("registry.example:5000/team/web:v1").version);
        let by_digest = image("web@sha256:{digest}");
        print(`${{by_digest.version}} ${{by_digest}}`);
        let h = host("ann@web-1:2222", #{{ labels: #{{ zone: "a" }}, identity: "~/.ssh/id", bind: "10.0.0.1", docker: "/run/docker.sock", sudo: true,
            proxy: #{{ kind: "nginx", command: "/usr/sbin/nginx", folder: "/etc/nginx/conf.d", logs: "/var/log/nginx", template: "x" }} }});
        print(`${{h.name}} ${{h.address}} ${{h.labels.zone}}`);
        print(hosts(["a", "local"], #{{ proxy: "nginx" }}));"#
    ))
    .says();
    assert_eq!(said, ["v1".into(), format!("abababababab web@sha256:{digest}"), "web-1 ann@web-1:2222 a".into(), "[a, local]".into()]);
}

#[test]
fn a_project_says_how_long_its_hosts_are_tried_again() {
    let reconnects = |script: &str| -> Vec<Option<Period>> { deploy(script).run().calls.iter().map(|call| call.reconnect).collect() };
    assert_eq!(reconnects("start(web, img, fleet[0]);"), [None]);
    let in_a_branch = r#"project("shop", #{ reconnect: "5m" }); parallel([fleet[0]], |host| start(web, img, host));"#;
    assert_eq!(reconnects(in_a_branch), [Some(Period::seconds(300))]);
}
