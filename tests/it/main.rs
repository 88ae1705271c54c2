//! The tests that need the real thing: the command line, and deploys to real hosts.

mod load;
mod load_works;
mod rig;
mod rig_works;
mod until;
