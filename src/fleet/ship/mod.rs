//! Shipping: an image is exported once and streamed to each host without the layers that the host has, then proved there.
#![expect(clippy::disallowed_types, reason = "fleet/ speaks to engines")]

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

use bollard::Docker;

pub use self::export::Exports;
use self::{
    delivery::{Parcel, Receiver},
    proof::prove,
};
use crate::{
    executor::Progress,
    failure::Failure,
    model::Engine,
    op::{self, Shipped},
};

/// The engines of a shipment.
pub struct Route {
    /// The API of the engine that has the image: `op.from`'s.
    pub from: Docker,
    /// The API of the engine that it goes to: `op.host`'s.
    pub to: Docker,
    /// What is known of that engine.
    pub engine: Engine,
}

/// Brings an image to a host, sending only the layers that it lacks, and proves it there. Before anything moves, an image for
/// another platform, a host with too little room and an image that is no longer the one that was built are refused.
pub async fn ship(op: &op::Ship, route: Route, exports: &Exports, progress: &dyn Progress) -> Result<Shipped, Failure> {
    let began = Instant::now();
    let parcel = Parcel::find(&route.from, &op.from.name, &op.reference, &op.digest).await?;
    let delivered = if op.from.name == op.host.name {
        prove(&route.to, &parcel.reference, &parcel.digest).await.map_err(|failure| failure.on(&op.host.name))?;
        parcel.nothing_sent()
    } else {
        let to = Receiver { host: &op.host.name, docker: route.to, engine: route.engine };
        parcel.deliver(&route.from, &to, exports, progress).await.map_err(|failure| failure.on(&op.host.name))?
    };
    Ok(Shipped { sent: delivered.sent, reused: delivered.reused, seconds: began.elapsed().as_secs_f64() })
}
