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

pub use self::export::Exports;
