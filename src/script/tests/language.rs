use crate::script::{
    engine,
    recording::{deploy, script},
};

#[test]
fn what_is_not_there_says_so() {
    for (call, instead) in [
        ("exit()", "fail(message)"),
        ("exit(1)", "fail(message)"),
        ("sleep(1)", "pause"),
        ("sleep(1.5)", "pause"),
        ("timestamp()", "now()"),
    ] {
        assert!(script(format!("{call};")).fails_anywhere().contains("there is no `"), "{call}");
        let hints = script(format!("{call};")).run().result.expect_err("refused").failure().expect("a failure").hints;
        assert!(hints[0].contains(instead), "{call}: {hints:?}");
    }
    assert!(engine::language().compile("eval(\"1\")").is_err());
}

#[test]
fn unknown_properties_and_variables_are_errors() {
    for wrong in ["let m = #{ a: 1 }; m.b", "let h = host(\"a\"); h.nme", "x + 1", "let a = 1; let f = || b; f.call()"] {
        let compiled = engine::language().compile(wrong);
        let refused = compiled.is_err() || script(wrong).run().result.is_err();
        assert!(refused, "{wrong}");
    }
}

#[test]
fn limits_are_the_same_everywhere() {
    let deep = format!("let x = {}1{};", "(".repeat(300), ")".repeat(300));
    assert!(engine::language().compile(deep).is_err());
    let fine = format!("let x = {}1{};", "(".repeat(30), ")".repeat(30));
    assert!(engine::language().compile(fine).is_ok());
    let recursion = |levels: usize| script(format!("fn f(n) {{ if n == 0 {{ 0 }} else {{ 1 + f(n - 1) }} }} print(f({levels}));"));
    assert_eq!(recursion(60).says(), ["60"]);
    assert!(recursion(1000).run().result.is_err());
    assert!(script("let s = \"xxxxxxxxxxxxxxxx\"; loop { s += s; }").run().result.is_err());
}

#[test]
fn values_print_compare_and_become_json() {
    let said = deploy(
        r#"let r = start(web, img, fleet[0]);
        print(`${web} ${fleet[0]} ${img} ${r} ${http("/x")} ${fleet}`);
        debug("x");
        print(fleet[0] == host("deploy@10.0.0.1") && fleet[0] != fleet[1] && img == image("shop-web:v2") && r == r + () && web == web);
        print(`${fleet[0].name} ${fleet[0].address} ${fleet[0].labels}`);
        print(`${r.service.name} ${r.run} ${r.version} ${r.versions} ${r.hosts} ${r.image} ${r.state} ${r.weight}`);
        let c = r.containers[0];
        print(`${c.name} ${c.host} ${c.port} ${c.version} ${c.state}`);
        print(#{ r: r, list: [img, (), 1.5] }.to_json());
        print(fleet[0].to_json());
        let one = r.each()[0];
        print(`${r.each().len()} ${(r - one).containers.len()} ${(one + r).containers.len()}`);"#,
    )
    .says();
    assert_eq!(
        said,
        [
            "web 10.0.0.1 shop-web:v2 web v2 on 10.0.0.1 GET /x [10.0.0.1, 10.0.0.2]",
            "\"x\"",
            "true",
            "10.0.0.1 deploy@10.0.0.1 #{}",
            "web r2 v2 [\"v2\"] [10.0.0.1] shop-web:v2 running 0",
            "shop-web-v2-cec2b0998e-1 10.0.0.1 20001 v2 running",
            r#"{"list":[{"digest":"","reference":"shop-web:v2","registry_digest":null,"version":"v2"},null,1.5],"r":{"containers":[{"host":"10.0.0.1","name":"shop-web-v2-cec2b0998e-1","port":20001,"state":"running","version":"v2"},{"host":"10.0.0.1","name":"shop-web-v2-cec2b0998e-2","port":20002,"state":"running","version":"v2"}],"hosts":["10.0.0.1"],"image":"shop-web:v2","run":"r2","service":"web","state":"running","version":"v2","versions":["v2"],"weight":0}}"#,
            r#"{"address":"deploy@10.0.0.1","labels":{},"name":"10.0.0.1"}"#,
            "2 1 2",
        ]
    );
}

#[test]
fn a_failure_knows_its_place_in_a_closure() {
    let story = deploy("let f = |h| start(web, img, 5);\nfn g(f) { f.call(1) }\ng(f);").run();
    let failure = story.result.expect_err("a wrong type").failure().expect("a failure");
    let origin = failure.origin.expect("a place");
    assert_eq!((&*origin.file, origin.line, origin.column), ("deploy.rhai", 5, 13));
    assert!(story.sources.text("deploy.rhai").is_some());
}

#[test]
fn every_function_is_documented_once_for_each_count_of_arguments() {
    let mut forms = Vec::new();
    for function in crate::script::signatures() {
        assert!(function.doc.ends_with('.') || function.doc.ends_with('`'), "{function}");
        for count in function.arity() {
            assert!(!forms.contains(&(function.name, count)), "{function}");
            forms.push((function.name, count));
        }
        let takes_options = function.parameters.last() == Some(&"options?");
        assert_eq!(takes_options, function.options().is_some(), "{function}");
    }
    for spec in crate::script::options::SPECS {
        assert!(forms.iter().any(|(name, _)| *name == spec.function), "{}", spec.function);
    }
}

#[test]
fn modules_act_in_the_run_and_failures_know_their_file() {
    let story = deploy("import \"roll\" as roll;\nlet h = fleet[0];\nroll::each([1], |n| start(web, img, h));\nroll::wrong(h);")
        .module("roll", "fn each(list, action) {\n    parallel(list, |item| action.call(item))\n}\nfn wrong(host) {\n    ship(5, host)\n}")
        .run();
    assert_eq!(story.lines(), ["1[0].1 10.0.0.1 start 2 × web v2"]);
    assert_eq!(story.calls[0].origin.to_string(), "deploy.rhai:7");
    let origin = story.result.expect_err("a wrong type").failure().expect("a failure").origin.expect("a place");
    assert!(origin.file.ends_with("roll.rhai") && origin.line == 5, "{origin}");
}

#[test]
fn captured_values_are_options_too() {
    let calls =
        deploy("let n = 3; let all = fleet; let f = || start(web, img, all, #{ replicas: n, env: #{ N: n } }); f.call(); n += 1;").calls();
    assert_eq!(calls, ["1[0] 10.0.0.1 start 3 × web v2", "1[1] 10.0.0.2 start 3 × web v2"]);
}

#[test]
fn everything_can_be_printed() {
    let said = script(r#"print(0..5); print(0..=5); print(blob(2)); print(1.5); print('x'); print(true); print(()); print("a"); print([1]); print(#{}); print("a" + 'b');"#).says();
    assert_eq!(said, ["0..5", "0..=5", "[0000]", "1.5", "x", "true", "", "a", "[1]", "#{}", "ab"]);
}

#[test]
fn the_deepest_script_has_enough_stack() {
    let (open, close) = ("(1 + ".repeat(20), ")".repeat(20));
    let deepest = format!("fn f(n) {{ if n == 0 {{ 0 }} else {{ {open}f(n - 1){close} }} }} print(f(60));");
    assert_eq!(script(deepest).says(), [(60 * 20).to_string()]);
    let nested = format!("{open}f(n - 1){close}");
    let closures = format!("fn f(n) {{ if n == 0 {{ 0 }} else {{ parallel([1], |x| phase(\"p\", || {nested}))[0] }} }} f(200);");
    assert!(script(closures).in_order().run().result.is_err());
}
