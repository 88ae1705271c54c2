//! Statements that change something, each once.
//!
//! A note of each statement is written in its own transaction. Whatever is in doubt (a connection that was lost while COMMIT
//! was on its way, an operator's machine that died) is settled by looking for the note, once no earlier session of the same
//! call can still be at work.

use std::collections::BTreeSet;

use tokio::time::sleep;
use tokio_postgres::SimpleQueryMessage;

use super::{
    index,
    ledger::{self, Ledger, Noted, session_name},
    resolved,
    session::{Session, Trouble},
    tries::{RECONNECTS, pause},
};
use crate::{
    executor::{Call, Urgency},
    failure::{Failure, FailureKind},
    fleet::Fleet,
    model::{
        Text,
        sql::{self, Object, quoted_text},
    },
    op::{Sql, SqlDone, Transactions},
};

/// One statement: as people may see it, and as the server gets it.
struct Piece {
    shown: String,
    text: String,
}

/// How one go at the statements ended.
enum Ended {
    Failed(Failure),
    /// The connection was lost: what became of the statement in flight, or whether the next one is to be done, is not known.
    InDoubt(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        if failure.kind == FailureKind::Unreachable { Self::InDoubt(failure) } else { Self::Failed(failure) }
    }
}

/// Runs the statements that this call has not run yet. Returns also the part of its undo that takes back only what it made.
/// A failure behind the first statement carries the undo as its inverse.
pub async fn migrate(fleet: &Fleet, op: &Sql, call: &Call) -> Result<(SqlDone, Option<Text>), Failure> {
    let pieces = pieces(fleet, op).map_err(|failure| call.unsent(failure))?;
    let done = SqlDone { statements: pieces.len() as u64, ..SqlDone::default() };
    let mut migration = Migration { op, call, pieces: &pieces, done, existed: Vec::new(), begun: 0, was_reached: false };
    for lost in 0.. {
        let failure = match migration.go(fleet).await {
            Ok(()) => break,
            Err(Ended::Failed(failure)) => failure,
            // Nothing was sent yet when the database could not even be reached the first time.
            Err(Ended::InDoubt(failure)) if !migration.was_reached => failure,
            Err(Ended::InDoubt(_)) if lost < RECONNECTS && call.cancellation.urgency() < Urgency::Now => {
                call.progress.doing("the connection was lost: looking what became of the statement");
                sleep(pause(lost)).await;
                continue;
            }
            Err(Ended::InDoubt(failure)) => {
                failure.hint("the database keeps which statements are done: doing the call again goes on behind them")
            }
        };
        let failure = if migration.begun == 0 && migration.done.settled == 0 { call.unsent(failure) } else { failure };
        let undo = migration.undo().filter(|_| migration.begun > 0);
        return Err(failure.undone_by(op.inverse(undo)));
    }
    let undo = migration.undo();
    let existed = migration.existed.iter().map(ToString::to_string).collect();
    Ok((SqlDone { existed, ..migration.done }, undo))
}

fn pieces(fleet: &Fleet, op: &Sql) -> Result<Vec<Piece>, Failure> {
    let invalid = |error: crate::model::Invalid| Failure::refused(format!("the statements cannot be told apart: {}", error.rule));
    let texts = sql::statements(&op.text).map_err(invalid)?;
    let piece = |text: &Text| Ok(Piece { shown: text.to_string(), text: resolved(fleet, text)? });
    let pieces = texts.iter().map(piece).collect::<Result<Vec<_>, Failure>>()?;
    for piece in &pieces {
        if let Some((problem, recipe)) = op.refusal(&piece.shown) {
            return Err(Failure::refused(format!("a statement is refused: {problem}"))
                .detail("statement", piece.shown.clone())
                .hint(recipe));
        }
    }
    Ok(pieces)
}

/// Whether a statement is for those behind it in the same session: it is done again in each.
fn lasts_as_long_as_its_session(text: &str) -> bool {
    matches!(sql::first_words(text).first().map(String::as_str), Some("SET" | "RESET"))
}

struct Migration<'a> {
    op: &'a Sql,
    call: &'a Call,
    pieces: &'a [Piece],
    done: SqlDone,
    existed: Vec<Object>,
    /// How many statements were sent, those that were rolled back aside.
    begun: usize,
    /// Whether the database was ever reached.
    was_reached: bool,
}

impl Migration<'_> {
    /// The part of the undo that takes back only what the statements made.
    fn undo(&self) -> Option<Text> {
        self.op.undo.as_ref().and_then(|undo| sql::without(undo, &self.existed))
    }

    async fn go(&mut self, fleet: &Fleet) -> Result<(), Ended> {
        let session = Session::open(fleet, &self.op.database, &session_name(&self.call.token)).await?;
        self.was_reached = true;
        // Whoever has taken a lease over may have gone on with this very call.
        self.confirm_leases(fleet).await?;
        ledger::end_predecessors(&session, &self.call.token).await?;
        ledger::lock(&session, "", &self.call.cancellation).await?;
        // The wait for another one's statements may have been long.
        self.confirm_leases(fleet).await?;
        ledger::prepare(&session).await?;
        let ledger = Ledger { session: &session, run: &self.call.run, token: &self.call.token };
        let noted = ledger.read().await?;
        self.done.settled = noted.values().filter(|noted| noted.is_done).count() as u64;
        self.existed = noted.values().flat_map(|noted| noted.existed.clone()).collect();
        if self.op.transaction == Transactions::One {
            if noted.is_empty() {
                let all: Vec<usize> = (0..self.pieces.len()).collect();
                self.repeatedly(fleet, &ledger, &all).await?;
            }
            return Ok(());
        }
        for (number, piece) in self.pieces.iter().enumerate() {
            let known = noted.get(&number);
            if known.is_some_and(|noted| noted.is_done) {
                if lasts_as_long_as_its_session(&piece.shown) {
                    session.run(&piece.text).await?;
                }
                continue;
            }
            if self.pieces.len() > 1 {
                self.call.progress.doing(&format!("statement {} of {}", number + 1, self.pieces.len()));
            }
            if self.op.transaction == Transactions::None || sql::stands_alone(&piece.shown) {
                self.alone(fleet, &ledger, number, known).await?;
            } else {
                self.repeatedly(fleet, &ledger, &[number]).await?;
            }
        }
        Ok(())
    }

    /// Whether the leases are still this run's. A host that does not say so leaves nothing in doubt in the database.
    async fn confirm_leases(&self, fleet: &Fleet) -> Result<(), Ended> {
        fleet.confirm_leases_again(self.call).await.map_err(Ended::Failed)
    }

    /// Runs statements in one transaction, again where a lock was not to be had.
    async fn repeatedly(&mut self, fleet: &Fleet, ledger: &Ledger<'_>, numbers: &[usize]) -> Result<(), Ended> {
        let mut seen = BTreeSet::new();
        let before = self.begun;
        for tried in 0.. {
            self.confirm_leases(fleet).await?;
            let failure = match self.in_the_way(ledger, numbers, &mut seen).await? {
                Some(failure) => failure,
                None => match self.transaction(ledger, numbers).await? {
                    Ok(()) => return Ok(()),
                    Err(trouble) => {
                        let passing = trouble.is_passing();
                        let in_doubt = trouble.is_in_doubt();
                        let failure = trouble.failure(ledger.session.shown()).detail("statement", self.pieces[numbers[0]].shown.clone());
                        if in_doubt {
                            return Err(Ended::InDoubt(failure));
                        }
                        ledger.session.run("ROLLBACK").await?;
                        // Nothing of it stays.
                        self.begun = before;
                        if !passing {
                            return Err(failure.into());
                        }
                        failure
                    }
                },
            };
            if tried >= self.op.retries || self.call.cancellation.urgency() > Urgency::None {
                return Err(failure
                    .hint(format!(
                        "it was tried {} times, each with a wait of at most {}; run it again later",
                        tried + 1,
                        self.op.lock_timeout
                    ))
                    .into());
            }
            self.done.retries += 1;
            self.call.progress.doing(&format!("{}; trying again", failure.message));
            sleep(pause(tried)).await;
        }
        Ok(())
    }

    /// What a transaction that goes on for long would make us wait for, and everyone else behind us. Since when it has been open
    /// Postgres tells to its own user and to `pg_read_all_stats` only; whoever held the table at the last try already is one too.
    async fn in_the_way(
        &self,
        ledger: &Ledger<'_>,
        numbers: &[usize],
        seen: &mut BTreeSet<(String, String)>,
    ) -> Result<Option<Failure>, Failure> {
        let tables: Vec<String> = numbers.iter().flat_map(|number| sql::locked(&self.pieces[*number].shown)).collect();
        if tables.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = tables.iter().map(|table| format!("to_regclass({})", quoted_text(table))).collect();
        let longest = self.op.lock_timeout.as_milliseconds().max(1000);
        let text = format!(
            "SELECT l.pid, l.virtualtransaction, a.application_name, extract(epoch FROM now() - a.xact_start)::bigint, \
             l.relation::regclass, coalesce(a.xact_start < now() - interval '{longest} ms', false) \
             FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE l.relation = ANY (ARRAY[{}]::oid[]) AND l.granted AND l.pid <> pg_backend_pid() ORDER BY a.xact_start, l.pid",
            names.join(", ")
        );
        let mut failure = None;
        let before = std::mem::take(seen);
        for row in ledger.session.rows(&text).await? {
            let row = <[Option<String>; 6]>::try_from(row).unwrap_or_default();
            let [pid, transaction, name, seconds, table, is_old] = row.map(Option::unwrap_or_default);
            let holder = (pid, transaction);
            if failure.is_none() && (is_old == "t" || before.contains(&holder)) {
                let pid = &holder.0;
                let who = if name.is_empty() { format!("pid {pid}") } else { format!("{name}, pid {pid}") };
                let since = if seconds.is_empty() { String::new() } else { format!(" has been open for {seconds} s and") };
                let message = format!("a transaction ({who}){since} holds {table}: what waits behind it would hold up every other query");
                let hint = format!("let it end, or end it: SELECT pg_terminate_backend({pid})");
                failure = Some(Failure::new(FailureKind::Locked, message).hint(hint));
            }
            seen.insert(holder);
        }
        Ok(failure)
    }

    async fn transaction(&mut self, ledger: &Ledger<'_>, numbers: &[usize]) -> Result<Result<(), Trouble>, Failure> {
        let session = ledger.session;
        let existed = self.existing(ledger, numbers).await?;
        let mut begin = format!("BEGIN; SET LOCAL lock_timeout = {};", self.op.lock_timeout.as_milliseconds());
        for number in numbers {
            let of_this: Vec<Object> =
                sql::conditional(&self.pieces[*number].shown).into_iter().filter(|object| existed.contains(object)).collect();
            begin.push_str(&ledger.note(*number, "done", &self.pieces[*number].shown, &of_this));
            begin.push(';');
        }
        if let Err(trouble) = session.within(session.client().batch_execute(&begin)).await {
            return Ok(Err(trouble));
        }
        self.begun = (self.begun).max(numbers[0] + 1);
        // COMMIT goes with the last statement: its lock is not held for another round trip.
        let texts: Vec<&str> = numbers.iter().map(|number| self.pieces[*number].text.as_str()).collect();
        let text = format!("{}\n;COMMIT", texts.join("\n;"));
        match session.within(session.client().simple_query(&text)).await {
            Ok(messages) => {
                self.done.rows += changed(&messages);
                self.existed.extend(existed);
                Ok(Ok(()))
            }
            Err(trouble) => Ok(Err(trouble)),
        }
    }

    async fn existing(&self, ledger: &Ledger<'_>, numbers: &[usize]) -> Result<Vec<Object>, Failure> {
        let objects: Vec<Object> = numbers.iter().flat_map(|number| sql::conditional(&self.pieces[*number].shown)).collect();
        ledger.existing(&objects).await
    }

    /// Runs one statement outside any transaction: noted as begun before, as done after.
    async fn alone(&mut self, fleet: &Fleet, ledger: &Ledger<'_>, number: usize, known: Option<&Noted>) -> Result<(), Ended> {
        self.confirm_leases(fleet).await?;
        let piece = &self.pieces[number];
        let session = ledger.session;
        let index = sql::concurrent_index(&piece.shown);
        if let (Some(_), None) = (known, &index)
            && !is_repeatable(&piece.shown)
        {
            return Err(Failure::new(
                FailureKind::Conflict,
                "a statement was begun outside a transaction, and what became of it is not known",
            )
            .detail("statement", piece.shown.clone())
            .hint("look into the database; where it is done, say so: UPDATE podlift.migrations SET state = 'done' for this token")
            .hint(format!("its run is {} and its token {}", self.call.run.id, self.call.token))
            .into());
        }
        let existed = match known {
            Some(noted) => noted.existed.clone(),
            None => self.existing(ledger, &[number]).await?,
        };
        let existed = match &index {
            Some(index) => match index::before(session, index, known.is_some(), &existed).await? {
                index::Found::Done => {
                    session.run(&ledger.note(number, "done", &piece.shown, &existed)).await?;
                    self.existed.extend(existed);
                    return Ok(());
                }
                index::Found::Invalid | index::Found::Nothing => Vec::new(),
            },
            None => existed,
        };
        session.run(&ledger.note(number, "begun", &piece.shown, &existed)).await?;
        self.begun = (self.begun).max(number + 1);
        for tried in 0.. {
            if tried > 0 {
                self.confirm_leases(fleet).await?;
            }
            // It keeps nobody out while it waits, so its waits need no limit but a statement's.
            match session.within(session.client().simple_query(&piece.text)).await {
                Ok(messages) => {
                    self.done.rows += changed(&messages);
                    break;
                }
                Err(trouble) if trouble.is_in_doubt() => return Err(Ended::InDoubt(trouble.failure(session.shown()))),
                Err(Trouble::Said(error)) if known.is_some() && is_gone(&error) => break,
                Err(trouble) => {
                    let passing = trouble.is_passing();
                    let mut failure = trouble.failure(session.shown()).detail("statement", piece.shown.clone());
                    if let Some(index) = &index
                        && let Err(left) = index::clean(session, index).await
                    {
                        failure = failure.detail("its invalid index could not be dropped", left.message);
                    }
                    if !passing || tried >= self.op.retries || self.call.cancellation.urgency() > Urgency::None {
                        return Err(failure.into());
                    }
                    self.done.retries += 1;
                    sleep(pause(tried)).await;
                }
            }
        }
        session.run(&ledger.note(number, "done", &piece.shown, &existed)).await?;
        self.existed.extend(existed);
        Ok(())
    }
}

/// Whether doing a statement again does no harm.
fn is_repeatable(text: &str) -> bool {
    let words = sql::first_words(text);
    matches!(words.first().map(String::as_str), Some("VACUUM" | "REINDEX" | "ANALYZE"))
        || (words.len() > 1 && words[0] == "DROP" && words[1] == "INDEX")
}

/// Whether what was to be dropped is not there.
fn is_gone(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "42704" || code.code() == "42P01")
}

fn changed(messages: &[SimpleQueryMessage]) -> u64 {
    messages.iter().map(|message| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 }).sum()
}
