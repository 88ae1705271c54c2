//! Postgres: rows, migrations, backfills, dumps, sessions.

mod address;
pub mod backfill;
pub mod backup;
mod index;
mod ledger;
mod migration;
mod pace;
mod rows;
mod session;
mod tls;
mod tries;

use self::session::Session;
pub use self::{migration::migrate, rows::query};
use crate::{
    failure::Failure,
    fleet::Fleet,
    model::Text,
    op::{DatabaseSession, Sessions},
};

/// Everyone else's connections to the database. Some columns are shown to their own user and to `pg_read_all_stats` only.
const SESSIONS: &str = "SELECT coalesce(application_name, ''), coalesce(state, ''), \
    coalesce(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') \
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
    AND coalesce(backend_type, 'client backend') = 'client backend' ORDER BY backend_start, pid";

/// Lists who is connected, besides this call itself.
pub async fn sessions(fleet: &Fleet, op: &Sessions) -> Result<Vec<DatabaseSession>, Failure> {
    let session = Session::open(fleet, &op.database, "podlift").await?;
    let secrets = fleet.secrets();
    let text = |value: Option<String>| secrets.redact(&value.unwrap_or_default());
    let one = |row: Vec<Option<String>>| {
        let mut values = row.into_iter();
        let mut next = || text(values.next().flatten());
        DatabaseSession { application_name: next(), state: next(), since: next() }
    };
    Ok(session.rows(SESSIONS).await?.into_iter().map(one).collect())
}

/// A text with its secrets in place. Within a statement they stand between quotes, so a quote in one is doubled.
fn resolved(fleet: &Fleet, text: &Text) -> Result<String, Failure> {
    text.resolve(|name| {
        let one = Text::new([crate::model::text::Part::Secret { secret: name.to_owned() }]);
        fleet.secrets().resolve(&one).map(|value| value.replace('\'', "''"))
    })
}
