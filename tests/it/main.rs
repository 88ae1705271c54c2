//! The tests that need the real thing: the command line, and deploys to real hosts.
#![expect(clippy::disallowed_types, clippy::disallowed_macros, reason = "tests start programs and say what they measured")]

mod load;
mod load_works;
mod rig;
mod rig_works;
mod structure;
mod suites;
mod until;
