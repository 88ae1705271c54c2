//! Where two JSON values differ.

use serde_json::Value;

/// How many differences are told.
const MOST: usize = 8;

/// The places where `asked` differs from `planned`, a line each: `PATH: PLANNED → ASKED`.
pub(super) fn differences(planned: &Value, asked: &Value) -> String {
    let mut lines = Vec::new();
    compare("", planned, asked, &mut lines);
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

fn compare(path: &str, planned: &Value, asked: &Value, lines: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (planned, asked) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                compare(&below(name), left.get(name).unwrap_or(&Value::Null), right.get(name).unwrap_or(&Value::Null), lines);
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for index in 0..left.len().max(right.len()) {
                let at = |list: &[Value]| list.get(index).cloned().unwrap_or(Value::Null);
                compare(&below(&index.to_string()), &at(left), &at(right), lines);
            }
        }
        _ if planned == asked => {}
        _ => {
            let (planned, asked) = (told(planned), told(asked));
            let same = planned.chars().zip(asked.chars()).take_while(|(planned, asked)| planned == asked).count();
            lines.push(format!("{path}: {} → {}", short(&planned, same), short(&asked, same)));
        }
    }
}

/// A value in a line.
fn told(value: &Value) -> String {
    if value.is_null() { "nothing".to_owned() } else { value.to_string() }
}

/// At most 80 characters of a text of which so many are the same in another one: of a long one those where they differ.
fn short(text: &str, same: usize) -> String {
    const MOST: usize = 80;
    let count = text.chars().count();
    if count <= MOST {
        return text.to_owned();
    }
    let begin = if same < MOST - 20 { 0 } else { same - 20 };
    let (before, room) = if begin > 0 { ("…", MOST - 1) } else { ("", MOST) };
    let is_cut = count - begin > room;
    let shown: String = text.chars().skip(begin).take(if is_cut { room - 1 } else { room }).collect();
    format!("{before}{shown}{}", if is_cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_difference_has_its_path() {
        let planned = json!({ "version": "v1", "service": { "env": { "A": "1" } }, "hosts": ["a", "b"], "same": 1 });
        let asked = json!({ "version": "v2", "service": { "env": {} }, "hosts": ["a", "c"], "same": 1 });
        assert_eq!(differences(&planned, &asked), "hosts.1: \"b\" → \"c\"\nservice.env.A: \"1\" → nothing\nversion: \"v1\" → \"v2\"");
        assert_eq!(differences(&json!(vec![1; 20]), &json!(vec![2; 20])).lines().count(), MOST + 1);
        assert_eq!(differences(&json!({ "command": ["a", "b"] }), &json!({ "command": ["a", "b", "c"] })), "command.2: nothing → \"c\"");
    }

    #[test]
    fn of_long_texts_that_is_shown_in_which_they_differ() {
        let text = |end: &str| json!("x".repeat(200) + end);
        let same = "x".repeat(20);
        assert_eq!(differences(&text("old"), &text("new")), format!(": …{same}old\" → …{same}new\""));
        let long = differences(&text(&"y".repeat(300)), &text(&"z".repeat(300)));
        assert!(long.starts_with(&format!(": …{same}yyy")) && long.contains(&format!("y… → …{same}zzz")), "{long}");
        assert_eq!(long.chars().count(), 2 + 80 + 3 + 80);
    }
}
