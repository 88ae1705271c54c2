//! One connection to a database: from here, or through a host's SSH.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    Client, NoTls,
    config::{Host, SslMode},
    error::{DbError, SqlState},
};

use super::{
    address::Address,
    tls::{self, Tls},
};
use crate::{
    failure::{Failure, FailureKind},
    fleet::Fleet,
    model::Database,
};

/// How long connecting and logging in may take.
const CONNECT: Duration = Duration::from_secs(15);

/// An index that is built, or a check of a whole table, takes one processor and leaves the others to those who serve. Not every server
/// knows both settings.
const ALONE: &str = "SELECT set_config(name, '0', false) FROM pg_settings \
    WHERE name IN ('max_parallel_workers_per_gather', 'max_parallel_maintenance_workers')";

/// What a session's bytes go over.
pub type Wire = Box<dyn Bytes>;

/// Bytes both ways.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A session. It ends when it is dropped.
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    shown: String,
    limit: Duration,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connects and logs in, under this application name.
    pub async fn open(fleet: &Fleet, database: &Database, name: &str) -> Result<Self, Failure> {
        let mut address = Address::of(fleet, database)?;
        address.config.application_name(name);
        // What a server is asked to end by itself, should this side vanish.
        let (client, driver) = timeout(CONNECT, connect(fleet, database, &address))
            .await
            .unwrap_or_else(|_| Err(unreachable(database, "it did not answer within 15 s")))?;
        let session = Self { client, driver, shown: database.to_string(), limit: database.statement_timeout.duration() };
        let milliseconds = database.statement_timeout.as_milliseconds();
        session.run(&format!("SET statement_timeout = {milliseconds}; SET idle_in_transaction_session_timeout = '60s'; {ALONE}")).await?;
        Ok(session)
    }

    /// The driver's own client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The database, as people may see it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs statements that return nothing.
    pub async fn run(&self, text: &str) -> Result<(), Failure> {
        self.within(self.client.batch_execute(text)).await.map_err(|trouble| trouble.failure(&self.shown))
    }

    /// The first column of the first row that a statement returns, as text.
    pub async fn value(&self, text: &str) -> Result<Option<String>, Failure> {
        Ok(self.rows(text).await?.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// The rows that a statement of podlift's own returns, as text.
    pub async fn rows(&self, text: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let messages = self.within(self.client.simple_query(text)).await.map_err(|trouble| trouble.failure(&self.shown))?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|index| row.get(index).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect())
    }

    /// Waits for the server, at most a little longer than a statement may take.
    pub async fn within<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Trouble> {
        match timeout(self.limit + CONNECT, work).await {
            Ok(result) => result.map_err(Trouble::Said),
            Err(_) => Err(Trouble::Silent),
        }
    }
}

/// Why a statement brought no answer, or a bad one.
pub enum Trouble {
    /// The server, or the way to it, said so.
    Said(tokio_postgres::Error),
    /// Nothing came back in time.
    Silent,
}

impl Trouble {
    /// Whether it is not known what became of the statement: the connection ended before its answer.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Silent => true,
            Self::Said(error) => match error.code() {
                None => true,
                Some(code) => code.code().starts_with("08") || code.code().starts_with("57P"),
            },
        }
    }

    /// Whether trying again may help: a lock that was not to be had, a deadlock, a serialisation failure.
    pub fn is_passing(&self) -> bool {
        let passing = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        matches!(self, Self::Said(error) if error.code().is_some_and(|code| passing.contains(code)))
    }

    /// As a failure of the database that is shown so.
    pub fn failure(self, shown: &str) -> Failure {
        match self {
            Self::Silent => Failure::new(FailureKind::Timeout, format!("the database {shown} gave no answer in time")),
            Self::Said(error) => said(shown, &error),
        }
    }
}

/// What a server said.
fn said(shown: &str, error: &tokio_postgres::Error) -> Failure {
    let Some(told) = error.as_db_error() else {
        let mut words = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            words = format!("{words}: {cause}");
        }
        return Failure::new(FailureKind::Unreachable, format!("the connection to the database {shown} was lost: {words}"));
    };
    let kind = match told.code() {
        code if *code == SqlState::LOCK_NOT_AVAILABLE => FailureKind::Locked,
        code if *code == SqlState::QUERY_CANCELED => FailureKind::Timeout,
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => FailureKind::Refused,
        code if code.code().starts_with("57P") || code.code().starts_with("08") => FailureKind::Unreachable,
        _ => FailureKind::Failed,
    };
    let mut failure = Failure::new(kind, format!("the database {shown} said: {}", told.message()));
    if let Some(detail) = told.detail() {
        failure = failure.detail("postgres", detail);
    }
    match told.hint() {
        Some(hint) => failure.hint(hint.to_owned()),
        None => failure,
    }
}

fn unreachable(database: &Database, why: &str) -> Failure {
    let through = database.via.as_ref().map(|host| format!(" through {}", host.name)).unwrap_or_default();
    Failure::new(FailureKind::Unreachable, format!("the database {database} cannot be reached{through}: {why}"))
        .hint("check the URL, and that the server runs and listens there")
}

async fn connect(fleet: &Fleet, database: &Database, address: &Address) -> Result<(Client, JoinHandle<()>), Failure> {
    let (server, port) = address.server();
    let (wire, name) = wire(fleet, database, &server, port).await?;
    let config = &address.config;
    let failed = |error: tokio_postgres::Error| {
        if let Some(told) = error.as_db_error() {
            return not_accepted(database, told);
        }
        tls::refusal(database, address, &error).unwrap_or_else(|| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            unreachable(database, &format!("{error}{cause}"))
        })
    };
    // On a socket the bytes never leave the machine.
    if let Some(name) = name.filter(|_| config.get_ssl_mode() != SslMode::Disable) {
        let tls = Tls::new(database, &name, address)?;
        let (client, connection) = config.connect_raw(wire, tls).await.map_err(failed)?;
        return Ok((client, tokio::spawn(async move { drop(connection.await) })));
    }
    let mut config = config.clone();
    config.ssl_mode(SslMode::Disable);
    let (client, connection) = config.connect_raw(wire, NoTls).await.map_err(failed)?;
    Ok((client, tokio::spawn(async move { drop(connection.await) })))
}

/// A server that answered, and did not let us in. One that comes up, goes down or has no room lets us in later.
fn not_accepted(database: &Database, told: &DbError) -> Failure {
    let message = format!("the database {database} did not accept the login: {}", told.message());
    let code = told.code();
    if *code == SqlState::TOO_MANY_CONNECTIONS {
        return Failure::new(FailureKind::Unreachable, message).hint("wait until there is room, or raise max_connections");
    }
    if code.code().starts_with("57P") {
        return Failure::new(FailureKind::Unreachable, message).hint("wait until the server is up");
    }
    let failure = Failure::refused(message);
    match code {
        code if *code == SqlState::INVALID_PASSWORD => failure
            .hint("check the user and the password")
            .hint("a password that has one of @ : / ? # % in it has to be percent-encoded, in the secret itself"),
        code if *code == SqlState::INVALID_CATALOG_NAME => failure.hint("check the name at the URL's end, or create the database"),
        _ => failure.hint("check the user, the password and pg_hba.conf"),
    }
}

/// The way to the server, and its name where it has one.
async fn wire(fleet: &Fleet, database: &Database, server: &Host, port: u16) -> Result<(Wire, Option<String>), Failure> {
    let lost = |error: std::io::Error| unreachable(database, &error.to_string());
    match (server, database.via.as_ref().filter(|host| !host.is_local())) {
        (Host::Unix(_), Some(host)) => Err(Failure::refused(format!("a database's socket cannot be reached through {}", host.name))
            .hint("name an address and port that it listens on there, such as 127.0.0.1:5432")),
        (Host::Tcp(name), Some(host)) => Ok((Box::new(fleet.host(host).await?.tcp(name, port).await?), Some(name.clone()))),
        (Host::Tcp(name), None) => {
            let stream = TcpStream::connect((name.as_str(), port)).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            Ok((Box::new(stream), Some(name.clone())))
        }
        (Host::Unix(folder), None) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            Ok((Box::new(UnixStream::connect(path).await.map_err(lost)?), None))
        }
    }
}
