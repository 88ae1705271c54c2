//! The files that are rendered, word for word, and by nginx's own judgement where it is installed.
#![expect(clippy::disallowed_types, reason = "nginx itself tests the files")]

use std::{fs, process::Command};

use super::{NginxVersion, Rendered, Settings, names, parse, render};
use crate::model::{
    ContainerName, Endpoint, Front, HostName, Mark, Preview, ProjectName, ReleaseId, RouteTable, RunId, ServiceName, Share, Tls, Token,
    Version,
};

fn share(version: &str, weight: u64, ports: &[u16]) -> Share {
    let endpoint = |(index, port): (usize, &u16)| Endpoint {
        container: ContainerName::new(format!("shop-web-{version}-0123456789-{}", index + 1)).expect("valid"),
        address: "127.0.0.1".into(),
        port: *port,
    };
    let release = ReleaseId { run: RunId::new("r1").expect("valid"), version: Version::new(version).expect("valid") };
    Share { release, weight, containers: ports.iter().enumerate().map(endpoint).collect() }
}

fn table(shares: Vec<Share>) -> RouteTable {
    RouteTable {
        project: ProjectName::new("shop").expect("valid"),
        service: ServiceName::new("web").expect("valid"),
        generation: 7,
        token: Token::new("0123456789").expect("valid"),
        front: Front { domain: None, listen: 80, tls: None, server: true, sticky: None },
        shares: [(HostName::new("h1").expect("valid"), shares)].into(),
        previews: std::collections::BTreeMap::new(),
    }
}

fn canary() -> RouteTable {
    table(vec![share("v1", 95, &[20001, 20002]), share("v2", 5, &[20003])])
}

fn secured() -> RouteTable {
    let mut table = table(vec![share("v1", 100, &[20001])]);
    table.shares.values_mut().flatten().flat_map(|share| &mut share.containers).for_each(|endpoint| endpoint.address = "fd00::1".into());
    let tls = Tls { certificate: "/etc/ssl/shop.pem".into(), key: "/etc/ssl/shop.key".into() };
    table.front = Front { domain: Some("shop.example.com".into()), listen: 443, tls: Some(tls), server: true, sticky: None };
    table
}

fn within_another_server() -> RouteTable {
    let mut table = canary();
    table.front.server = false;
    table.front.sticky = Some("visitor".into());
    table
}

fn settings() -> Settings {
    Settings {
        version: NginxVersion(1, 22, 1),
        ipv6: true,
        page: names::PAGE,
        flag: "/run/nginx.podlift-drain".into(),
        logs: "/var/log/nginx".into(),
        template: None,
    }
}

fn rendered(table: &RouteTable) -> Rendered {
    render(table, &settings()).expect("rendered")
}

#[test]
fn a_canary_is_a_line_for_each_container() {
    let rendered = rendered(&canary());
    assert_eq!(rendered.configuration, include_str!("tests/canary.conf"));
    assert_eq!(rendered.locations, None);
}

#[test]
fn a_domain_with_tls_is_no_default_server() {
    let newest = Settings { version: NginxVersion(1, 31, 0), ipv6: false, ..settings() };
    let rendered = render(&secured(), &newest).expect("rendered");
    assert_eq!(rendered.configuration, include_str!("tests/secured.conf"));
}

fn previewed(mut table: RouteTable) -> RouteTable {
    let Share { release, containers, .. } = share("v3", 1, &[20004, 20005]);
    let preview = |mark| Preview { mark, release: release.clone(), containers: containers.clone() };
    let marks = [Mark::header("X-Preview: v3"), Mark::cookie("preview=v3")].map(|mark| preview(mark.expect("valid")));
    table.previews = [(HostName::new("h1").expect("valid"), marks.to_vec())].into();
    table
}

#[test]
fn a_preview_is_reached_by_its_mark_alone() {
    let configuration = rendered(&previewed(canary())).configuration;
    assert_eq!(configuration, include_str!("tests/previewed.conf"));
    assert_eq!(parse(&configuration).expect("readable"), Some(previewed(canary())));
    let alone = rendered(&previewed(table(Vec::new()))).configuration;
    assert!(alone.contains("    default \"\";\n    \"v3\" podlift_shop_web_via0;"), "{alone}");
    assert_eq!(alone.matches("if ($podlift_shop_web_via1 = \"\") {\n            return 503;").count(), 2, "{alone}");
}

#[test]
fn hostile_previews_are_refused() {
    for (name, value) in [("X-P", "a\"; }"), ("x y", "v"), ("X-P", "$host"), ("X-P", "default")] {
        let mut table = previewed(canary());
        let pair = crate::model::preview::Pair { name: name.into(), value: value.into() };
        table.previews.values_mut().flatten().for_each(|preview| preview.mark = Mark::Header(pair.clone()));
        render(&table, &settings()).expect_err(value);
    }
}

#[test]
fn nothing_that_serves_is_503() {
    assert_eq!(rendered(&table(Vec::new())).configuration, include_str!("tests/nothing.conf"));
}

#[test]
fn the_users_own_server_block_includes_the_locations() {
    let rendered = rendered(&within_another_server());
    assert_eq!(rendered.configuration, include_str!("tests/sticky.conf"));
    assert_eq!(rendered.locations.as_deref(), Some(include_str!("tests/sticky.locations")));
}

#[test]
fn visitors_parts_add_up_and_none_is_nothing() {
    let mut table = table(vec![share("v1", 1, &[20001]), share("v2", 99_999, &[20002]), share("v3", 1, &[20003])]);
    table.front.sticky = Some("visitor".into());
    let configuration = rendered(&table).configuration;
    assert!(
        configuration.contains("    0.01% podlift_shop_web_0;\n    99.98% podlift_shop_web_1;\n    * podlift_shop_web_2;\n"),
        "{configuration}"
    );
}

#[test]
fn what_is_rendered_is_read_back() {
    let table = within_another_server();
    assert_eq!(parse(&rendered(&table).configuration).expect("readable"), Some(table));
    assert_eq!(parse("server { }\n").expect("not podlift's"), None);
    assert_eq!(parse("# podlift was here\n").expect("not podlift's"), None);
    assert!(parse("# podlift {\"project\":1}\n").is_err());
}

#[test]
fn a_projects_own_template_keeps_the_table_and_the_page() {
    let own = "upstream {{ name }} { server {{ upstreams[0].servers[0].address }}; }\n";
    let rendered = render(&canary(), &Settings { template: Some(own.into()), ..settings() }).expect("rendered");
    let lines: Vec<&str> = rendered.configuration.lines().collect();
    assert!(lines[0].starts_with("# podlift {"));
    assert_eq!(lines[1], "upstream podlift_shop_web { server 127.0.0.1:20001; }");
    assert!(rendered.configuration.contains("server_name web.shop.podlift;"));
}

#[test]
fn the_language_reference_lists_what_a_template_may_use() {
    let reference = include_str!("../../docs/language.md");
    let (_, table) = reference.split_once("| in a template | |\n|---|---|\n").expect("the table");
    let rows = table.lines().take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    let names: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    // A name that is not known is an error.
    let uses = names.iter().fold(String::new(), |text, name| text + "{{ " + *name + " }}\n");
    let own = uses + "{% include \"locations\" %}\n{% include \"proxy\" %}\n";
    render(&canary(), &Settings { template: Some(own), ..settings() }).expect("all are known");
    let source = include_str!("mod.rs");
    let (_, context) = source.split_once("    context! {\n        project").expect("what a template may use");
    // Behind the rest of the first one's line.
    let lines = context.lines().skip(1).take_while(|line| *line != "    }");
    let known: Vec<&str> = lines.map(|line| line.trim().split([' ', ',']).next().unwrap_or_default()).collect();
    let missing: Vec<&&str> = known.iter().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty() && known.len() > 20, "{missing:?} of {known:?}");
}

#[test]
fn broken_templates_and_hostile_values_are_refused() {
    for template in ["{{ nothing }}", "{% if", "{{ secrets.key }}"] {
        let failure = render(&canary(), &Settings { template: Some(template.into()), ..settings() }).expect_err("refused");
        assert!(failure.message.contains("template"), "{failure}");
    }
    let mut table = canary();
    table.shares.values_mut().flatten().flat_map(|share| &mut share.containers).for_each(|endpoint| endpoint.address = "a; }".into());
    let failure = render(&table, &settings()).expect_err("refused");
    assert_eq!(failure.message, "the address of a container is \"a; }:20001\", which cannot stand in nginx's configuration");
    assert!(render(&canary(), &Settings { logs: "/var/log; ".into(), ..settings() }).is_err());
}

#[test]
fn nginx_accepts_what_is_rendered() {
    let Some(version) =
        Command::new("nginx").arg("-v").output().ok().and_then(|output| NginxVersion::parse(&String::from_utf8_lossy(&output.stderr)))
    else {
        return;
    };
    let mut longest = canary();
    longest.project = ProjectName::new(format!("a{}", "-b".repeat(19))).expect("valid");
    longest.service = ServiceName::new("s".repeat(40)).expect("valid");
    let mut sticky = canary();
    sticky.front.sticky = Some("visitor".into());
    for table in [canary(), table(Vec::new()), longest, sticky, within_another_server()] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_str().expect("a plain path");
        let settings =
            Settings { version, flag: format!("{path}/drain"), logs: path.into(), ipv6: false, template: None, page: names::PAGE };
        let Rendered { configuration, locations } = render(&table, &settings).expect("rendered");
        let configuration = configuration.replace("listen 80", "listen 127.0.0.1:18080");
        fs::write(format!("{path}/service.conf"), &configuration).expect("written");
        let own = locations.map(|locations| format!("server {{ listen 127.0.0.1:18080;\n{locations}}}")).unwrap_or_default();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {path}/{kind};\n")).concat();
        let main = format!(
            "pid {path}/pid;\nerror_log {path}/error.log;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}include {path}/*.conf;\n{own}\n}}\n"
        );
        fs::write(format!("{path}/main"), main).expect("written");
        let test =
            Command::new("nginx").args(["-t", "-e", "stderr", "-p", path, "-c", &format!("{path}/main")]).output().expect("nginx is there");
        let words = String::from_utf8_lossy(&test.stderr);
        assert!(test.status.success() && !words.contains("[warn]"), "{words}\n{configuration}");
    }
}
