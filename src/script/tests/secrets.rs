use crate::{
    op::{CommandLine, Op},
    script::recording::{deploy, script},
};

#[test]
fn a_secret_survives_every_string_operation() {
    let story = deploy(
        r#"let url = `postgres://u:${secret("PW")}@db`;
        let all = [url.to_upper(), url.sub_string(11), url.split(":")[2], "x" + url + secret("TOKEN"), url.to_string()];
        let reversed = ""; for character in url.chars() { reversed = character + reversed; }
        let s = service("db", #{ env: #{ URL: url, UPPER: all[0], CUT: all[1], SPLIT: all[2], SUM: all[3], REVERSED: reversed } });
        start(s, img, fleet[0]);"#,
    )
    .run();
    assert!(story.result.is_ok(), "{:?}", story.result.err().map(|stopped| stopped.error));
    let Op::Start(op) = &*story.calls[0].op else { panic!("not a start") };
    let shown: Vec<String> = op.service.env.iter().map(|(name, text)| format!("{name}={text}")).collect();
    assert_eq!(
        shown,
        [
            "CUT=u:${PW}@db",
            "REVERSED=bd@${PW}:u//:sergtsop",
            "SPLIT=${PW}@db",
            "SUM=xpostgres://u:${PW}@db${TOKEN}",
            "UPPER=POSTGRES://U:${PW}@DB",
            "URL=postgres://u:${PW}@db",
        ]
    );
    assert!(op.service.env.values().all(|text| text.secrets().next() == Some("PW")));
}

#[test]
fn a_secret_is_shown_by_its_name() {
    let said = script(r#"let url = "u:" + secret("PW"); print(url); info(url); warn([url]); phase(url, || ()); try { fail(url) } catch (e) { print(e.message) }"#).says();
    assert_eq!(said, ["u:${PW}", "u:${PW}", "[\"u:${PW}\"]", "0> u:${PW}", "0< u:${PW}", "u:${PW}"]);
}

#[test]
fn a_secret_stands_where_its_value_stays_hidden_only() {
    for call in [
        r#"service("web", #{ domain: s })"#,
        r"service(s)",
        r"host(s)",
        r"hosts([s])",
        r#"http("/" + s)"#,
        r#"command(["a", s])"#,
        r#"image("web:" + s)"#,
        r"build(web, #{ tag: s })",
        r#"service("web", #{ volumes: [s] })"#,
        r#"service("web", #{ labels: #{ a: s } })"#,
        r#"service("web", #{ options: #{ a: s } })"#,
        r#"http_get("http://" + s)"#,
        r#"http_get([start(web, img, fleet), "/" + s])"#,
        r"read_file(s)",
        r"pause(s)",
        r"env(s)",
        r"secret(s)",
        r#"hook("local", "true", #{ name: s })"#,
        r"set_weights([[start(web, img, fleet), 1]], #{ sticky: s })",
    ] {
        let error = deploy(&format!("let s = secret(\"PW\"); {call};")).fails();
        assert!(error.contains("secret") || error.contains("not a path"), "{call}: {error}");
    }
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        script("secret(\"NOPE\");").fails(),
        "1: there is no secret NOPE | set the environment variable NOPE, or write it into .env beside the script"
    );
    assert_eq!(
        script("env(\"MISSING\");").fails(),
        "1: the environment variable MISSING is not set | set it, write it into .env beside the script, or give a default: env(\"MISSING\", \"…\")"
    );
    assert_eq!(script(r#"print(env("MISSING", "d")); print(env("HOME"));"#).says(), ["d", "value of HOME"]);
    assert!(script("env_file(\"nope\");").fails().contains("there is no file nope"));
}

#[test]
fn an_env_file_is_a_map_of_secrets() {
    let story = deploy(r#"let f = env_file(".env.web"); print(f); start(service("x", #{ env: f }), img, fleet[0]);"#).run();
    assert_eq!(story.said, [r#"#{"URL": "${.env.web#URL}"}"#]);
    let Op::Start(op) = &*story.calls[0].op else { panic!("not a start") };
    assert_eq!(op.service.env["URL"].secrets().collect::<Vec<_>>(), [".env.web#URL"]);
}

#[test]
fn what_comes_from_outside_names_no_secret() {
    let story = deploy(
        r#"let s = secret("PW");
        let file = read_file("motd");
        let out = hook("local", "echo");
        hook("local", ["echo", s, file, out.stdout], #{ stdin: s });"#,
    )
    .run();
    let Some(Op::Hook(op)) = story.calls.last().map(|call| &*call.op) else { panic!("not a hook") };
    let CommandLine::Program(words) = &op.invocation.command else { panic!("not a program") };
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["echo", "${PW}", "text of motd\u{FFFD}", "out\u{FFFD}"]);
    assert_eq!(op.invocation.stdin.as_ref().map(ToString::to_string), Some("${PW}".into()));
}
