//! The page of a run, opened in a real browser.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::podlift::Project;
use crate::rig::{Rig, RigOptions, output};

const DEPLOY: &str = r#"
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", then: "true" });
let fleet = hosts(["h1", "h2"]);
let web = service("web", #{ port: 8000, replicas: 2, health: http("/health", #{ timeout: "10s" }) });
let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
ship(img, fleet);
rolling::deploy(web, img, fleet);
hook(fleet[1], p.then, #{ name: "what comes behind a deploy, with a name that is longer than a phone is wide" });
"#;

/// Puts the report into a frame of a page that measures it, `width` points wide.
const MEASURE: &str = r#"<!doctype html><meta charset="utf-8"><style>body { margin: 0 } iframe { border: 0; display: block }</style>
<script>
const problems = [];
addEventListener("error", event => problems.push(event.message));
function measure(frame) {
  const page = frame.contentDocument, view = frame.contentWindow;
  const wide = [...page.body.querySelectorAll("*")].filter(one => one.getBoundingClientRect().right > WIDTH + 1);
  const result = {
    problems, headings: [...page.querySelectorAll("h2")].map(one => one.textContent), title: page.title,
    overflow: page.scrollingElement.scrollWidth - page.scrollingElement.clientWidth,
    wide: wide.map(one => one.outerHTML.slice(0, 80)), dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    page: view.getComputedStyle(page.body).backgroundColor, ink: view.getComputedStyle(page.body).color,
    ops: page.querySelectorAll("ol.ops li").length, undone: page.querySelectorAll("li.undo").length,
  };
  document.documentElement.setAttribute("data-result", encodeURIComponent(JSON.stringify(result)));
}
</script>
<iframe width="WIDTH" height="6000" onload="measure(this)" srcdoc="REPORT"></iframe>
"#;

/// Opens a page in headless Chromium; `theme` is `dark` or `light`.
#[track_caller]
fn browse(folder: &Path, width: usize, theme: &str, page: &str) -> Value {
    let escaped = page.replace('&', "&amp;").replace('"', "&quot;");
    let file = folder.join(format!("measured-{width}-{theme}.html"));
    fs::write(&file, MEASURE.replace("WIDTH", &width.to_string()).replace("REPORT", &escaped)).expect("writes");
    let mut chromium = Command::new("chromium");
    // Tests run as root, and in containers with a small /dev/shm. Blink's 0 is dark, and 1 is light.
    chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=10000"]);
    chromium.arg(format!("--blink-settings=preferredColorScheme={}", usize::from(theme == "light")));
    chromium.arg(format!("--user-data-dir={}", folder.join(format!("browser-{width}-{theme}")).display()));
    chromium.arg("--dump-dom").arg(format!("file://{}", file.display()));
    let shown = output(&mut chromium, "");
    let result = shown.stdout.split_once("data-result=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (result, _) =
        result.unwrap_or_else(|| panic!("nothing was measured: {}\n{}", shown.stderr, &shown.stdout[..shown.stdout.len().min(2000)]));
    serde_json::from_str(&decoded(result)).expect("it is JSON")
}

/// A text without the escapes of a URL.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = std::str::from_utf8(after.get(..2).unwrap_or_default()).ok().and_then(|code| u8::from_str_radix(code, 16).ok());
        let (byte, after) = match code {
            Some(code) if *first == b'%' => (code, &after[2..]),
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).expect("it is UTF-8")
}

#[test]
fn the_report_of_a_failed_and_undone_deploy_is_read_on_a_screen_and_on_a_phone_by_day_and_by_night() {
    let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
    let project = Project::on(&rig);
    project.write("deploy.rhai", &DEPLOY.replace("PROJECT", &format!("shop{}", rig.id())));
    let first = project.podlift(&["run", "deploy.rhai"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let failed = project.podlift(&["run", "deploy.rhai", "version=v2", "then=echo \"the <report> could not be sent\" >&2; exit 3"]);
    assert_eq!(failed.code, 4, "{}", failed.stderr);
    let wrote = project.podlift(&["report", "-o", "report.html"]);
    assert_eq!(wrote.code, 0, "{}", wrote.stderr);
    let page = fs::read_to_string(project.path().join("report.html")).expect("it was written");
    for (width, theme) in [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")] {
        let seen = browse(project.path(), width, theme, &page);
        assert_eq!(seen["problems"], serde_json::json!([]), "{seen:#}");
        assert_eq!((&seen["overflow"], &seen["wide"]), (&0.into(), &serde_json::json!([])), "{width} {theme}: {seen:#}");
        assert_eq!(seen["dark"], theme == "dark", "{seen:#}");
        assert_ne!(seen["page"], seen["ink"]);
        assert!(seen["title"].as_str().expect("a title").ends_with(" is undone"), "{seen:#}");
        let headings: Vec<&str> = seen["headings"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        for heading in ["What failed", "By host", "Weights, as they were set", "deploy.rhai", "std/rolling"] {
            assert!(headings.contains(&heading), "{heading}: {headings:?}");
        }
        assert!(seen["ops"].as_u64() > Some(20) && seen["undone"].as_u64() > Some(4), "{seen:#}");
    }
    let night = |theme| browse(project.path(), 800, theme, &page)["page"].clone();
    assert_ne!(night("light"), night("dark"), "the page follows the reader's choice");
}
