//! What else is on a modelled host: fronts, ports, networks, processors, certificates.

use super::*;

#[test]
fn a_balancer_elsewhere_needs_an_address_that_it_can_reach() {
    let mut fleet = Fleet::new(HostState::default());
    fleet.service.balancer = Balancer::Hosts(vec![Host::parse("balancer").expect("valid")]);
    for bind in ["127.0.0.1", "::1", "0.0.0.0"] {
        fleet.host.bind = bind.into();
        let refusal = fleet.start("v1").expect_err("is refused");
        assert!(refusal.message.contains(&format!("its containers would listen on {bind}")), "{refusal}");
    }
    fleet.host.bind = "10.0.0.11".into();
    fleet.start("v1").expect("the balancer reaches it");
}

/// A host whose nginx runs in a container with a network of its own.
fn bridged() -> HostState {
    let network = OwnNetwork { container: "edge".into(), gateway: Some("172.17.0.1".into()) };
    HostState { proxy_network: Some(network), ..HostState::default() }
}

#[test]
fn a_proxy_with_a_network_of_its_own_needs_an_address_that_it_can_reach() {
    let mut fleet = Fleet::new(bridged());
    for bind in ["127.0.0.1", "0.0.0.0"] {
        fleet.host.bind = bind.into();
        let refusal = fleet.start("v1").expect_err("is refused");
        let message = format!("nginx in the container edge could not reach web on h1: its containers would listen on {bind}");
        assert_eq!((refusal.kind, &refusal.message), (FailureKind::Refused, &message));
        assert_eq!(refusal.hints, ["start the container edge with `--network host`, or give the host `bind: \"172.17.0.1\"`"]);
    }
    assert!(fleet.find().containers.is_empty());
    fleet.host.bind = "172.17.0.1".into();
    let started = fleet.start("v1").expect("it is reached there");
    fleet.weigh(&[(&started, 1)]).expect("it is reached there");
}

#[test]
fn a_proxy_that_came_into_a_network_of_its_own_takes_no_container_that_it_does_not_reach() {
    let mut fleet = Fleet::new(HostState::default());
    let old = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&old, 100)]).expect("weighs");
    let mut fleet = Fleet::new(HostState { proxy_network: bridged().proxy_network, ..fleet.met() });
    fleet.host.bind = "172.17.0.1".into();
    let new = fleet.start("v2").expect("starts");
    let message = format!("nginx in the container edge cannot reach {}, which listens on 127.0.0.1", old[0].name);
    for weight in [50, 90] {
        let refusal = fleet.weigh(&[(&old, 100 - weight), (&new, weight)]).expect_err("is refused");
        assert_eq!((refusal.kind, &refusal.message), (FailureKind::Refused, &message));
    }
    // What changes nothing is not sent to the proxy.
    fleet.weigh(&[(&old, 100)]).expect("it has these weights already");
    fleet.drain(&new).expect("it has no traffic");
    fleet.weigh(&[(&old, 0), (&new, 100)]).expect("what is reached takes its place");
    fleet.drain(&old).expect("drains");
}

#[test]
fn a_front_that_is_anothers_is_refused_before_anything_starts() {
    let file = "/etc/nginx/sites-enabled/default".to_owned();
    let mut fleet =
        Fleet::new(HostState { fronts: vec![TakenFront { listen: 80, domain: None, file: file.clone() }], ..HostState::default() });
    let refusal = fleet.start("v1").expect_err("is refused");
    assert!(refusal.message.contains(&file), "{refusal}");
    assert!(fleet.find().containers.is_empty());
}

#[test]
fn a_port_that_a_process_or_a_container_of_anothers_has_is_taken_until_a_command_may_have_ended_it() {
    let taken = |address: &str, container: Option<&str>| HostState {
        taken_ports: vec![TakenPort { address: address.into(), port: 5432, container: container.map(str::to_owned) }],
        ..HostState::default()
    };
    let publishing = |state: HostState| {
        let mut fleet = Fleet::new(state);
        fleet.service = ServiceFacts { publish: Some(5432), replicas: 1, ..(*fleet.service).clone() }.into();
        fleet
    };
    for (state, why) in [
        (taken("0.0.0.0", None), "a process has it"),
        (taken("127.0.0.1", Some("old-db")), "the container old-db has it"),
        (taken("::", None), "a process has it"),
    ] {
        for place in ["host", "local"] {
            let mut fleet = publishing(state.clone());
            let place = serde_json::json!({ "where": place, "host": fleet.host });
            let failure = fleet.start("v1").expect_err("the port is taken");
            assert_eq!(failure.message, "port 5432, which web publishes, is taken on h1");
            assert_eq!(failure.details[0].text, why);
            let command = serde_json::json!({ "place": place, "command": ["sh"], "env": {}, "timeout": "30s", "check": true });
            fleet.perform(serde_json::from_value::<Hook>(command).expect("a hook")).expect("is done");
            fleet.start("v2").expect("it may be free now");
        }
    }
    let mut fleet = publishing(taken("0.0.0.0", None));
    fleet.perform(Confirm { question: "is old-db stopped?".into(), name: None, otherwise: None }).expect("yes");
    fleet.start("v1").expect("it may be free, also where the host was not met before");
    publishing(taken("10.0.0.9", None)).start("v1").expect("that is another address of the host");
}

#[test]
fn what_its_nginx_listens_on_no_container_is_given_and_none_publishes() {
    let mut fleet = Fleet::new(HostState::default());
    fleet.service.listen = 20000;
    let first = fleet.start("v1").expect("starts");
    assert_eq!(first.iter().map(|container| container.port).collect::<Vec<_>>(), [Some(20001), Some(20002)]);
    fleet.weigh(&[(&first, 100)]).expect("weighs");
    fleet.service = ServiceFacts {
        name: ServiceName::new("db").expect("valid"),
        publish: Some(20000),
        replicas: 1,
        balancer: Balancer::None,
        ..(*fleet.service).clone()
    }
    .into();
    let failure = fleet.start("v1").expect_err("nginx has it");
    assert_eq!(
        (failure.message.as_str(), failure.details[0].text.as_str()),
        ("port 20000, which db publishes, is taken on h1", "nginx has it")
    );
}

#[test]
fn a_port_that_nginx_leaves_is_free() {
    let mut fleet = Fleet::new(HostState::default());
    let found = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&found, 100)]).expect("weighs");
    let web = fleet.service.clone();
    // Of what listens nobody says that it is nginx.
    let nginx = TakenPort { address: "0.0.0.0".into(), port: 80, container: None };
    let mut fleet = Fleet::new(HostState { taken_ports: vec![nginx], ..fleet.met() });
    let other: Service = ServiceFacts { name: ServiceName::new("api").expect("valid"), ..(*web).clone() }.into();
    fleet.service = other.clone();
    assert!(fleet.start("v1").expect_err("web has it").message.contains("that is the service web of this project already"));
    fleet.service = ServiceFacts { listen: 8080, ..(*web).clone() }.into();
    fleet.weigh(&[(&found, 100)]).expect("moves");
    fleet.service = other;
    fleet.start("v1").expect("it is free");
}

#[test]
fn a_process_that_listens_may_be_nginx_itself_and_a_command_may_end_nginx() {
    let process = TakenPort { address: "0.0.0.0".into(), port: 80, container: None };
    let mut fleet = Fleet::new(HostState { taken_ports: vec![process], ..HostState::default() });
    let found = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&found, 100)]).expect("weighs");
    assert_eq!(fleet.assumed("nginx itself"), ["a process that listens on port 80 of h1 is nginx itself, or ends before"]);
    let place = serde_json::json!({ "where": "host", "host": fleet.host });
    let command = serde_json::json!({ "place": place, "command": ["sh"], "env": {}, "timeout": "30s", "check": true });
    fleet.perform(serde_json::from_value::<Hook>(command).expect("a hook")).expect("is done");
    fleet.service = ServiceFacts { publish: Some(80), replicas: 1, balancer: Balancer::None, ..(*fleet.service).clone() }.into();
    fleet.start("v2").expect("nginx may have ended");
    assert_eq!(fleet.assumed("which had port"), ["a command before it has ended nginx, which had port 80"]);
}

#[test]
fn an_image_is_assumed_to_have_the_check_that_docker_is_to_judge_it_by() {
    let mut fleet = Fleet::new(HostState::default());
    fleet.service.health = Health::new(Check::Docker);
    fleet.start("v1").expect("starts");
    assert_eq!(fleet.assumed("HEALTHCHECK"), ["shop-web:v1 has a HEALTHCHECK"]);
}

#[test]
fn nobody_gets_more_processors_than_there_are() {
    let engine = crate::model::Engine { cpus: Some(2), ..crate::model::Engine::default() };
    let mut fleet = Fleet::new(HostState { engine, ..HostState::default() });
    for (cpus, starts) in [(2000, true), (2001, false)] {
        fleet.service.cpus = Some(cpus);
        let told = fleet.start("v1");
        assert_eq!(told.is_ok(), starts, "{told:?}");
    }
}

#[test]
fn a_certificate_that_a_proxy_did_not_have_is_assumed() {
    let mut fleet = Fleet::new(HostState::default());
    let found = fleet.start("v1").expect("starts");
    fleet.weigh(&[(&found, 100)]).expect("weighs");
    fleet.service.tls = Some(crate::model::Tls { certificate: "/etc/ssl/shop.pem".into(), key: "/etc/ssl/shop.key".into() });
    fleet.weigh(&[(&found, 50)]).expect("weighs");
    fleet.weigh(&[(&found, 40)]).expect("weighs");
    assert_eq!(fleet.assumed("certificate"), ["h1 has the certificate /etc/ssl/shop.pem and its key"]);
}
