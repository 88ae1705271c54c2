//! Backfills: a table's rows are changed a batch at a time, in the order of the primary key, up to the largest key that was
//! there at the beginning. How far it is stands in `podlift.backfills`, written in each batch's own transaction.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    ledger::{self, session_name},
    pace::{Pace, Taken},
    resolved,
    rows::missing,
    session::Session,
    tries::{RECONNECTS, pause},
};
use crate::{
    executor::{Call, Urgency},
    failure::{Failure, FailureKind},
    fleet::Fleet,
    model::sql::{quoted_name, quoted_text},
    op::{Backfill, Backfilled},
};

/// How many pages of a table are counted to know about how many rows it has.
const PAGES: f64 = 500.0;
/// How often one batch is tried again that met a lock, and the look at the table before the first one.
const TRIES: u32 = 30;

/// How often a rest looks whether the run is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// How many tables or columns are named where one is missing.
const NAMES: usize = 20;

/// What a backfill works on, as the database knows it.
struct Target {
    table: String,
    column: String,
    type_name: String,
    /// How many rows the table has, about.
    about: f64,
}

/// How far it is.
struct Progress {
    last: Option<String>,
    upto: Option<String>,
    rows: u64,
    done: bool,
}

/// Goes on where this backfill stopped, or begins; and again where the connection is lost on the way.
pub async fn backfill(fleet: &Fleet, op: &Backfill, call: &Call) -> Result<Backfilled, Failure> {
    let mut pace = Pace::new(op.batch);
    loop {
        match go(fleet, op, call, &mut pace).await {
            Err(failure)
                if failure.kind == FailureKind::Unreachable
                    && pace.was_reached
                    && pace.lost < RECONNECTS
                    && call.cancellation.urgency() == Urgency::None =>
            {
                call.progress.doing(&format!("{}; trying again", failure.message));
                sleep(pause(pace.lost)).await;
                pace.lost += 1;
            }
            // Whatever the database refuses in its first batch is rolled back.
            Err(failure) if pace.batches == 0 && !pace.goes_on && !failure.is_uncertain() => return Err(call.unsent(failure)),
            Err(failure) if pace.was_reached => {
                return Err(failure.hint("its progress is kept: doing the same call again goes on from there"));
            }
            other => return other.map_err(|failure| call.unsent(failure)),
        }
    }
}

async fn go(fleet: &Fleet, op: &Backfill, call: &Call, pace: &mut Pace) -> Result<Backfilled, Failure> {
    let set = resolved(fleet, &op.set)?;
    let condition = op.condition.as_ref().map(|condition| resolved(fleet, condition)).transpose()?;
    let session = Session::open(fleet, &op.database, &session_name(&call.token)).await?;
    // Whoever has taken a lease over may have gone on with this very call.
    fleet.confirm_leases_again(call).await?;
    ledger::end_predecessors(&session, &call.token).await?;
    ledger::lock(&session, &op.table, &call.cancellation).await?;
    fleet.confirm_leases_again(call).await?;
    if session.value("SELECT to_regclass('podlift.backfills')").await?.is_none() {
        ledger::lock(&session, "", &call.cancellation).await?;
        ledger::prepare(&session).await?;
    }
    // Looking at a table waits for its locks too, behind somebody's ALTER.
    session.run(&format!("SET lock_timeout = {}", op.lock_timeout.as_milliseconds())).await?;
    let mut tries = 0;
    let (work, progress) = loop {
        match begin(fleet, &session, op, call, &set, condition.as_deref()).await {
            Err(failure) if failure.kind == FailureKind::Locked && tries < TRIES && call.cancellation.urgency() == Urgency::None => {
                tries += 1;
                call.progress.doing(&format!("{}; trying again", failure.message));
                sleep(nap(tries)).await;
            }
            other => break other?,
        }
    };
    pace.was_reached = true;
    pace.goes_on |= progress.last.is_some();
    work.go(progress, pace).await
}

/// Looks at the table, and at how far its backfill is.
async fn begin<'a>(
    fleet: &'a Fleet,
    session: &'a Session,
    op: &'a Backfill,
    call: &'a Call,
    set: &'a str,
    condition: Option<&'a str>,
) -> Result<(Work<'a>, Progress), Failure> {
    let work = Work { fleet, session, op, call, target: target(session, op).await?, set, condition };
    let progress = work.begin().await?;
    Ok((work, progress))
}

/// The wait before a try that met a lock the last time.
fn nap(tries: u32) -> Duration {
    Duration::from_millis(u64::from(100 * tries).min(2000))
}

async fn target(session: &Session, op: &Backfill) -> Result<Target, Failure> {
    let about = format!(
        "SELECT c.oid::regclass::text, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), \
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) \
         AND a.attnotnull, \
         (SELECT coalesce(nullif(sum(pg_relation_size(part.relid)), 0), pg_relation_size(c.oid)) / current_setting('block_size')::bigint FROM pg_partition_tree(c.oid) part)::bigint \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped \
         WHERE c.oid = to_regclass({}) AND a.attname = {}",
        quoted_text(&op.table),
        quoted_text(&op.key)
    );
    let row = session.rows(&about).await?.into_iter().next();
    let Some([Some(table), Some(column), Some(type_name), Some(is_key), Some(pages)]) =
        row.and_then(|row| <[Option<String>; 5]>::try_from(row).ok())
    else {
        return Err(no_column(session, op).await?);
    };
    if is_key != "t" {
        return Err(Failure::refused(format!(
            "{} of {} is no key: a backfill needs a column that is unique and never NULL",
            op.key, op.table
        ))
        .hint("name the primary key's column"));
    }
    // What Postgres keeps of a table's size is as old as its last ANALYZE, which may never have been: some of its pages are counted.
    let percent = (100.0 * PAGES / pages.parse::<f64>().unwrap_or_default().max(1.0)).min(100.0);
    let count = session.value(&format!("SELECT count(*) FROM {table} TABLESAMPLE SYSTEM ({percent})")).await?;
    let about = count.and_then(|count| count.parse::<f64>().ok()).unwrap_or_default() * 100.0 / percent;
    Ok(Target { table, column, type_name, about })
}

/// Says which of both is not there, the table or its column, and which are.
async fn no_column(session: &Session, op: &Backfill) -> Result<Failure, Failure> {
    let shown = session.shown();
    let columns = format!(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        quoted_text(&op.table)
    );
    let columns = names(session, &columns).await?;
    if !columns.is_empty() {
        let failure = Failure::refused(format!("the table {} of the database {shown} has no column {}", op.table, op.key));
        return Ok(failure.hint(format!("its columns are {columns}")));
    }
    let tables = "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace NOT IN \
        (SELECT oid FROM pg_namespace WHERE nspname IN ('podlift', 'information_schema') OR nspname LIKE 'pg\\_%') ORDER BY 1";
    let tables = names(session, tables).await?;
    let failure = Failure::refused(format!("the database {shown} has no table {}", op.table));
    Ok(match tables.as_str() {
        "" => failure.hint("it has no tables at all: is it the right database?"),
        tables => failure.hint(format!("its tables are {tables}")).hint("write a name as it stands there, with its quotes and its schema"),
    })
}

/// The first names that a statement returns, in words.
async fn names(session: &Session, text: &str) -> Result<String, Failure> {
    let names: Vec<String> = session.rows(text).await?.into_iter().flatten().flatten().collect();
    let more = if names.len() > NAMES { format!(" and {} more", names.len() - NAMES) } else { String::new() };
    Ok(format!("{}{more}", names[..names.len().min(NAMES)].join(", ")))
}

struct Work<'a> {
    fleet: &'a Fleet,
    session: &'a Session,
    op: &'a Backfill,
    call: &'a Call,
    target: Target,
    set: &'a str,
    condition: Option<&'a str>,
}

impl Work<'_> {
    fn place(&self) -> String {
        format!("run = {} AND series = {}", quoted_text(self.call.run.id.as_str()), quoted_text(&self.op.series))
    }

    /// How far it is; a new one is noted with the largest key that is there now.
    async fn begin(&self) -> Result<Progress, Failure> {
        let Target { table, column, .. } = &self.target;
        let values = [self.call.run.id.as_str(), self.op.series.as_str(), table.as_str()].map(quoted_text).join(", ");
        let note = format!(
            "INSERT INTO podlift.backfills (run, series, relation, upto, rows, done) \
             SELECT {values}, (SELECT max({column})::text FROM {table}), 0, false ON CONFLICT (run, series) DO NOTHING"
        );
        // Not every key type has max(): uuid has none before Postgres 18.
        if let Err(failure) = self.session.run(&note).await {
            if failure.kind == FailureKind::Locked {
                return Err(failure);
            }
            let ordered = format!("(SELECT k.{column}::text FROM {table} k ORDER BY k.{column} DESC LIMIT 1)");
            let values = format!("SELECT {values}, {ordered}, 0, false");
            let text = format!(
                "INSERT INTO podlift.backfills (run, series, relation, upto, rows, done) {values} ON CONFLICT (run, series) DO NOTHING"
            );
            self.session.run(&text).await?;
        }
        let read = format!("SELECT last_key, upto, rows, done FROM podlift.backfills WHERE {}", self.place());
        let row = self.session.rows(&read).await?.into_iter().next();
        let [last, upto, rows, done] =
            row.and_then(|row| <[Option<String>; 4]>::try_from(row).ok()).ok_or_else(|| missing("how far the backfill is"))?;
        Ok(Progress { last, upto, rows: rows.and_then(|rows| rows.parse().ok()).unwrap_or_default(), done: done.as_deref() == Some("t") })
    }

    async fn go(&self, mut progress: Progress, pace: &mut Pace) -> Result<Backfilled, Failure> {
        let mut tries = 0;
        let part = self.op.part.map(crate::model::Period::duration);
        let is_over = |pace: &Pace| pace.batches > 0 && part.is_some_and(|part| pace.began.elapsed() >= part);
        while !progress.done && !is_over(pace) {
            if self.call.cancellation.urgency() > Urgency::None {
                let message = format!("the backfill of {} was interrupted; {} rows are done", self.op.table, progress.rows);
                return Err(Failure::new(FailureKind::Interrupted, message));
            }
            self.fleet.confirm_leases_again(self.call).await?;
            let rest = match self.batch(&progress, pace.size).await {
                Ok(batch) => {
                    progress.rows += batch.rows;
                    progress.done = batch.last.is_none();
                    progress.last = batch.last.or(progress.last);
                    tries = 0;
                    pace.made(batch.seen, batch.taken, self.op.target.duration());
                    self.tell(&progress, pace);
                    batch.taken.rest()
                }
                Err(failure) if failure.kind == FailureKind::Locked && tries < TRIES => {
                    tries += 1;
                    pace.halve();
                    sleep(nap(tries)).await;
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if !progress.done {
                self.rest(self.op.pause.map_or(rest, crate::model::Period::duration)).await;
            }
        }
        self.settle().await?;
        let seconds = pace.began.elapsed().as_secs_f64();
        let (batches, batch) = (pace.batches, pace.rows());
        Ok(Backfilled { rows: progress.rows, batches, batch, key: progress.last, done: progress.done, seconds })
    }

    /// Sees to it that what was done is on the server's disk.
    async fn settle(&self) -> Result<(), Failure> {
        self.session.run(&format!("UPDATE podlift.backfills SET at = now() WHERE {}", self.place())).await
    }

    /// Waits, until it is over or the run is to stop.
    async fn rest(&self, rest: Duration) {
        let end = Instant::now() + rest;
        while Instant::now() < end && self.call.cancellation.urgency() == Urgency::None {
            sleep(LOOK.min(end.saturating_duration_since(Instant::now()))).await;
        }
    }

    fn tell(&self, progress: &Progress, pace: &Pace) {
        let (about, seen, began) = (self.target.about, pace.seen, pace.began);
        let left = if seen > 0.0 && about > seen { began.elapsed().as_secs_f64() * (about - seen) / seen } else { 0.0 };
        let left = if progress.done || left < 1.0 { String::new() } else { format!(", about {} left", words(left)) };
        let of = if about > seen { format!(" of about {about:.0}") } else { String::new() };
        self.call.progress.doing(&format!("{seen:.0}{of} rows seen, {} changed{left}", progress.rows));
    }

    async fn batch(&self, progress: &Progress, size: f64) -> Result<Batch, Failure> {
        let Target { table, column, type_name, .. } = &self.target;
        let literal = |key: &str| format!("{}::{type_name}", quoted_text(key));
        let Some(upto) = &progress.upto else { return self.finish(progress).await };
        let from = progress.last.as_ref().map(|last| format!("k.{column} > {} AND ", literal(last))).unwrap_or_default();
        let condition = self.condition.map(|condition| format!(" AND ({condition}\n)")).unwrap_or_default();
        let key = quoted_name("podlift key");
        // Who commits meanwhile does not wait for the log of a batch to reach the disk: where the server dies, the batch and the note
        // of it are lost together, and it is done again.
        // A bare name behind ORDER BY would be that of the text, in which 9 comes behind 10.
        // The keys first, in their order, so that two writers take their locks in the same order as far as Postgres lets us.
        let text = format!(
            "BEGIN; SET LOCAL synchronous_commit = off;\n\
             WITH podlift_batch AS MATERIALIZED (SELECT k.{column} AS {key} FROM {table} k WHERE {from}k.{column} <= {} ORDER BY k.{column} LIMIT {size:.0}),\n\
             podlift_done AS (UPDATE {table} SET {}\n FROM podlift_batch WHERE {table}.{column} = podlift_batch.{key}{condition} RETURNING 1)\n\
             SELECT (SELECT {key}::text FROM podlift_batch ORDER BY podlift_batch.{key} DESC LIMIT 1), (SELECT count(*) FROM podlift_batch), (SELECT count(*) FROM podlift_done);\n\
             SELECT (1000000 * extract(epoch FROM clock_timestamp() - statement_timestamp()))::bigint",
            literal(upto),
            self.set,
        );
        let sent = Instant::now();
        let mut rows = match self.session.rows(&text).await {
            Ok(rows) => rows.into_iter(),
            Err(failure) => {
                let _ = self.session.run("ROLLBACK").await;
                return Err(failure);
            }
        };
        // Whoever waits for these rows does not wait for hosts, too: they are asked before the next try.
        if self.fleet.may_have_lost_leases(self.call) {
            self.session.run("ROLLBACK").await?;
            return Err(Failure::new(FailureKind::Locked, "a lease may have run out in the middle of a batch, which was taken back"));
        }
        let answered = sent.elapsed();
        let (row, work) = (rows.next(), rows.next().and_then(|row| row.into_iter().next()));
        let [last, seen, rows] =
            row.and_then(|row| <[Option<String>; 3]>::try_from(row).ok()).ok_or_else(|| missing("what a batch did"))?;
        let count = |text: Option<String>| text.and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
        let (seen, rows) = (count(seen), count(rows));
        let key = last.as_deref().map_or_else(|| "last_key".to_owned(), quoted_text);
        let note = format!(
            "UPDATE podlift.backfills SET last_key = {key}, rows = rows + {rows}, done = {}, at = now() WHERE {}; COMMIT",
            last.is_none(),
            self.place()
        );
        let sent = Instant::now();
        self.session.run(&note).await?;
        let work = Duration::from_micros(work.flatten().and_then(|work| work.parse().ok()).unwrap_or_default());
        let taken = Taken { work, way: answered.saturating_sub(work), commit: sent.elapsed() };
        Ok(Batch { last, seen: f64::from(seen), rows: u64::from(rows), taken })
    }

    /// An empty table has nothing to do.
    async fn finish(&self, _: &Progress) -> Result<Batch, Failure> {
        self.session.run(&format!("UPDATE podlift.backfills SET done = true, at = now() WHERE {}", self.place())).await?;
        Ok(Batch { last: None, seen: 0.0, rows: 0, taken: Taken::default() })
    }
}

struct Batch {
    /// The last key; none where no row was left.
    last: Option<String>,
    seen: f64,
    rows: u64,
    taken: Taken,
}

/// A length of time in words.
fn words(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
