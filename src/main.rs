//! The `podlift` command.

fn main() {}
