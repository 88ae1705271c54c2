//! What a service's options say together: run time refuses what cannot be meant, and `check` finds it where it is written out.

/// Whether an option was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It was.
    Yes,
    /// It was not.
    No,
    /// Only a run knows.
    Perhaps,
}

/// An option that does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The option.
    pub option: &'static str,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What a proxy is told.
const OF_A_PROXY: [&str; 4] = ["domain", "listen", "tls", "server"];

/// Everything that does not fit. `service` is what it is called, and `has_no_proxy` says that its `balancer` is `"none"`.
pub fn contradictions(service: &str, has: impl Fn(&str) -> Given, has_no_proxy: bool) -> Vec<Contradiction> {
    let mut found = Vec::new();
    if has("port") == Given::Yes && has("health") == Given::No {
        found.push(Contradiction {
            option: "port",
            message: format!("{service} has a port and no health check"),
            hint: "give it health: http(\"/path\"), tcp() or command([…]); health: no_health() is for who has none".into(),
        });
    }
    let mut useless = |option: &'static str, why: &str, hint: String| {
        if has(option) == Given::Yes {
            found.push(Contradiction { option, message: format!("{service} has {why}, so its `{option}` is for nothing"), hint });
        }
    };
    for option in OF_A_PROXY {
        if has("port") == Given::No {
            useless(option, "no port", format!("say which `port` it listens on, or leave `{option}` out"));
        } else if has_no_proxy {
            useless(option, "no proxy", format!("leave `{option}` out, or `balancer: \"none\"`"));
        }
    }
    if has("port") == Given::No {
        useless("publish", "no port", "say which `port` it listens on: `publish` is the one on the host that leads there".into());
        if !has_no_proxy {
            useless("balancer", "no port", "say which `port` it listens on, or leave `balancer` out".into());
        }
    }
    found
}
