use std::{fs, sync::Arc};

use rhai::{Array, Dynamic, FnPtr, ImmutableString, OptimizationLevel};

use super::*;
use crate::script::sources::Sources;

/// A language of a few functions; `tests/suite` has the real one.
fn language() -> (Engine, Vocabulary) {
    let mut engine = Engine::new();
    engine.set_optimization_level(OptimizationLevel::None).set_strict_variables(true);
    engine.register_fn("host", |_: ImmutableString| ());
    engine.register_fn("service", |_: ImmutableString, _: Dynamic| ());
    engine.register_fn("start", |_: Dynamic, _: Dynamic, _: Dynamic| ());
    engine.register_fn("start", |_: Dynamic, _: Dynamic, _: Dynamic, _: Dynamic| ());
    engine.register_fn("healthcheck", |_: Dynamic| ());
    engine.register_fn("options", |_: Dynamic, _: Dynamic| ());
    engine.register_fn("pause", |_: ImmutableString| ());
    engine.register_fn("parallel", |_: Array, _: FnPtr| ());
    engine.register_get("version", |_: &mut i64| 1);
    let whole: Fits = Arc::new(|value| if value.is_int() { Ok(()) } else { Err(format!("is to be a whole number, and got {value}")) });
    let vocabulary = Vocabulary::of(&engine)
        .with_options("start", [OptionKey { name: "replicas".into(), fits: whole, required: None }])
        .replacing(&[("sleep", 1, "pause(\"5s\") waits")]);
    (engine, vocabulary)
}

/// Checks a script beside a module `lib`.
fn examined(script: &str, library: &str) -> Examined {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("lib.rhai"), library).expect("a file");
    let (engine, vocabulary) = language();
    let resolver = Resolver::new(Sources::default(), folder.path(), folder.path());
    check(&engine, &resolver, &vocabulary, &[Entry { name: "web.rhai", text: script }])
}

/// What is found, as `LINE:COLUMN+LENGTH message (hint)`.
fn findings(script: &str, library: &str) -> Vec<String> {
    let tell = |finding: &Finding| {
        let file = if &*finding.origin.file == "web.rhai" { "" } else { "lib " };
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{file}{}:{}+{} {}{hint}", finding.origin.line, finding.origin.column, finding.length, finding.message)
    };
    examined(script, library).findings.iter().map(tell).collect()
}

#[track_caller]
fn one(script: &str, expected: &str) {
    assert_eq!(findings(script, ""), [expected]);
}

#[test]
fn a_good_script_has_no_findings() {
    let library = "fn each(list, f) { list.map(f) }\nfn deploy(opts) { let o = options(opts, #{ batch: 1, drain: \"30s\" }); o.batch }";
    let script = "import \"lib\" as lib;\nlet web = service(\"web\", #{});\nlet n = 1;\nlib::each([1], |x| n += x);\n\
        lib::deploy(#{ batch: \"25%\", drain: \"5s\" });\ntry { healthcheck(web); } catch (e) { throw e; }\n\
        let done = #{ f: |x| x }; done.f(1); done.g = |x| x; done.g(1); done[\"h\"] = |x| x; done.h(1); let k = [1].len(); print(`${k}`); [1].map(|x| x + n); healthcheck(\"${HOME}\");";
    assert_eq!(findings(script, library), Vec::<String>::new());
}

#[test]
fn unknown_functions_are_found_wherever_they_stand() {
    one("try { helthcheck(1) } catch {}", "1:7+10 there is no function `helthcheck` (did you mean `healthcheck`?)");
    one("let f = |x| { wolf(x) };", "1:15+4 there is no function `wolf`");
    one("fn f() { wolf() }", "1:10+4 there is no function `wolf`");
    one("let f = Fn(\"wolf\");", "1:12+6 there is no function `wolf`");
    one("[1].helthcheck()", "1:5+10 nothing has a method `helthcheck` (did you mean `healthcheck`?)");
    one("1.version()", "1:3+7 nothing has a method `version` (`.version` is a property: leave the parentheses out)");
    one("let f = |x| x; f(1);", "1:16+1 there is no function `f` (`f` is a variable: call the closure in it with f.call(…))");
    one("`${wolf()}`", "1:4+4 there is no function `wolf`");
    one("sleep(5)", "1:1+5 `sleep` is not for deployment scripts (pause(\"5s\") waits)");
}

#[test]
fn wrong_argument_counts_are_found() {
    one("service(1)", "1:1+7 `service` takes 2 arguments, not 1");
    one("start(1, 2)", "1:1+5 `start` takes 1, 3 or 4 arguments, not 2");
    one("1.start(2)", "1:3+5 `.start` takes 0, 2 or 3 arguments, not 1");
    one("fn f(a) { a }\nf()", "2:1+1 `f` takes 1 argument, not 0");
}

#[test]
fn modules_are_checked_with_what_calls_them() {
    let library = "fn deploy(a, opts) { let o = options(opts, #{ batch: 1, force: false }); wolf() }\nprivate fn inner() { 1 }";
    assert_eq!(
        findings(
            "import \"lib\" as lib;\nlib::deploy(1);\nlib::deplpy(1, 2);\nlib::inner();\nlib::deploy(1, #{ bach: 2, force: 1 });\ndeploy(1, 2);",
            library,
        ),
        [
            "2:6+6 `lib::deploy` takes 2 arguments, not 1",
            "3:6+6 `lib` has no function `deplpy` (did you mean `deploy`?)",
            "4:6+5 `lib` has no function `inner` (it is private there)",
            "5:19+4 `deploy` has no option `bach` (did you mean `batch`?)",
            "5:35+1 the option `force` of `deploy` is to be true or false, and got 1",
            "6:1+6 there is no function `deploy` (did you mean `lib::deploy`?)",
            "lib 1:74+4 there is no function `wolf`",
        ]
    );
}

#[test]
fn what_cannot_be_imported_is_found() {
    let found = findings("import \"nothing\" as n;\nimport \"std/roling\" as r;\nn::f();\nr::f();", "");
    assert!(found[0].starts_with("1:8+9 there is no module \"nothing\": "), "{found:?}");
    assert_eq!(found[1], "2:8+12 the standard library has no module \"std/roling\" (did you mean \"std/rolling\"?)");
    assert_eq!(found.len(), 2);
    assert_eq!(findings("import \"lib\" as lib;", "\nlet = 1;"), ["lib 2:5+1 expecting name of a variable"]);
    let circle = findings("import \"lib\" as lib;", "import \"lib\" as me;");
    assert!(circle[0].contains("modules import each other in a circle"), "{circle:?}");
}

#[test]
fn script_functions_may_not_hide_host_functions() {
    one(
        "let a = 1;\n\nfn healthcheck(release) {\n  release\n}",
        "3:4+11 `healthcheck` would hide the host function of the same name (give it another name)",
    );
    assert_eq!(findings("fn healthcheck(release, times) { release }\nfn map(a, b) { a }", ""), Vec::<String>::new());
}

#[test]
fn option_maps_are_held_to_their_function() {
    one("start(1, 2, 3, #{ replica: 2 })", "1:19+7 `start` has no option `replica` (did you mean `replicas`?)");
    one("start(1, 2, 3, #{ replicas: \"2\" })", "1:29+3 the option `replicas` of `start` is to be a whole number, and got 2");
    assert_eq!(findings("let n = 1; start(1, 2, 3, #{ replicas: n + 1 })", ""), Vec::<String>::new());
}

#[test]
fn a_closure_in_a_map_is_not_the_host_function_of_its_name() {
    let called = "m.start(1, 2, #{ speed: 2 });";
    let maps = [
        "let m = #{ start: |a, b, o| a };",
        "let n = 1; let m = #{}; m.start = |a, b, o| a + n;",
        "let m = #{}; m[\"start\"] = |a, b, o| a;",
        "let f = || 1; let m = #{ start: f };",
        "let f = || 1; let g = #{ f: f }; let m = #{ start: g.f ?? 1 };",
        "fn f() { || 1 } let m = #{ start: f() };",
        "let m = #{}; [|a| a].map(|f| m.start = f);",
    ];
    for map in maps {
        assert_eq!(findings(&format!("{map} {called}"), ""), Vec::<String>::new());
    }
    for map in ["let m = #{ start: 1 };", "let n = \"30s\"; let m = #{ start: n };", "let n = host(\"h1\"); let m = #{}; m.start = [n];"] {
        let other = findings(&format!("{map} {called}"), "");
        assert_eq!(other.len(), 1, "a key is not a closure: {map} {other:?}");
    }
    one(
        "let m = #{ start: |a| a }; m.start(1); start(1, 2, 3, #{ speed: 2 });",
        "1:58+5 `start` has no option `speed` (it has `replicas`)",
    );
}

#[test]
fn a_question_is_known_beside_a_closure_of_its_name() {
    let asked = |map: &str| examined(&format!("{map} \"sure?\".confirm(#{{ name: \"x\" }});"), "").questions;
    for map in ["", "let m = #{ confirm: |a| a };", "let c = true; let m = #{ confirm: c };"] {
        assert_eq!(asked(map), Some(BTreeSet::from(["x".to_owned()])), "{map}");
    }
}

#[test]
fn double_quotes_do_not_interpolate() {
    one(
        "let name = 1;\npause(`1s`); print(\"to ${name}\");",
        "2:20+12 `${name}` in double quotes stays as it is (write the string in backticks: `…`)",
    );
}

#[test]
fn writes_to_captured_variables_of_branches_are_found() {
    let lost = |name: &str| {
        format!(
            "`{name}` is changed in a branch of `parallel`, and the change is lost (return a value from the branch: `parallel` returns them all, in order)"
        )
    };
    assert_eq!(
        findings(
            "let n = 0;\nlet l = [];\nlet m = #{};\nparallel([1], |x| {\n  n += x;\n  l.push(x);\n  m.a = 1;\n  let own = 0;\n  own += 1;\n  [1].map(|y| { n = y; });\n});\n[1].map(|x| n += x);",
            ""
        ),
        [format!("5:3+1 {}", lost("n")), format!("6:3+1 {}", lost("l")), format!("7:3+1 {}", lost("m")), format!("10:17+1 {}", lost("n")),]
    );
}

#[test]
fn literals_are_held_to_their_grammar() {
    let found = findings("service(\"Web\", #{});\nhost(\"a b\");\npause(\"5 minutes\");\nlet h = \"x\"; host(h);", "");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("1:9+5 \"Web\" is not a valid service name (") && found[2].starts_with("3:7+11 \"5 minutes\" is not"),
        "{found:?}"
    );
}

#[test]
fn parse_errors_are_told_in_our_words() {
    one(
        "let total = 1;\nfn f() { total }",
        "2:10+5 there is no variable `total` here (functions see only their arguments: pass it in, or write `const total` and `global::total`)",
    );
    one("let total = 1;\ntotel", "2:1+5 there is no variable `totel` here (did you mean `total`?)");
    one("x::f()", "1:1+1 nothing is imported as `x` (write `import \"…\" as x;` above)");
    one("let default = 1;", "1:5+7 `default` is a reserved word (choose another name, or write the key in quotes: \"default\")");
}

#[test]
fn variables_that_are_not_there_hide_no_other_finding() {
    let script = "let f = |x| wolf(x);\npause(foo);\nfn inner() { bar }\nfoo; hidden; start(1, 2, 3, #{ replica: foo });";
    assert_eq!(
        findings(script, ""),
        [
            "1:13+4 there is no function `wolf`",
            "2:7+3 there is no variable `foo` here",
            "3:14+3 there is no variable `bar` here",
            "4:6+6 there is no variable `hidden` here",
            "4:32+7 `start` has no option `replica` (did you mean `replicas`?)",
        ]
    );
}
