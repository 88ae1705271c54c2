//! What a run that did not reach its end left on its hosts, beyond what serves.

use crate::{
    executor::ending::{Ending, Part},
    terminal::{clean, words},
};

/// A line for each host that could not be read, and for each on which containers of the run serve nothing.
pub fn lines(ending: &Ending) -> Vec<String> {
    ending.parts.iter().flat_map(of).collect()
}

fn of(part: &Part) -> Vec<String> {
    let Part { host, service, idle, unknown, .. } = part;
    let unknown = unknown.as_ref().map(|why| format!("{host}: what runs of {service} there is not known: {}", clean::line(why)));
    let idle = (!idle.is_empty()).then(|| {
        let what = words::count(idle.len(), "container");
        format!("{host}: {what} of this run got no traffic and stay: {}", idle.join(", "))
    });
    unknown.into_iter().chain(idle).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{HostName, ServiceName};

    #[test]
    fn what_is_not_known_and_what_is_idle_is_named() {
        let part = |host: &str, idle: &[&str], unknown: Option<&str>| Part {
            service: ServiceName::new("web").expect("valid"),
            host: HostName::new(host).expect("valid"),
            serving: BTreeMap::new(),
            new: false,
            old: false,
            idle: idle.iter().map(ToString::to_string).collect(),
            unknown: unknown.map(Into::into),
        };
        let ending = Ending {
            parts: vec![part("h1", &["a-1", "a-2"], None), part("h2", &[], Some("h2 did not answer SSH")), part("h3", &[], None)],
        };
        assert_eq!(
            lines(&ending),
            [
                "h1: 2 containers of this run got no traffic and stay: a-1, a-2",
                "h2: what runs of web there is not known: h2 did not answer SSH"
            ]
        );
    }
}
