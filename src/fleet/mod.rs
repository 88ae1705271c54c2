//! The live side: SSH, Docker, shipping, nginx.

pub mod images;
pub mod ship;
