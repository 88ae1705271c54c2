//! Indexes that are built concurrently: one whose build was broken off stays, invalid, and has to be dropped.

use super::session::Session;
use crate::{
    failure::{Failure, FailureKind},
    model::sql::{ConcurrentIndex, Object, quoted_text},
};

/// What is there of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The valid index: nothing is to be done.
    Done,
    /// What a broken build had left, which is dropped now.
    Invalid,
    /// Nothing, or an index of the name that Postgres itself will refuse.
    Nothing,
}

/// Looks before an index is built, and drops what a broken build has left. `ours` says that this call began to build it.
pub async fn before(session: &Session, index: &ConcurrentIndex, ours: bool, existed: &[Object]) -> Result<Found, Failure> {
    let Some(name) = &index.name else {
        return Err(Failure::refused("an index that is built concurrently needs a name")
            .hint("name it, so that a broken build can be found and dropped"));
    };
    match validity(session, name).await? {
        Some(true) if ours || (index.if_not_exists && !existed.is_empty()) => Ok(Found::Done),
        None | Some(true) => Ok(Found::Nothing),
        Some(false) => {
            let building = format!("SELECT pid FROM pg_stat_progress_create_index WHERE index_relid = to_regclass({})", quoted_text(name));
            if let Some(pid) = session.value(&building).await? {
                let message = format!("the index {} is being built by another session (pid {pid})", name.replace('"', ""));
                return Err(Failure::new(FailureKind::Locked, message).hint("wait for its end, then run again"));
            }
            drop_index(session, name).await?;
            Ok(Found::Invalid)
        }
    }
}

/// Drops what a build that failed has left.
pub async fn clean(session: &Session, index: &ConcurrentIndex) -> Result<(), Failure> {
    let Some(name) = &index.name else { return Ok(()) };
    match validity(session, name).await? {
        Some(false) => drop_index(session, name).await,
        _ => Ok(()),
    }
}

async fn validity(session: &Session, name: &str) -> Result<Option<bool>, Failure> {
    let text = format!("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass({})", quoted_text(name));
    Ok(session.value(&text).await?.map(|valid| valid == "t"))
}

async fn drop_index(session: &Session, name: &str) -> Result<(), Failure> {
    session.run(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}")).await
}
