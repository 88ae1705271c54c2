use std::fmt::Write;

use crate::script::{
    check::Vocabulary,
    engine,
    recording::{deploy, script},
    types::taken,
};

#[test]
fn params_are_typed_by_their_defaults() {
    let said = script(
        r#"let p = params(#{ version: "", percent: 10, batch: 1, rate: 0.5, wait: true, hosts: ["a"], ports: [1], note: () }); print(p);"#,
    )
    .arguments(&[
        ("version", "12"),
        ("percent", "25"),
        ("batch", "25%"),
        ("rate", "1"),
        ("wait", "false"),
        ("hosts", "b, c"),
        ("ports", "8,9"),
    ])
    .says();
    assert_eq!(
        said,
        [
            r#"#{"batch": "25%", "hosts": ["b", "c"], "note": (), "percent": 25, "ports": [8, 9], "rate": 1.0, "version": "12", "wait": false}"#
        ]
    );
}

#[test]
fn wrong_params_are_refused() {
    let defaults = "params(#{ percent: 10, version: required(\"what to deploy\") });";
    for (arguments, error) in [
        (&[("percnt", "1")][..], "1: the script has no parameter `percnt` | did you mean `percent`? | there are percent, version"),
        (&[("percent", "many")], "1: the parameter `percent` is to be a whole number, and got \"many\""),
        (&[("percent", "1")], "1: the parameter `version` is missing: what to deploy | give it behind the script: version=…"),
        (&[("version", "1"), ("version", "2")], "1: the parameter `version` is given twice"),
    ] {
        assert_eq!(script(defaults).arguments(arguments).fails(), error);
    }
    assert_eq!(script("params(#{}); params(#{});").fails(), "1: params is called a second time | call it once, at the top of the script");
    assert!(script("print(1);").arguments(&[("a", "1")]).fails().contains("the script takes no arguments, and got a=…"));
}

#[test]
fn options_take_what_was_given_over_the_defaults() {
    let said = script(
        r#"fn f(o) { options(o, #{ batch: 1, pause: "0s", any: () }) }
        print(f(())); print(f(#{ batch: "25%", any: [1] })); print(f(#{ batch: 2, pause: () }));"#,
    )
    .says();
    assert_eq!(
        said,
        [
            r#"#{"any": (), "batch": 1, "pause": "0s"}"#,
            r#"#{"any": [1], "batch": "25%", "pause": "0s"}"#,
            r#"#{"any": (), "batch": 2, "pause": "0s"}"#
        ]
    );
    assert_eq!(script("options(#{ bach: 1 }, #{ batch: 1 });").fails(), "1: there is no option `bach` | did you mean `batch`?");
    assert_eq!(
        script("options(#{ batch: [] }, #{ batch: 1 });").fails(),
        "1: the option `batch` is to be a whole number, or a part such as \"25%\", and got an empty array"
    );
    assert_eq!(script("options(#{}, #{ to: required(\"where to\") });").fails(), "1: the option `to` is missing: where to");
}

#[test]
fn a_wrong_type_is_told_with_what_was_expected() {
    assert_eq!(deploy("start(\"web\", 5);").fails(), "5: start(release, hosts) got start(string, int) | `release` is to be a release");
    assert_eq!(
        deploy("start(\"web\", 5, fleet);").fails(),
        "5: start(service, image, hosts, options?) got start(string, int, array) | `service` is to be a service"
    );
    assert_eq!(
        deploy("healthcheck(web, 1);").fails(),
        "5: healthcheck(release, options?) got healthcheck(service, int) | `release` is to be a release"
    );
    assert_eq!(deploy("drain(5);").fails(), "5: drain(release, options?) got drain(int) | `release` is to be a release");
}

/// A value of each type, as messages call it.
const VALUES: &[(&str, &str)] = &[
    ("service", "web"),
    ("image", "img"),
    ("host", "fleet[0]"),
    ("array", "[fleet[0]]"),
    ("release", "release"),
    ("()", "()"),
    ("map", "#{}"),
    ("string", "\"1s\""),
    ("int", "3"),
    ("float", "0.5"),
    ("bool", "true"),
    ("function", "|| 1"),
    ("database", "database(\"postgres:///shop\")"),
    ("prometheus", "prometheus(\"http://10.0.0.9:9090\")"),
    ("registry", "registry(\"ghcr.io/team\")"),
    ("health check", "no_health()"),
];

fn value_of(types: Option<&[&str]>) -> &'static str {
    let wanted = types.and_then(|types| types.first()).unwrap_or(&"string");
    VALUES.iter().find(|(name, _)| name == wanted).map_or("#{}", |(_, value)| value)
}

fn right_for(function: &str, parameter: &str) -> &'static str {
    match parameter {
        "list" => "[1]",
        "where" => "\"local\"",
        "command" => "[\"true\"]",
        "size" => "1",
        "holds" => "|world| true",
        "url" if function == "http_get" => "\"http://10.0.0.9/\"",
        _ => value_of(taken(function, parameter)),
    }
}

/// `check` refuses what [`taken`] does not have: a run has to refuse it too, and nothing else for its type.
#[test]
fn what_a_parameter_takes_is_what_a_run_takes() {
    let known = Vocabulary::of(&engine::language());
    // What is in an array of addresses only `hosts` itself can tell.
    for function in crate::script::signatures().filter(|function| function.name != "hosts") {
        for count in function.arity().filter(|count| !known.is_of_rhai(function.name, *count)) {
            let parameters = &function.parameters[..count];
            let right: Vec<&str> = parameters.iter().map(|parameter| right_for(function.name, parameter)).collect();
            let mut script = String::from("let release = start(web, img, fleet); let wrong = [];\n");
            for (index, types) in parameters.iter().enumerate().filter_map(|(index, name)| Some((index, taken(function.name, name)?))) {
                for (name, value) in VALUES {
                    let mut arguments = right.clone();
                    arguments[index] = value;
                    let call = format!("{}({})", function.name, arguments.join(", "));
                    let fits = types.contains(name);
                    writeln!(
                        script,
                        "let told = \"\"; try {{ {call}; }} catch (e) {{ told = `${{e}}`; }}
                        if {} {{ wrong.push(`{}: ${{told}}`); }}",
                        if fits { format!("told.contains(\"{function} got {}(\")", function.name) } else { "told == \"\"".into() },
                        call.replace('"', "'")
                    )
                    .expect("it is a string");
                }
            }
            script += "for one in wrong { print(`wrong: ${one}`); }";
            let run = deploy(&script).in_order().run();
            if let Err(stopped) = run.result {
                panic!("{function}: {}", stopped.error);
            }
            let wrong: Vec<&String> = run.said.iter().filter(|said| said.contains("wrong: ")).collect();
            assert!(wrong.is_empty(), "{function}: {wrong:#?}");
        }
    }
}

#[test]
fn no_argument_makes_a_function_panic() {
    let odd = [
        "()",
        "-1",
        "0",
        "9223372036854775807",
        "1.5",
        "true",
        "'x'",
        "\"\"",
        "\"\\x00\"",
        "\"\u{F0000}\"",
        "[]",
        "[[]]",
        "[()]",
        "#{}",
        "#{ a: () }",
        "|| 1",
        "|x| x",
        "web",
        "fleet",
        "fleet[0]",
        "img",
        "release",
        "no_health()",
        "required(\"x\")",
        "[web, img, fleet[0]]",
        "[release, \"/\"]",
        "[[release, 1]]",
        "0..5",
        "blob(3)",
        "\"nginx\"",
    ];
    for function in crate::script::signatures() {
        for count in function.arity() {
            let mut script = String::from("secret(\"PW\"); let release = start(web, img, fleet);\n");
            for (index, value) in odd.iter().enumerate() {
                // Rhai has a `drain` for arrays, whose second argument names a function.
                if (function.name, count) == ("drain", 2) && (value.starts_with('[') || *value == "fleet") {
                    continue;
                }
                let arguments: Vec<&str> =
                    (0..count).map(|place| if place == 0 { *value } else { odd[(index * 7 + place * 11) % odd.len()] }).collect();
                let own_code = arguments.iter().any(|value| value.starts_with('|'));
                let call = format!("{}({})", function.name, arguments.join(", "));
                writeln!(script, "try {{ {call} }} catch (e) {{ if type_of(e) != \"Failure\" && !{own_code} {{ throw e }} }}")
                    .expect("it is a string");
            }
            if let Err(stopped) = deploy(&script).in_order().run().result {
                panic!("{}", stopped.error);
            }
        }
    }
}
