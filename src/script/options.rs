//! The keys of every option map: what run time reads them by, and what `check` compares literals with.

use std::collections::BTreeMap;

use rhai::{Array, Dynamic, Map};

use super::kinds::to_float;
pub use super::kinds::{Kind, plain, shown};
use crate::{failure::Failure, model::Period};

/// One key of an option map.
#[derive(Clone, Copy, Debug)]
pub struct OptionKey {
    /// Its name.
    pub name: &'static str,
    /// What its value has to be.
    pub kind: Kind,
    /// What it does, in one line; a default stands in brackets at its end.
    pub doc: &'static str,
    /// Whether a call has to give it.
    pub is_required: bool,
}

impl OptionKey {
    /// What it does, and its default if it has one.
    pub fn meaning(&self) -> (&'static str, Option<&'static str>) {
        match self.doc.strip_suffix(')').and_then(|doc| doc.rsplit_once(" (")) {
            Some((meaning, default)) => (meaning, Some(default)),
            None => (self.doc, None),
        }
    }
}

/// The keys that a function's option map may have.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The function.
    pub function: &'static str,
    /// Its keys.
    pub keys: &'static [OptionKey],
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> OptionKey {
    OptionKey { name, kind, doc, is_required: false }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> OptionKey {
    OptionKey { is_required: true, ..key(name, kind, doc) }
}

const PORT: Kind = Kind::Whole(1, 65535);
const COUNT: Kind = Kind::Whole(1, 10_000);

const PROJECT: &[OptionKey] =
    &[key("reconnect", Kind::Duration, "how long a host that is lost on the way is tried again (what `--reconnect` says)")];

const HOST: &[OptionKey] = &[
    key("labels", Kind::Labels, "labels for the script's own choices"),
    key("identity", Kind::Text, "a private key's path on the machine that runs podlift"),
    key("bind", Kind::Text, "the address that containers publish their ports on (\"127.0.0.1\")"),
    key("docker", Kind::Text, "the path of the engine's socket (\"/var/run/docker.sock\")"),
    key("sudo", Kind::Bool, "whether the proxy's files and reload need `sudo -n`"),
    key("proxy", Kind::Proxy, "the reverse proxy, and where it lives (\"nginx\")"),
];

const SERVICE: &[OptionKey] = &[
    key("image", Kind::Text, "the image name that it is built under, without tag (PROJECT-SERVICE)"),
    key("port", PORT, "the port that it listens on inside the container"),
    key("replicas", COUNT, "containers on each host (1)"),
    key("command", Kind::Words, "program and arguments in place of the image's"),
    key("env", Kind::Variables, "environment variables"),
    key("health", Kind::Health, "how its containers show that they can serve"),
    key("volumes", Kind::Texts, "Docker volumes and mounts, \"SOURCE:TARGET[:OPTIONS]\""),
    key("network", Kind::Text, "the Docker network that it joins, with its name as alias"),
    key("publish", PORT, "a fixed port on the host, for databases"),
    key("memory", Kind::Size, "the most memory that a container may use"),
    key("cpus", Kind::Number, "how many processors a container may use"),
    key("restart", Kind::Restart, "Docker's restart policy (\"unless-stopped\")"),
    key("stop_timeout", Kind::Duration, "how long SIGTERM has before SIGKILL (\"10s\")"),
    key("labels", Kind::Labels, "further labels on its containers"),
    key("domain", Kind::Text, "the domain that the proxy knows it by; without one it is the default of its port"),
    key("listen", PORT, "the port that the proxy listens on (80)"),
    key("balancer", Kind::Balancer, "hosts whose proxy serves all containers; \"none\": no proxy (each host's own)"),
    key("tls", Kind::Labels, "certificate and key: their paths on the proxy's host"),
    key("server", Kind::Bool, "whether podlift writes the proxy's server block (true)"),
    key("options", Kind::Map, "further fields of Docker's HostConfig"),
];

const TIMES: [OptionKey; 4] = [
    key("timeout", Kind::SomeTime, "how long the whole wait may take (\"30s\")"),
    key("interval", Kind::SomeTime, "how long to wait between two tries (\"1s\")"),
    key("successes", COUNT, "how many good answers in a row count as healthy (1)"),
    key("start_period", Kind::Duration, "how long failures do not count after the start (\"0s\")"),
];
const EXPECT: OptionKey = key("expect", Kind::Codes, "the codes that count as healthy ([200])");
const HTTP: &[OptionKey] = &[TIMES[0], TIMES[1], EXPECT, TIMES[2], TIMES[3]];

const OVER_THE_OWN: &[OptionKey] = &[
    key("timeout", Kind::SomeTime, "how long the whole wait may take (the health check's)"),
    key("interval", Kind::SomeTime, "how long to wait between two tries (the health check's)"),
    key("expect", Kind::Codes, "the codes that count as healthy (the health check's)"),
    key("successes", COUNT, "how many good answers in a row count as healthy (the health check's)"),
    key("start_period", Kind::Duration, "how long failures do not count after the start (the health check's)"),
];

const ALLOW_DOWNTIME: OptionKey = key("allow_downtime", Kind::Bool, "take responsibility for what the guard would refuse (false)");

const BUILD: &[OptionKey] = &[
    key("context", Kind::Text, "the context's folder, relative to the script's (\".\")"),
    key("dockerfile", Kind::Text, "the Dockerfile, relative to the context (\"Dockerfile\")"),
    key("target", Kind::Text, "the stage to build"),
    key("args", Kind::Variables, "build arguments"),
    key("secrets", Kind::Variables, "BuildKit secrets, by id"),
    key("platform", Kind::Text, "OS/ARCHITECTURE (the engine's own)"),
    key("tag", Kind::Version, "the version (the short commit)"),
    key("allow_dirty", Kind::Bool, "whether a tree that differs from its commit may be built (false)"),
    key("on", Kind::Host, "the host whose engine builds (\"local\")"),
];

const START: &[OptionKey] = &[
    key("replicas", COUNT, "containers on each host (the service's)"),
    key("env", Kind::Variables, "environment variables besides the service's"),
    key("command", Kind::Words, "program and arguments in place of the service's"),
    key("labels", Kind::Labels, "labels besides the service's"),
];

const COMMAND: [OptionKey; 6] = [
    key("env", Kind::Variables, "environment variables"),
    key("stdin", Kind::Secretive, "what the command reads on its standard input"),
    key("timeout", Kind::SomeTime, "how long it may take, before it gets SIGTERM, and SIGKILL 2 seconds later (\"10m\")"),
    key("check", Kind::Bool, "whether another exit code than 0 is an error (true)"),
    key("name", Kind::Text, "what it is called in output"),
    key("assume", Kind::Map, "what a dry run takes for the answer: code, stdout, stderr"),
];

const SQL: &[OptionKey] = &[
    key("undo", Kind::Secretive, "the statements that take it back"),
    key("transaction", Kind::Bool, "true: all statements in one; false: none in any (each in its own)"),
    key("lock_timeout", Kind::SomeTime, "how long a statement may wait for a lock, and all others behind it (\"2s\")"),
    key("retries", Kind::Whole(0, 1000), "how often it is tried again when a lock was not to be had (10)"),
];

const BACKFILL: &[OptionKey] = &[
    required("table", Kind::Text, "the table"),
    required("key", Kind::Text, "the column of its primary key"),
    required("set", Kind::Secretive, "what is set, as in UPDATE … SET"),
    key("where", Kind::Secretive, "which rows (all)"),
    key("batch", Kind::Whole(1, 100_000), "how many rows the first batch has (100)"),
    key("target", Kind::Duration, "how long the server is to work on a batch; later ones grow and shrink to it (\"1ms\")"),
    key("pause", Kind::Duration, "how long to rest between two batches (ten times as long as the last one took)"),
    key("lock_timeout", Kind::SomeTime, "how long a batch may wait for a lock (\"2s\")"),
    key("throttle", Kind::Function, "`|db| …`, asked about once a second: true goes on, false or a duration waits"),
    key("patience", Kind::Duration, "how long a throttle may hold it up at a time (\"1h\")"),
];

/// Every function that takes an option map.
pub const SPECS: &[OptionSpec] = &[
    OptionSpec { function: "project", keys: PROJECT },
    OptionSpec { function: "host", keys: HOST },
    OptionSpec { function: "hosts", keys: HOST },
    OptionSpec { function: "service", keys: SERVICE },
    OptionSpec { function: "http", keys: HTTP },
    OptionSpec { function: "tcp", keys: &TIMES },
    OptionSpec { function: "command", keys: &TIMES },
    OptionSpec { function: "docker_health", keys: &TIMES },
    OptionSpec { function: "build", keys: BUILD },
    OptionSpec { function: "start", keys: START },
    OptionSpec { function: "healthcheck", keys: OVER_THE_OWN },
    OptionSpec {
        function: "set_weights",
        keys: &[key("sticky", Kind::Text, "the cookie that keeps a visitor with a release"), ALLOW_DOWNTIME],
    },
    OptionSpec {
        function: "preview",
        keys: &[
            key("header", Kind::Text, "the header that reaches it, \"NAME: VALUE\""),
            key("cookie", Kind::Text, "the cookie that reaches it, \"NAME=VALUE\""),
        ],
    },
    OptionSpec {
        function: "drain",
        keys: &[
            key("timeout", Kind::Duration, "how long requests in flight may take (\"30s\")"),
            key("on_timeout", Kind::OneOf(&["proceed", "fail"]), "what happens when they take longer (\"proceed\")"),
            ALLOW_DOWNTIME,
        ],
    },
    OptionSpec {
        function: "stop",
        keys: &[key("timeout", Kind::Duration, "how long SIGTERM has (the service's stop_timeout)"), ALLOW_DOWNTIME],
    },
    OptionSpec { function: "remove", keys: &[ALLOW_DOWNTIME] },
    OptionSpec {
        function: "commit",
        keys: &[key("unfinished", Kind::Bool, "whether the script stops in the middle of it: the run does not end as undone (false)")],
    },
    OptionSpec {
        function: "hook",
        keys: &[
            COMMAND[0],
            COMMAND[1],
            COMMAND[2],
            key("undo", Kind::Command, "the command that undoes it, run in the same place"),
            COMMAND[3],
            COMMAND[4],
            COMMAND[5],
        ],
    },
    OptionSpec { function: "probe", keys: &COMMAND },
    OptionSpec {
        function: "http_get",
        keys: &[
            key("via", Kind::Host, "the host that the request starts from"),
            key("timeout", Kind::SomeTime, "how long it may take (\"10s\")"),
            key("assume", Kind::Page, "what a dry run takes for the code, or for code and body (200)"),
        ],
    },
    OptionSpec {
        function: "traffic",
        keys: &[key("assume", Kind::Map, "what a dry run takes for the answer: requests, errors, p50, p95")],
    },
    OptionSpec {
        function: "confirm",
        keys: &[
            key("name", Kind::Text, "the name that `--yes=NAME` answers it by"),
            key("otherwise", Kind::Bool, "the answer where nobody can be asked"),
        ],
    },
    OptionSpec {
        function: "database",
        keys: &[
            key("via", Kind::Host, "the host that it is reached through, by SSH"),
            key("statement_timeout", Kind::SomeTime, "how long one statement may take (\"10m\")"),
        ],
    },
    OptionSpec {
        function: "registry",
        keys: &[
            key("username", Kind::Secretive, "who logs in"),
            key("password", Kind::Secretive, "the password or token, a `secret(…)`"),
            key("via", Kind::Host, "the host whose engine pushes, where this machine does not reach the registry"),
        ],
    },
    OptionSpec {
        function: "prometheus",
        keys: &[
            key("via", Kind::Host, "the host that it is reached through, by SSH"),
            key("headers", Kind::Headers, "headers of each request, such as who asks"),
        ],
    },
    OptionSpec {
        function: "query",
        keys: &[
            key("assume", Kind::Answer, "what a dry run takes for the rows, or for the value (no rows, or 0)"),
            key("empty", Kind::Real, "what the value is where a Prometheus has no data, or NaN"),
        ],
    },
    OptionSpec { function: "sql", keys: SQL },
    OptionSpec { function: "sql_file", keys: SQL },
    OptionSpec { function: "backfill", keys: BACKFILL },
    OptionSpec { function: "backup", keys: &[key("timeout", Kind::SomeTime, "how long it may take (\"1h\")")] },
    OptionSpec {
        function: "invariants",
        keys: &[
            key("dropped", Kind::Bool, "no op lets a request go unanswered (true)"),
            key("downtime", Kind::Bool, "requests may be dropped where the script says `allow_downtime: true` (true)"),
            key("healthy", Kind::Bool, "no op gives traffic to a container that is not healthy (true)"),
            key("min_capacity", Kind::Part, "the fewest healthy containers with traffic, or a part of those that served in the beginning"),
            key("versions", Kind::Whole(1, 100), "the most releases of a service that serve at once (2)"),
            key("lease", Kind::Bool, "no op changes a service whose lease another run has (true)"),
            key("schema", Kind::Bool, "no op takes away from a schema what code that still runs may need (true)"),
            key("mixed", Kind::Bool, "a run that says it is done leaves no other version of what it has deployed serving (true)"),
            key("ending", Kind::Bool, "what is there in the end is what the run says (true)"),
        ],
    },
    OptionSpec {
        function: "parallel",
        keys: &[
            key("max", Kind::Whole(1, 256), "how many branches run at once (8)"),
            key("fail_fast", Kind::Bool, "whether siblings stop when one fails (true)"),
        ],
    },
];

/// The keys of this function's option map, if it takes one.
pub fn spec(function: &str) -> Option<&'static OptionSpec> {
    SPECS.iter().find(|spec| spec.function == function)
}

impl OptionSpec {
    /// The key of this name, or what is wrong with the name.
    pub fn key(&self, name: &str) -> Result<&'static OptionKey, Failure> {
        self.keys.iter().find(|key| key.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
            unknown(&format!("`{}` has no option `{name}`", self.function), name, &known)
        })
    }
}

/// A refusal of a name that is not one of these: it names the nearest, and all.
pub fn unknown(message: &str, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::refused(message);
    let near = nearest(name, known);
    let failure = match near {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure,
    };
    match (known, near) {
        ([], _) => failure.hint("there are none"),
        ([_], Some(_)) => failure,
        ([only], None) => failure.hint(format!("there is only `{only}`")),
        _ => failure.hint(format!("there are {}", known.join(", "))),
    }
}

/// The known name that this one is most likely meant to be.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &str| strsim::jaro_winkler(known, name);
    known
        .iter()
        .copied()
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// A call's option map, whose keys and types fit.
pub struct Options(Map);

impl Options {
    /// Reads the map that a call of `spec`'s function was given; `()` is none, and a key with `()` was not given.
    pub fn read(spec: &OptionSpec, given: Option<&Dynamic>) -> Result<Self, Failure> {
        let Some(given) = given.filter(|given| !given.is_unit()) else { return Ok(Self(Map::new())) };
        let Some(map) = given.read_lock::<Map>() else {
            return Err(Failure::refused(format!("the options of `{}` are a map, `#{{ … }}`, and got {}", spec.function, shown(given))));
        };
        let mut options = Map::new();
        for (name, value) in map.iter() {
            let value = value.flatten_clone();
            let key = spec.key(name)?;
            if !value.is_unit() {
                key.kind
                    .fits(&value)
                    .map_err(|problem| Failure::refused(format!("the option `{name}` of `{}` {problem}", spec.function)))?;
                options.insert(name.clone(), value);
            }
        }
        Ok(Self(options))
    }

    /// The value of a key, if it was given.
    pub fn get(&self, key: &str) -> Option<&Dynamic> {
        self.0.get(key)
    }

    /// The value of a key that takes text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.clone().into_string().ok()
    }

    /// The value of a key that takes a boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool().ok()
    }

    /// The value of a key that takes a whole number, if it fits the type.
    pub fn whole<T: TryFrom<i64>>(&self, key: &str) -> Option<T> {
        T::try_from(self.get(key)?.as_int().ok()?).ok()
    }

    /// The value of a key that takes a number.
    pub fn number(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        value.as_float().ok().or_else(|| value.as_int().ok().map(to_float))
    }

    /// The value of a key that takes a duration.
    pub fn period(&self, key: &str) -> Option<Period> {
        Period::parse(&self.text(key)?).ok()
    }

    /// The value of a key that takes a map.
    pub fn map(&self, key: &str) -> Map {
        self.get(key).and_then(|value| value.read_lock::<Map>().map(|map| map.clone())).unwrap_or_default()
    }

    /// The value of a key that takes an array.
    pub fn list(&self, key: &str) -> Option<Array> {
        self.get(key)?.read_lock::<Array>().map(|list| list.clone())
    }

    /// The value of a key that takes an array of texts without secrets.
    pub fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).unwrap_or_default().into_iter().filter_map(|item| item.into_string().ok()).collect()
    }

    /// The value of a key that takes a map of texts without secrets.
    pub fn labels(&self, key: &str) -> BTreeMap<String, String> {
        self.map(key).into_iter().filter_map(|(name, value)| Some((name.to_string(), value.into_string().ok()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(function: &str, map: &str) -> Result<Options, String> {
        let given: Map = rhai::Engine::new().eval(map).expect("a map");
        Options::read(spec(function).expect("known"), Some(&given.into()))
            .map_err(|failure| format!("{failure} | {}", failure.hints.join(" | ")))
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = read("start", "#{ replica: 2 }").err().expect("unknown");
        assert_eq!(error, "`start` has no option `replica` | did you mean `replicas`? | there are replicas, env, command, labels");
    }

    #[test]
    fn a_wrong_type_says_what_it_got() {
        for (function, map, problem) in [
            ("start", "#{ replicas: \"2\" }", "the option `replicas` of `start` is to be a whole number from 1 to 10000, and got \"2\""),
            ("start", "#{ replicas: 0 }", "and got 0"),
            ("drain", "#{ timeout: 30 }", "is to be a duration such as \"30s\", and got 30"),
            ("healthcheck", "#{ interval: 1 }", "is to be a duration over 0 such as \"30s\", and got 1"),
            ("http", "#{ interval: \"0s\" }", "\"0s\" is not a valid duration here: it has to be over 0"),
            ("sql", "#{ lock_timeout: \"0ms\" }", "it has to be over 0"),
            ("backfill", "#{ lock_timeout: \"0s\" }", "it has to be over 0"),
            ("database", "#{ statement_timeout: \"0s\" }", "it has to be over 0"),
            ("hook", "#{ timeout: \"0s\" }", "it has to be over 0"),
            ("drain", "#{ timeout: \"30\" }", "\"30\" is not a valid duration"),
            ("drain", "#{ on_timeout: \"explode\" }", "\"proceed\" or \"fail\""),
            ("service", "#{ env: #{ \"A B\": 1 } }", "not a valid environment variable"),
            ("service", "#{ env: #{ A: [] } }", "A: is to be a string, a number or a boolean, and got an empty array"),
            ("service", "#{ command: [] }", "an array of strings"),
            ("service", "#{ memory: \"lots\" }", "not a valid size"),
            ("service", "#{ volumes: [1] }", "at [0] is to be a string, and got 1"),
            ("service", "#{ health: \"http\" }", "a health check: http(…)"),
            ("http_get", "#{ assume: 99 }", "is to be a status code such as 200, or a map: code, body, and got 99"),
            ("http_get", "#{ assume: #{ code: 99 } }", "code: is to be a whole number from 100 to 599, and got 99"),
            ("http_get", "#{ assume: #{ body: 1 } }", "body: is to be a string, and got 1"),
            ("http_get", "#{ assume: #{ text: \"x\" } }", "has no `text`: there are code and body"),
            ("http", "#{ expect: [99] }", "at [0] is to be a whole number from 100 to 599, and got 99"),
            ("http", "#{ expect: [] }", "an array of HTTP status codes such as [200], and got an empty array"),
            ("service", "#{ restart: \"sometimes\" }", "\"unless-stopped\", \"on-failure\" or \"on-failure:5\", and got \"sometimes\""),
            ("build", "#{ tag: \"a b\" }", "\"a b\" is not a valid version"),
            ("host", "#{ proxy: \"haproxy\" }", "is to be \"nginx\", the proxy that podlift speaks to, or a map"),
            ("service", "#{ domain: \"a\u{F0000}\" }", "cannot hold a secret"),
        ] {
            let error = read(function, map).err().unwrap_or_else(|| panic!("{map} was taken"));
            assert!(error.contains(problem), "{map}: {error}");
        }
    }

    #[test]
    fn no_time_at_all_is_taken_where_it_means_something() {
        for (function, map) in [
            ("drain", "#{ timeout: \"0s\" }"),
            ("stop", "#{ timeout: \"0s\" }"),
            ("service", "#{ stop_timeout: \"0s\" }"),
            ("http", "#{ start_period: \"0s\" }"),
            ("backfill", "#{ pause: \"0s\" }"),
        ] {
            assert!(read(function, map).is_ok(), "{function} {map}");
        }
    }

    #[test]
    fn a_key_with_unit_was_not_given() {
        let options = read("service", "#{ domain: (), port: 80, memory: \"1g\", cpus: 1 }").expect("fits");
        assert_eq!((options.text("domain"), options.whole::<u16>("port")), (None, Some(80)));
    }

    #[test]
    fn every_key_has_a_name_and_a_doc() {
        for spec in SPECS {
            for (index, key) in spec.keys.iter().enumerate() {
                assert!(!key.doc.is_empty() && spec.keys[..index].iter().all(|other| other.name != key.name), "{}", key.name);
            }
        }
    }
}
