//! What the database itself keeps of podlift's calls: `podlift.migrations`, written in the transactions that it tells of.

use std::{collections::BTreeMap, time::Duration};

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::session::Session;
use crate::{
    executor::{Cancellation, Urgency},
    failure::{Failure, FailureKind},
    model::{
        RunInfo, Token,
        sql::{Object, quoted_text},
    },
};

/// Keeps podlift's advisory locks apart from other programs'.
const LOCK: i32 = 0x706f_646c;
/// How long may be waited for another migration.
const OTHERS: Duration = Duration::from_secs(60);
/// How long an own session that was given up may take to end.
const PREDECESSOR: Duration = Duration::from_secs(20);

/// The tables; each can be made again.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS podlift;
CREATE TABLE IF NOT EXISTS podlift.migrations (
  run text NOT NULL, token text NOT NULL, number int NOT NULL, state text NOT NULL, statement text NOT NULL,
  existed text NOT NULL, operator text NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, token, number));
CREATE TABLE IF NOT EXISTS podlift.backfills (
  run text NOT NULL, series text NOT NULL, relation text NOT NULL, last_key text, upto text, rows bigint NOT NULL,
  done boolean NOT NULL, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, series));
CREATE TABLE IF NOT EXISTS podlift.changes (
  project text NOT NULL, name text NOT NULL, state text NOT NULL, services text NOT NULL, run text NOT NULL, operator text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (project, name));";

/// One statement of a call, as the database knows it.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Whether it is done; else it was begun outside a transaction, and what became of it is not known.
    pub is_done: bool,
    /// What was there before it.
    pub existed: Vec<Object>,
}

/// The call whose statements these are.
pub struct Ledger<'a> {
    /// The session that holds the lock.
    pub session: &'a Session,
    /// The run.
    pub run: &'a RunInfo,
    /// The call.
    pub token: &'a Token,
}

/// The name of a call's own sessions: by it they are found should they be left behind.
pub fn session_name(token: &Token) -> String {
    format!("podlift-{token}")
}

/// Makes podlift's tables, unless they are there.
pub async fn prepare(session: &Session) -> Result<(), Failure> {
    let known = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'podlift' AND c.relname IN ('migrations', 'backfills', 'changes')";
    if session.value(known).await?.as_deref() == Some("3") {
        return Ok(());
    }
    session.run(TABLES).await.map_err(|failure| {
        failure.hint("podlift keeps what it has done in the schema `podlift`: its user has to be allowed to make that, once")
    })
}

/// Waits until no earlier session of the same call is left: whatever it had in flight is decided then.
pub async fn end_predecessors(session: &Session, token: &Token) -> Result<(), Failure> {
    let name = quoted_text(&session_name(token));
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = {name} AND pid <> pg_backend_pid() AND datname = current_database()"
    );
    let deadline = Instant::now() + PREDECESSOR;
    while session.value(&end).await?.as_deref() != Some("0") {
        if Instant::now() > deadline {
            let message = format!("an earlier session of this call does not end in the database {}", session.shown());
            return Err(Failure::new(FailureKind::Timeout, message).hint("end it with pg_terminate_backend, then resume"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Takes one of podlift's locks for the rest of the session: `""` is that of migrations. Waits a minute at most.
pub async fn lock(session: &Session, what: &str, cancellation: &Cancellation) -> Result<(), Failure> {
    let digest = Sha256::digest(what.as_bytes());
    let key = if what.is_empty() { 0 } else { i32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) };
    let deadline = Instant::now() + OTHERS;
    let mut nap = Duration::from_millis(50);
    while session.value(&format!("SELECT pg_try_advisory_lock({LOCK}, {key})")).await?.as_deref() != Some("t") {
        if Instant::now() > deadline || cancellation.urgency() > Urgency::None {
            return Err(held(session, key).await);
        }
        sleep(nap).await;
        nap = (nap * 2).min(Duration::from_secs(1));
    }
    Ok(())
}

async fn held(session: &Session, key: i32) -> Failure {
    let who = format!(
        "SELECT a.application_name || ' (pid ' || a.pid || ')' FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
         WHERE l.locktype = 'advisory' AND l.classid::bigint = {LOCK} AND l.objid::bigint = {} AND l.granted",
        u32::from_ne_bytes(key.to_ne_bytes())
    );
    let who = session.value(&who).await.ok().flatten().unwrap_or_else(|| "another session".into());
    Failure::new(FailureKind::Locked, format!("another migration is running in the database {}: {who}", session.shown()))
        .hint("wait for its end, then run again")
}

impl Ledger<'_> {
    /// What is known of the call's statements, by their numbers.
    pub async fn read(&self) -> Result<BTreeMap<usize, Noted>, Failure> {
        let text = format!(
            "SELECT number, state, existed FROM podlift.migrations WHERE run = {} AND token = {}",
            quoted_text(self.run.id.as_str()),
            quoted_text(self.token.as_str())
        );
        let rows = self.session.rows(&text).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let [number, state, existed] = <[Option<String>; 3]>::try_from(row).ok()?;
                let existed = serde_json::from_str(&existed?).unwrap_or_default();
                Some((number?.parse().ok()?, Noted { is_done: state? == "done", existed }))
            })
            .collect())
    }

    /// The statement that notes another one.
    pub fn note(&self, number: usize, state: &str, statement: &str, existed: &[Object]) -> String {
        let existed = serde_json::to_string(existed).expect("plain data");
        let values = [
            self.run.id.as_str(),
            self.token.as_str(),
            &number.to_string(),
            state,
            statement,
            existed.as_str(),
            self.run.operator.as_str(),
        ];
        let values: Vec<String> = values.iter().map(|value| quoted_text(value)).collect();
        format!(
            "INSERT INTO podlift.migrations (run, token, number, state, statement, existed, operator) \
             SELECT v.run, v.token, v.number::int, v.state, v.statement, v.existed, v.operator \
             FROM (VALUES ({})) AS v (run, token, number, state, statement, existed, operator) \
             ON CONFLICT (run, token, number) DO UPDATE SET state = EXCLUDED.state, at = now() WHERE podlift.migrations.state = 'begun'",
            values.join(", ")
        )
    }

    /// Which of these are there.
    pub async fn existing(&self, objects: &[Object]) -> Result<Vec<Object>, Failure> {
        let mut found = Vec::new();
        for object in objects {
            let text = match object {
                Object::Relation(name) => format!("SELECT to_regclass({}) IS NOT NULL", quoted_text(name)),
                Object::Schema(name) => format!("SELECT to_regnamespace({}) IS NOT NULL", quoted_text(name)),
                Object::Column(table, column) => format!(
                    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass({}) AND quote_ident(attname) IN ({}, {}) AND NOT attisdropped)",
                    quoted_text(table),
                    quoted_text(column),
                    quoted_text(column.trim_matches('"'))
                ),
            };
            if self.session.value(&text).await?.as_deref() == Some("t") {
                found.push(object.clone());
            }
        }
        Ok(found)
    }
}
