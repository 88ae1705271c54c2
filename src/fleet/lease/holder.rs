//! Which process has a lease.

use crate::fleet::random;

/// What tells this process from every other one: the machine since its start, the namespace of processes, the process and its start.
pub fn holder() -> String {
    let process = std::process::id();
    match (machine(), start_of(process)) {
        (Some(machine), Some(start)) => format!("{machine}/{process}/{start}"),
        _ => format!("{:016x}", random::number()),
    }
}

/// Whether the process with this name is known not to run any more.
pub(super) fn is_gone(holder: &str) -> bool {
    let mut parts = holder.rsplitn(3, '/');
    let (start, process, there) = (parts.next(), parts.next().and_then(|process| process.parse().ok()), parts.next());
    match (start, process, there) {
        (Some(start), Some(process), Some(there)) => machine().as_deref() == Some(there) && start_of(process).as_deref() != Some(start),
        _ => false,
    }
}

fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let namespace: String = namespace.to_str()?.chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}-{namespace}", boot.trim()))
}

/// When a process began, in ticks since the machine's start.
fn start_of(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1;
    let mut fields = fields.split(' ');
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18).map(ToOwned::to_owned)
}
