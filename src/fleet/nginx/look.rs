//! One look at a host's nginx: is it there, is it sound, does it run, where do its files go.

use std::{collections::BTreeMap, time::Duration};

use super::{dump::Dump, inside::Inside};
use crate::{
    failure::{Failure, FailureKind},
    fleet::connection::Connection,
    model::{Host, ProjectName, RouteTable, ServiceName},
    nginx_file::{self, NginxVersion, Settings, names},
};

const SCRIPT: &str = include_str!("scripts/look.sh");

/// How long a short script on a host may take.
pub const SHORT: Duration = Duration::from_secs(30);

/// The dump's last line.
const END: &str = "# podlift end";

/// What a host's nginx was found to be.
#[derive(Debug)]
pub struct Look {
    /// The whole configuration; empty where nginx does not accept it.
    pub dump: Dump,
    /// podlift's route tables.
    pub tables: Vec<RouteTable>,
    /// Why nothing can be changed, where that is so.
    pub problem: Option<Problem>,
    /// Where its files are and what they depend on; `None` where that cannot be known.
    pub place: Option<Place>,
}

/// Why a proxy cannot be used, and whether its route tables are known all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, in one sentence.
    pub message: String,
    /// What nginx says.
    pub words: String,
    /// What to do next.
    pub hint: String,
}

/// Where nginx's files are on a host, and what podlift's files depend on.
#[derive(Clone, Debug)]
pub struct Place {
    /// The container that nginx runs in, where it does. The paths here are the host's; those in the settings are nginx's own.
    pub inside: Option<Inside>,
    /// The folder of podlift's files, as nginx knows it.
    pub folder: String,
    /// The same folder, on the host.
    there: String,
    /// The master process's pid file.
    pub pid: String,
    /// The pre-drain flag.
    pub flag: String,
    /// The folder of the access logs.
    pub logs: String,
    /// The main error log; may be no file.
    pub error_log: String,
    /// Where the host reaches the services' pages.
    pub address: String,
    /// What goes into the files.
    pub settings: Settings,
}

impl Place {
    /// The path of a service's file, without its extension.
    pub fn base(&self, project: &ProjectName, service: &ServiceName) -> String {
        format!("{}/{}", self.there, names::base(project, service))
    }

    /// The lock that a change at this nginx holds.
    pub fn lock(&self) -> String {
        match &self.inside {
            Some(inside) => format!("/run/nginx-{}.podlift-lock", inside.name),
            None => format!("{}.podlift-lock", beside(&self.pid)),
        }
    }
}

fn beside(pid: &str) -> &str {
    pid.strip_suffix(".pid").unwrap_or(pid)
}

/// Takes the look.
pub async fn look(connection: &Connection) -> Result<Look, Failure> {
    let host = connection.host();
    let arguments = [host.proxy.folder.as_deref().unwrap_or_default()];
    match super::remote::nginx(connection, SCRIPT, &arguments, Vec::new(), SHORT).await {
        Ok(output) => Ok(read(&output, host)),
        // Without the right to look nothing is known, and the rest of the host can be used all the same.
        Err(failure) if failure.kind == FailureKind::Refused => Ok(Look {
            dump: Dump::default(),
            tables: Vec::new(),
            problem: Some(Problem {
                words: failure.details.into_iter().map(|detail| detail.text).collect(),
                message: failure.message,
                hint: failure.hints.join(", "),
            }),
            place: None,
        }),
        Err(failure) => Err(failure),
    }
}

fn command(host: &Host) -> &str {
    host.proxy.command.as_deref().unwrap_or("nginx")
}

/// Reads what the script prints: a line for each fact, then the dump or nginx's complaint.
fn read(output: &str, host: &Host) -> Look {
    let mut look = Look { dump: Dump::default(), tables: Vec::new(), problem: None, place: None };
    let (mut version, mut settings, mut ipv6, mut running) = (None, BTreeMap::new(), false, Vec::new());
    let mut inside = host.proxy.container.as_deref().map(Inside::new);
    let mut rest = output;
    while !rest.is_empty() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = behind;
        match line.split_once(' ').unwrap_or((line, "")) {
            ("version", text) => version = NginxVersion::parse(text),
            ("settings", text) => {
                settings = text.split(' ').filter_map(|word| word.strip_prefix("--")?.split_once('=')).collect::<BTreeMap<_, _>>();
            }
            ("ipv6", _) => ipv6 = true,
            ("running", file) => running.push(file),
            ("route", line) => look.tables.extend(nginx_file::parse(line).ok().flatten()),
            ("mount", text) => inside.iter_mut().for_each(|inside| inside.note_mount(text)),
            ("network", text) => inside.iter_mut().for_each(|inside| inside.note_network(text)),
            ("master", pid) => inside.iter_mut().for_each(|inside| inside.master = Some(pid.into())),
            ("absent" | "dockerless" | "uncontained" | "resting", _) => {
                look.problem = Some(missing(line, rest, host));
                return look;
            }
            ("broken", _) => {
                look.problem = problem("nginx does not accept its configuration", rest, "correct it there until `nginx -t` passes");
                return look;
            }
            ("dump", _) => break,
            _ => {}
        }
    }
    let Some(rest) = rest.trim_end().strip_suffix(END) else {
        look.problem = problem("nginx's configuration is too large to be read", "", "take what nginx does not need out of its folders");
        return look;
    };
    let configuration = settings.get("conf-path").and_then(|path| path.rsplit_once('/')).map_or("/etc/nginx", |(folder, _)| folder);
    look.dump = Dump::read(rest, main_folder(rest).unwrap_or(configuration));
    let (tables, broken) = look.dump.tables();
    look.tables = tables;
    if let Some(path) = broken.first() {
        let hint = "put its `.previous` neighbour in its place, or remove it, and reload nginx";
        look.problem = problem(format!("the first line of {path} is not as podlift wrote it"), "", hint);
        return look;
    }
    let pid = look.dump.pid.clone().or_else(|| settings.get("pid-path").map(|path| (*path).to_owned()));
    let pid = pid.unwrap_or_else(|| "/run/nginx.pid".into());
    let folder = host.proxy.folder.clone().or_else(|| look.dump.folder.clone());
    match (version, folder) {
        (None, _) => look.problem = problem("nginx does not tell its version", "", "look at what `nginx -v` prints there"),
        (_, None) => {
            let hint = "add `include /etc/nginx/conf.d/*.conf;` inside `http`, or name a folder as the host's `proxy.folder`";
            look.problem = problem("nginx's configuration includes no folder of `*.conf` files inside `http`", "", hint);
        }
        (Some(version), Some(folder)) => {
            let folder = folder.trim_end_matches('/').to_owned();
            look.problem = match &inside {
                Some(inside) if inside.master.is_none() => {
                    let message = format!("nginx is not running in the container {}", inside.name);
                    problem(message, "", "start it as what the container runs, with `daemon off;`")
                }
                Some(inside) => inside.problem(&folder),
                None if running.contains(&pid.as_str()) => None,
                None => problem("nginx is not running", "", "start it there, for example with `systemctl start nginx`"),
            };
            let error_log = look.dump.error_log.clone().or_else(|| settings.get("error-log-path").map(|path| (*path).to_owned()));
            let error_log = error_log.unwrap_or_else(|| "/var/log/nginx/error.log".into());
            let own_loopback = inside.as_ref().is_some_and(Inside::has_own_loopback);
            let settings = Settings {
                version,
                ipv6,
                // A container's folder of files is the one that the host surely shares.
                flag: if inside.is_some() { format!("{folder}/podlift-drain") } else { format!("{}.podlift-drain", beside(&pid)) },
                logs: host.proxy.logs.clone().unwrap_or_else(|| "/var/log/nginx".into()),
                template: host.proxy.template.clone(),
                page: if own_loopback { names::OPEN_PAGE } else { names::PAGE },
            };
            let there = |path: &str| inside.as_ref().map_or_else(|| path.to_owned(), |inside| inside.seen_from_host(path));
            look.place = Some(Place {
                there: there(&folder),
                flag: there(&settings.flag),
                logs: there(&settings.logs),
                error_log: there(&error_log),
                address: inside.as_ref().map_or("127.0.0.1", Inside::address).to_owned(),
                folder,
                pid,
                settings,
                inside,
            });
        }
    }
    look
}

/// Why there is no nginx to look at: the script's word for it, and what follows.
fn missing(line: &str, rest: &str, host: &Host) -> Problem {
    let Some(container) = &host.proxy.container else {
        return Problem {
            message: format!("there is no {} on it", command(host)),
            words: String::new(),
            hint: "install nginx there, name its path as the host's `proxy.command`, or give the service `balancer: \"none\"`".into(),
        };
    };
    let (word, words) = line.split_once(' ').unwrap_or((line, ""));
    let words = format!("{words}\n{rest}").trim().to_owned();
    let run = format!(
        "start nginx there, such as by `docker run --detach --name {container} --network host --restart unless-stopped \
         --volume /srv/nginx:/etc/nginx/conf.d nginx`, or name the right container as the host's `proxy.container`"
    );
    let (message, hint) = match word {
        "dockerless" => ("there is no `docker` command on it".into(), "install Docker's command line there".into()),
        "resting" => (format!("its container {container} is not running"), format!("start it there: `docker start {container}`")),
        "uncontained" if words.to_lowercase().contains("no such") => (format!("there is no container {container} on it"), run),
        "uncontained" => (format!("Docker does not tell of its container {container}"), "look at what it says there".into()),
        _ => (
            format!("there is no {} in its container {container}", command(host)),
            "name the program's path in the container as the host's `proxy.command`".into(),
        ),
    };
    Problem { message, words, hint }
}

/// The folder of the main file: relative paths start there (`conf-prefix` of nginx's `-c`).
fn main_folder(dump: &str) -> Option<&str> {
    let path = dump.lines().find_map(|line| line.strip_prefix("# configuration file ")?.strip_suffix(':'))?;
    path.rsplit_once('/').map(|(folder, _)| folder)
}

#[expect(clippy::unnecessary_wraps, reason = "it is always assigned to the field")]
fn problem(message: impl Into<String>, words: &str, hint: &str) -> Option<Problem> {
    Some(Problem { message: message.into(), words: words.trim().into(), hint: hint.into() })
}

impl Problem {
    /// The problem as a failure of a change.
    pub fn failure(&self, host: &Host) -> Failure {
        let message = format!("the proxy on {} cannot be used: {}", host.name, self.message);
        Failure::new(FailureKind::Refused, message).on(&host.name).detail("nginx", &self.words).hint(&self.hint)
    }

    /// The problem in one line.
    pub fn line(&self) -> String {
        match self.words.lines().find(|line| line.contains("[emerg]")) {
            Some(words) => format!("{} ({})", self.message, words.trim()),
            None => self.message.clone(),
        }
    }
}

impl Look {
    /// Where files go, if nginx can be changed; the problem otherwise.
    pub fn usable(&self, host: &Host) -> Result<&Place, Failure> {
        match (&self.problem, &self.place) {
            (Some(problem), _) => Err(problem.failure(host)),
            (None, Some(place)) => Ok(place),
            (None, None) => Err(Failure::failed(format!("nginx's files on {} were not found", host.name)).on(&host.name)),
        }
    }

    /// A service's route table.
    pub fn table(&self, project: &ProjectName, service: &ServiceName) -> Option<&RouteTable> {
        self.tables.iter().find(|table| &table.project == project && &table.service == service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host::parse("h1").expect("valid")
    }

    const FACTS: &str = "version nginx version: nginx/1.22.1\nsettings --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid\nipv6\n";
    const DUMP: &str = "dump\n# configuration file /etc/nginx/nginx.conf:\nhttp { include conf.d/*.conf; }\n# podlift end\n";

    #[test]
    fn a_running_nginx_is_usable() {
        let look = read(&format!("{FACTS}running /run/nginx.pid\n{DUMP}"), &host());
        let place = look.usable(&host()).expect("usable");
        assert_eq!(place.folder, "/etc/nginx/conf.d");
        assert_eq!(place.lock(), "/run/nginx.podlift-lock");
        assert_eq!(place.settings.flag, "/run/nginx.podlift-drain");
        assert!(place.settings.ipv6);
        assert_eq!(place.settings.version, NginxVersion(1, 22, 1));
    }

    #[test]
    fn problems_say_what_to_do() {
        let message = |output: &str| read(output, &host()).usable(&host()).expect_err("a problem").message;
        assert_eq!(message("absent\n"), "the proxy on h1 cannot be used: there is no nginx on it");
        assert_eq!(message(&format!("{FACTS}{DUMP}")), "the proxy on h1 cannot be used: nginx is not running");
        let broken = read(&format!("{FACTS}broken\nnginx: [emerg] unexpected \"}}\" in /etc/nginx/x:3\nnginx: test failed\n"), &host());
        let problem = broken.problem.expect("a problem");
        assert_eq!(problem.line(), "nginx does not accept its configuration (nginx: [emerg] unexpected \"}\" in /etc/nginx/x:3)");
        let nowhere = message(&format!(
            "{FACTS}running /run/nginx.pid\ndump\n# configuration file /etc/nginx/nginx.conf:\nhttp {{}}\n# podlift end\n"
        ));
        assert!(nowhere.contains("includes no folder"), "{nowhere}");
        let cut = message(&format!("{FACTS}running /run/nginx.pid\n{}", DUMP.replace("end", "")));
        assert!(cut.contains("too large"), "a table beyond the cut must not be taken for none: {cut}");
    }

    const INSIDE: &str = "runs\nnetwork host  \nmount /etc/nginx/conf.d\t/srv/nginx\nmaster 42\n";

    fn contained() -> Host {
        let mut host = host();
        host.proxy.container = Some("edge".into());
        host
    }

    #[test]
    fn an_nginx_in_a_container_has_its_files_on_the_host() {
        let look = read(&format!("{INSIDE}{FACTS}{DUMP}"), &contained());
        let place = look.usable(&contained()).expect("usable");
        assert_eq!((place.folder.as_str(), place.there.as_str()), ("/etc/nginx/conf.d", "/srv/nginx"));
        assert_eq!((place.settings.flag.as_str(), place.flag.as_str()), ("/etc/nginx/conf.d/podlift-drain", "/srv/nginx/podlift-drain"));
        assert_eq!(place.logs, "/proc/42/root/var/log/nginx");
        assert_eq!(place.lock(), "/run/nginx-edge.podlift-lock");
        assert_eq!((place.address.as_str(), place.settings.page), ("127.0.0.1", names::PAGE));
        let own = INSIDE.replace("host  ", "bridge 172.17.0.2 172.17.0.1");
        let look = read(&format!("{own}{FACTS}{DUMP}"), &contained());
        let place = look.usable(&contained()).expect("usable");
        assert_eq!((place.address.as_str(), place.settings.page), ("172.17.0.2", names::OPEN_PAGE));
    }

    #[test]
    fn a_container_that_is_not_as_it_must_be_is_told() {
        let message = |output: &str| read(output, &contained()).usable(&contained()).expect_err("a problem").message;
        let why = |output: &str| message(output).strip_prefix("the proxy on h1 cannot be used: ").expect("it is the proxy's").to_owned();
        assert_eq!(why("uncontained Error: No such container: edge\n"), "there is no container edge on it");
        assert_eq!(why("uncontained permission denied\n"), "Docker does not tell of its container edge");
        assert_eq!(why("resting\n"), "its container edge is not running");
        assert_eq!(why("dockerless\n"), "there is no `docker` command on it");
        assert_eq!(why(&format!("{INSIDE}absent\n")), "there is no nginx in its container edge");
        let idle = INSIDE.replace("master 42\n", "");
        assert_eq!(why(&format!("{idle}{FACTS}{DUMP}")), "nginx is not running in the container edge");
        let lost = INSIDE.replace("mount /etc/nginx/conf.d", "mount /data");
        assert!(why(&format!("{lost}{FACTS}{DUMP}")).contains("is lost with it"));
    }
}
