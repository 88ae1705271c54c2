//! Shipping: an image is exported once and streamed to each host without the layers that the host has, then proved there.

mod archive;
mod delivery;
#[cfg(test)]
mod engine_tests;
mod export;
mod proof;
mod saved;
mod send;
mod spool;

use std::time::Instant;

pub use self::export::Exports;
use self::{
    delivery::{Delivered, Parcel, Receiver},
    proof::prove,
};
use crate::{
    executor::Progress,
    failure::Failure,
    fleet::Fleet,
    model::Engine,
    op::{self, Shipped},
};

/// Brings an image to a host, sending only the layers that it lacks, and proves it there; `engine` is what is known of the host's
/// engine. Before anything moves, an image for another platform, a host with too little room and an image that is no longer the
/// one that was built are refused. Dropping the future ends it.
pub async fn ship(fleet: &Fleet, op: &op::Ship, engine: Engine, progress: &dyn Progress) -> Result<Shipped, Failure> {
    let began = Instant::now();
    let shipping = async {
        let to = fleet.host(&op.host).await?.docker().await?;
        let from = fleet.host(&op.from).await?.docker().await?;
        let parcel = Parcel::find(&from, &op.from.name, &op.reference, &op.digest).await?;
        if op.from.name == op.host.name {
            prove(&to, engine.store, &parcel.reference, &parcel.digest).await?;
            return Ok(parcel.nothing_sent());
        }
        let to = Receiver { host: &op.host.name, docker: to, engine };
        parcel.deliver(&from, &to, fleet.exports(), progress).await
    };
    let Delivered { sent, reused } = Box::pin(shipping).await.map_err(|failure: Failure| failure.on(&op.host.name))?;
    Ok(Shipped { sent, reused, seconds: began.elapsed().as_secs_f64() })
}
