//! Databases: rows, statements, backfills, dumps, sessions.

use rhai::{Array, Dynamic, FnPtr};

use super::{Arguments, Caller, Function, Trouble, flow::in_session, metrics};
use crate::{
    failure::{Failure, FailureKind},
    model::{
        Database, Period, Prometheus, Text,
        sql::{self, Verdict},
    },
    op::{self, Backfilled, Row, Transactions},
    script::{
        session::Session,
        values::{fields, json},
    },
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "database",
        parameters: &["url", "options?"],
        returns: "Database",
        doc: "A Postgres database: `postgres://USER:PASSWORD@HOST:PORT/NAME`, its password a `secret(…)`, or the whole URL one.",
        body: database,
    },
    Function {
        name: "query",
        parameters: &["source", "text", "options?"],
        returns: "Dynamic",
        doc: "Of a Database the rows of one statement that only reads, as maps by column; of a Prometheus the value of an expression, a \
              float. Really done in a dry run.",
        body: query,
    },
    Function {
        name: "sql",
        parameters: &["database", "text", "options?"],
        returns: "Map",
        doc: "Runs statements, each once and in a transaction of its own: `#{ statements, rows, settled, retries, existed }`.",
        body: sql,
    },
    Function {
        name: "sql_file",
        parameters: &["database", "path", "options?"],
        returns: "Map",
        doc: "Like `sql`, for a file beside the script.",
        body: sql_file,
    },
    Function {
        name: "backfill",
        parameters: &["database", "options?"],
        returns: "Map",
        doc: "Changes a table's rows a batch at a time, in the order of its key: `#{ rows, batches, key, seconds }`.",
        body: backfill,
    },
    Function {
        name: "backup",
        parameters: &["database", "host", "path", "options?"],
        returns: "Map",
        doc: "Dumps the database on a host with the host's own `pg_dump`: `#{ path, bytes, seconds }`. Each dump has a file of its own.",
        body: backup,
    },
    Function {
        name: "sessions",
        parameters: &["database"],
        returns: "Array",
        doc: "Everyone else who is connected: `[#{ application_name, state, since }]`. Containers of podlift are called `SERVICE@VERSION`.",
        body: sessions,
    },
    Function {
        name: "lint",
        parameters: &["text"],
        returns: "Array",
        doc: "Judges statements: `[#{ statement, phase, problem, recipe, undo }]`, the phase `expand`, `contract` or `unknown`.",
        body: lint,
    },
];

/// A database from the first argument.
pub(super) fn of(arguments: &Arguments<'_>) -> Result<Database, Trouble> {
    arguments.value(0).try_cast::<Database>().ok_or_else(|| arguments.mismatch())
}

fn database(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let url = caller.session.text(&arguments.string(0)?);
    let via = options.get("via").and_then(|host| host.clone().try_cast());
    let statement_timeout = options.period("statement_timeout").unwrap_or(Period::seconds(600));
    Ok(Dynamic::from(Database::new(url, via, statement_timeout)?))
}

fn query(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    if let Some(prometheus) = arguments.value(0).try_cast::<Prometheus>() {
        only("assume", "a number, as it is a Prometheus that is asked", options.get("assume").is_none_or(|value| !value.is_array()))?;
        return metrics::query(caller, prometheus, arguments, &options);
    }
    let database = of(arguments)?;
    only("empty", "for a Prometheus: a database answers no rows with []", options.get("empty").is_none())?;
    only("assume", "an array of maps, as it is a database that is asked", options.get("assume").is_none_or(Dynamic::is_array))?;
    let text = caller.session.text(&text(arguments)?);
    let assume = options.list("assume").map(|rows| rows.iter().map(row).collect::<Vec<Row>>());
    let rows = caller.perform(op::Query { database, text, assume })?;
    Ok(rows.into_iter().map(|row| json::dynamic(row.into())).collect::<Array>().into())
}

/// Refuses an option that does not fit what is asked.
fn only(option: &str, rule: &str, fits: bool) -> Result<(), Failure> {
    if fits { Ok(()) } else { Err(Failure::refused(format!("the option `{option}` of `query` is {rule}"))) }
}

fn row(value: &Dynamic) -> Row {
    json::plain(value).as_object().cloned().unwrap_or_default()
}

/// The statements: something has to stand in them.
fn text(arguments: &Arguments<'_>) -> Result<String, Trouble> {
    let text = arguments.string(1)?;
    if text.trim().is_empty() { Err(Failure::refused("there is no statement").into()) } else { Ok(text) }
}

fn sql(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let text = caller.session.text(&text(arguments)?);
    run(caller, arguments, text, None)
}

fn sql_file(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    of(arguments)?;
    let path = arguments.plain(1)?;
    let text = caller.perform(op::ReadFile { path: path.clone() })?;
    if text.trim().is_empty() {
        return Err(Failure::refused(format!("there is no statement in {path}")).into());
    }
    run(caller, arguments, text.into(), Some(path))
}

fn run(caller: &Caller<'_>, arguments: &Arguments<'_>, text: Text, name: Option<String>) -> Result<Dynamic, Trouble> {
    refuse_dangerous(&text)?;
    let options = arguments.options()?;
    let transaction = match options.bool("transaction") {
        None => Transactions::Each,
        Some(true) => Transactions::One,
        Some(false) => Transactions::None,
    };
    let op = op::Sql {
        database: of(arguments)?,
        text,
        name,
        undo: options.text("undo").map(|undo| caller.session.text(&undo)),
        transaction,
        lock_timeout: options.period("lock_timeout").unwrap_or(Period::seconds(2)),
        retries: options.whole("retries").unwrap_or(10),
        is_undo: false,
    };
    refuse_never_sent(&op)?;
    let done = caller.perform(op)?;
    let existed: Array = done.existed.into_iter().map(Dynamic::from).collect();
    let counts = [done.statements, done.rows, done.settled, done.retries].map(count);
    let [statements, rows, settled, retries] = counts;
    Ok(fields([("statements", statements), ("rows", rows), ("settled", settled), ("retries", retries), ("existed", existed.into())]))
}

/// Statements that everyone would wait for are refused, with what to do in their place: a check finds those that are written out.
fn refuse_dangerous(text: &Text) -> Result<(), Trouble> {
    let dangerous = sql::lint(text)?.into_iter().find_map(|verdict| Some((verdict.problem?, verdict.recipe, verdict.statement)));
    let Some((problem, recipe, statement)) = dangerous else { return Ok(()) };
    let failure = Failure::refused(format!("a statement is refused: {problem}")).detail("statement", statement);
    Err(recipe.into_iter().fold(failure, Failure::hint).into())
}

/// Statements that are never sent are refused before the database is asked for, also those that would only be sent to take it back.
fn refuse_never_sent(op: &op::Sql) -> Result<(), Trouble> {
    let ops = std::iter::once((op.clone(), "a statement")).chain(op.undo.clone().map(|undo| {
        let back = op::Sql { text: undo, transaction: Transactions::Each, ..op.clone() };
        (back, "a statement of `undo`")
    }));
    for (op, what) in ops {
        for statement in sql::statements(&op.text)? {
            let statement = statement.to_string();
            if let Some((problem, recipe)) = op.refusal(&statement) {
                return Err(Failure::refused(format!("{what} is refused: {problem}")).detail("statement", statement).hint(recipe).into());
            }
        }
    }
    Ok(())
}

fn count(number: u64) -> Dynamic {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn backfill(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (database, options) = (of(arguments)?, arguments.options()?);
    let required = |key: &str| {
        options.text(key).ok_or_else(|| {
            Failure::refused(format!("a backfill has no `{key}`"))
                .hint("it is #{ table: \"users\", key: \"id\", set: \"email_new = lower(email)\" }")
        })
    };
    let text = |key: &str| options.text(key).map(|text| caller.session.text(&text));
    let throttle = options.get("throttle").and_then(|throttle| throttle.clone().try_cast::<FnPtr>());
    let (table, key, set) = (required("table")?, required("key")?, required("set")?);
    let series = caller.next_key();
    // How often it asks its throttle no plan knows: what it asks and does stands in a block of its own, and no later call's key changes.
    let session = if throttle.is_some() { caller.session.block(&series) } else { caller.session.clone() };
    let mut part = op::Backfill {
        database,
        series: series.to_string(),
        table,
        key,
        set: caller.session.text(&set),
        condition: text("where"),
        batch: options.whole("batch").unwrap_or(100),
        target: options.period("target").unwrap_or(Period::milliseconds(1)),
        pause: options.period("pause"),
        lock_timeout: options.period("lock_timeout").unwrap_or(Period::seconds(2)),
        part: throttle.as_ref().map(|_| Period::seconds(1)),
    };
    let patience = options.period("patience").unwrap_or(Period::seconds(3600));
    let mut sum = Backfilled::default();
    loop {
        if let Some(throttle) = &throttle {
            wait_for(caller, &session, throttle, &part.database, patience)?;
        }
        let done = session.perform(&caller.origin, part.clone())?;
        // The next part goes on at the pace that this one has found.
        part.batch = if done.batch > 0 { done.batch } else { part.batch };
        sum = Backfilled { batches: sum.batches + done.batches, seconds: sum.seconds + done.seconds, ..done };
        if sum.done {
            break;
        }
    }
    let key = sum.key.map_or(Dynamic::UNIT, Dynamic::from);
    Ok(fields([("rows", count(sum.rows)), ("batches", count(sum.batches)), ("key", key), ("seconds", sum.seconds.into())]))
}

/// Waits until a throttle says `true`. It is given the database, since a closure cannot use the one that this call is made on; it says `false` while there is to be no work, or how long to wait.
fn wait_for(caller: &Caller<'_>, session: &Session, throttle: &FnPtr, database: &Database, patience: Period) -> Result<(), Trouble> {
    let mut waited = 0;
    loop {
        let answer = in_session(caller, session, throttle, (database.clone(),))?;
        let period = match (answer.as_bool(), answer.into_string()) {
            (Ok(true), _) => return Ok(()),
            (Ok(false), _) => Period::seconds(1),
            (_, Ok(text)) => Period::parse(&text)?,
            _ => return Err(Failure::refused("a throttle is to answer true, false or a duration such as \"5s\"").into()),
        };
        if waited >= patience.as_milliseconds() {
            let message = format!("the throttle held the backfill up for {patience}");
            return Err(Failure::new(FailureKind::Timeout, message).hint("its progress is kept: the same call goes on from there").into());
        }
        waited += period.as_milliseconds().max(1);
        session.perform(&caller.origin, op::Pause { period })?;
    }
}

fn lint(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let judged = sql::lint(&caller.session.text(&arguments.string(0)?))?;
    let optional = |text: Option<String>| text.map_or(Dynamic::UNIT, Dynamic::from);
    let shown = |verdict: Verdict| {
        fields([
            ("statement", verdict.statement.into()),
            ("phase", verdict.phase.word().into()),
            ("problem", optional(verdict.problem)),
            ("recipe", optional(verdict.recipe)),
            ("undo", optional(verdict.undo)),
        ])
    };
    Ok(judged.into_iter().map(shown).collect::<Array>().into())
}

fn backup(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (database, options) = (of(arguments)?, arguments.options()?);
    let hosts = arguments.some_hosts(1)?;
    let path = arguments.plain(2)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || path.contains(char::is_control) || path.starts_with('-') {
        return Err(Failure::refused(format!("{path:?} is no path of a file")).into());
    }
    let timeout = options.period("timeout").unwrap_or(Period::seconds(3600));
    let one = |host| op::Backup { database: database.clone(), host, path: path.clone(), timeout };
    let written = caller.perform_on(hosts.is_array, hosts.list.iter().cloned().map(one).collect())?;
    let shown = |done: op::BackedUp| fields([("path", done.path.into()), ("bytes", count(done.bytes)), ("seconds", done.seconds.into())]);
    Ok(hosts.results(written.into_iter().map(shown).collect()))
}

fn sessions(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let sessions = caller.perform(op::Sessions { database: of(arguments)? })?;
    let shown = |session: op::DatabaseSession| -> Dynamic {
        fields([("application_name", session.application_name.into()), ("state", session.state.into()), ("since", session.since.into())])
    };
    Ok(sessions.into_iter().map(shown).collect::<Array>().into())
}
