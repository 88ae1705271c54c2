//! What people read and type beside their deploys: documentation, tasks, modules of their own.

mod endings;
mod errors;
mod interrupting;
mod prompts;
mod sessions;
mod stepping;
mod tools;
