//! Changes of a schema that are between their halves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{containers::age, style::Style, table::Table};

/// A change that has expanded and not contracted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Between {
    /// Its name.
    pub change: String,
    /// `expanded`, or `contracting` where the contract was broken off.
    pub state: String,
    /// When that was noted, in RFC 3339, UTC.
    pub since: String,
    /// The oldest version of each service that knows the new schema.
    pub versions: BTreeMap<String, String>,
    /// The database, as people may see it.
    pub database: String,
}

/// The changes as a table; ages are told at `now`.
pub fn table(changes: &[Between], now: Timestamp, style: Style) -> String {
    let mut table = Table::new(["CHANGE", "STATE", "SINCE", "KNOWN TO", "DATABASE"]);
    for change in changes {
        let since = age(&change.since, now);
        let versions: Vec<String> = change.versions.iter().map(|(service, version)| format!("{service} {version}")).collect();
        table.row([change.change.clone(), change.state.clone(), since, versions.join(", "), change.database.clone()]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_stands_with_the_oldest_versions_that_know_it() {
        let change = Between {
            change: "users-mail".into(),
            state: "expanded".into(),
            since: "2026-01-01T00:00:00Z".into(),
            versions: [("web".into(), "v2".into())].into(),
            database: "db:5432/shop".into(),
        };
        let now = "2026-01-03T00:00:00Z".parse().expect("a time");
        assert_eq!(
            table(&[change], now, Style::PLAIN),
            "\
CHANGE      STATE     SINCE   KNOWN TO  DATABASE
users-mail  expanded  2 days  web v2    db:5432/shop
"
        );
    }
}
