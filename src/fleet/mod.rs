//! The live side: SSH, Docker, shipping, nginx.

pub mod build;
pub mod images;
pub mod ship;
