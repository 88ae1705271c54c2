//! Who runs what, and when.

use std::{os::unix::fs::MetadataExt, sync::OnceLock};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{
    model::{RunId, RunInfo},
    terminal::clean,
};

/// A new run, of whoever is logged in here, beginning now.
pub fn new_run() -> RunInfo {
    let now = Timestamp::now();
    RunInfo { id: id(now, std::process::id()), operator: operator().to_owned(), started: started(now) }
}

/// Whoever is logged in here: `user@machine`. It is read once.
pub fn operator() -> &'static str {
    static OPERATOR: OnceLock<String> = OnceLock::new();
    OPERATOR.get_or_init(|| {
        let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).or_else(user_of_process);
        let user = user.unwrap_or_else(|| "unknown".into());
        let machine = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().find_map(|path| std::fs::read_to_string(path).ok());
        let machine = machine.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_else(|| "unknown".into());
        clean::line(&format!("{}@{}", user.trim(), machine.trim()))
    })
}

/// The name of the user that this process runs as, where neither variable is set.
fn user_of_process() -> Option<String> {
    let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    user_in(&std::fs::read_to_string("/etc/passwd").ok()?, &id)
}

fn user_in(passwd: &str, id: &str) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    users.find(|fields| fields.get(2) == Some(&id)).map(|fields| fields[0].to_string())
}

fn started(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An id that sorts by time, to the millisecond, and differs between runs of one.
fn id(now: Timestamp, process: u32) -> RunId {
    let digest = Sha256::new().chain_update(now.as_nanosecond().to_be_bytes()).chain_update(process.to_be_bytes()).finalize();
    let suffix = (u16::from(digest[0]) << 8 | u16::from(digest[1])) & 0xfff;
    let millisecond = now.subsec_nanosecond().unsigned_abs() / 1_000_000;
    RunId::new(format!("{}-{millisecond:03x}{suffix:03x}", now.strftime("%Y%m%d-%H%M%S"))).expect("digits and dashes are a run's id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_id() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(user_in(passwd, "1000").as_deref(), Some("ann"));
        assert_eq!(user_in(passwd, "7"), None);
    }

    #[test]
    fn ids_sort_by_time_and_differ() {
        let now: Timestamp = "2026-01-02T03:04:05.6Z".parse().expect("a time");
        assert!(id(now, 1).as_str().starts_with("20260102-030405-"));
        assert_ne!(id(now, 1), id(now, 2));
        let next: Timestamp = "2026-01-02T03:04:05.601Z".parse().expect("a time");
        assert!((1..100).all(|process| id(now, process).as_str() < id(next, process + 1).as_str()), "the last run is the last one");
        assert_eq!(started(now), "2026-01-02T03:04:05Z");
        assert!(new_run().operator.contains('@'));
    }
}
