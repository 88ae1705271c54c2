//! All output.
