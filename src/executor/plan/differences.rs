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
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&below(&index.to_string()), left, right, lines);
            }
        }
        _ if planned == asked => {}
        _ => lines.push(format!("{path}: {} → {}", short(planned), short(asked))),
    }
}

/// A value in a line.
fn short(value: &Value) -> String {
    let text = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    if text.chars().count() <= 80 { text } else { text.chars().take(79).chain(['…']).collect() }
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
    }
}
