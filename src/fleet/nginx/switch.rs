//! Changing how nginx splits a service's traffic.

use std::time::Duration;

use super::{
    inside::Inside,
    look::{Look, Place, look},
    page, remote,
};
use crate::{
    executor::Progress,
    failure::{Failure, FailureKind},
    fleet::connection::Connection,
    model::{Front, Host, HostName, OwnNetwork, ProjectName, RouteTable, ServiceName, Token},
    nginx_file::{self, Rendered},
    op::{Drain, Op, Preview, SetWeights, TestWeights},
};

const SCRIPT: &str = include_str!("scripts/switch.sh");

/// How long a change may take: a minute for the lock, at most ten seconds for the flag, half a minute for the workers, and the way.
const LONGEST: Duration = Duration::from_secs(120);

/// How often a change is put onto a table that another change of other hosts has replaced meanwhile.
const TRIES: usize = 8;

/// Puts new shares in force and gives back the table that is live then, with the one that it replaced. A table that is live
/// already stays as it is. A failure that may have left the new shares in force says what takes them back.
pub async fn set_weights(
    connection: &Connection,
    op: &SetWeights,
    token: &Token,
    progress: &dyn Progress,
) -> Result<(RouteTable, Option<RouteTable>), Failure> {
    let (project, service, allow_downtime) = (&op.project, &op.service, op.allow_downtime);
    let removes_empty = op.removes_empty;
    let change = Change { project, service, front: Some(&op.front), allow_downtime, removes_empty, token, progress };
    let named: Vec<&HostName> = op.changes.keys().collect();
    let changed = change.make(connection, &named, |table| table.with(&op.changes), |before| op.inverse(before)).await?;
    changed.ok_or_else(|| Failure::failed("a route table was neither there nor made"))
}

/// Lets requests with a mark reach a release, and gives back the table that is live then, with the one that it replaced.
pub async fn preview(
    connection: &Connection,
    op: &Preview,
    token: &Token,
    progress: &dyn Progress,
) -> Result<(RouteTable, Option<RouteTable>), Failure> {
    // Its front is the service's own; where there is one already, its cookie for visitors stays.
    let known = super::table(connection, &op.project, &op.service).await?;
    let front = known.map_or_else(|| op.front.clone(), |table| table.front);
    let (project, service, removes_empty) = (&op.project, &op.service, op.removes_empty);
    let change = Change { project, service, front: Some(&front), allow_downtime: true, removes_empty, token, progress };
    let named: Vec<&HostName> = op.changes.keys().collect();
    let changed = change.make(connection, &named, |table| table.previewing(&op.mark, &op.changes), |before| op.inverse(before)).await?;
    changed.ok_or_else(|| Failure::failed("a route table was neither there nor made"))
}

/// Takes the containers of a drain out of the traffic at one proxy and gives back the table that had them, or `None` if none
/// did. A failure that may have left them without traffic says what gives it back.
pub async fn take_out(
    connection: &Connection,
    op: &Drain,
    proxy: &Host,
    token: &Token,
    progress: &dyn Progress,
) -> Result<Option<RouteTable>, Failure> {
    let (project, service, host) = (&op.project, &op.service, &op.host.name);
    let change = Change { project, service, front: None, allow_downtime: op.allow_downtime, removes_empty: false, token, progress };
    let inverse = |before: Option<&RouteTable>| before.map_or_else(|| op.clone().into(), |before| op.inverse(proxy, before));
    let changed = change.make(connection, &[host], |table| table.without(host, &op.containers), inverse).await?;
    Ok(changed.and_then(|(live, previous)| previous.filter(|previous| previous.shares != live.shares)))
}

/// Writes what [`set_weights`] would put in force, lets nginx test it, and puts the old file back.
pub async fn test_weights(connection: &Connection, op: &TestWeights, token: &Token) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let found = look(connection).await?;
        let place = found.usable(connection.host())?;
        let before = found.table(&op.project, &op.service);
        let base = before.cloned().unwrap_or_else(|| RouteTable::empty(&op.project, &op.service, &op.front, token));
        let after = RouteTable { generation: base.generation + 1, token: token.clone(), front: op.front.clone(), ..base.with(&op.changes) };
        match send(connection, place, Mode::Test, before, &after).await? {
            Answer::Done => return Ok(()),
            Answer::Kept(failure) => return Err(failure),
            // A change of other hosts came between; the switch itself tells whether it is one of these.
            Answer::Conflict => {}
        }
    }
    Err(busy(connection, &op.service))
}

/// A change of one service's table.
struct Change<'a> {
    project: &'a ProjectName,
    service: &'a ServiceName,
    /// The front, or `None` to leave it as it is, and to do nothing without a table.
    front: Option<&'a Front>,
    /// Whether nothing may be left of what is served now.
    allow_downtime: bool,
    /// Whether a table that says nothing any more is taken away with its file.
    removes_empty: bool,
    token: &'a Token,
    progress: &'a dyn Progress,
}

impl Change<'_> {
    /// Makes it: the table that is live then, and the one before it. A change that comes between and leaves the `named` hosts'
    /// shares alone is built upon, because such changes are made side by side; any other is a conflict.
    async fn make(
        &self,
        connection: &Connection,
        named: &[&HostName],
        changed: impl Fn(&RouteTable) -> RouteTable,
        inverse: impl Fn(Option<&RouteTable>) -> Op,
    ) -> Result<Option<(RouteTable, Option<RouteTable>)>, Failure> {
        let mut first: Option<Option<RouteTable>> = None;
        let mut removes_empty = self.removes_empty;
        for _ in 0..TRIES {
            let found = look(connection).await?;
            let before = found.table(self.project, self.service);
            if let Some(known) = &first
                && !agree(known.as_ref(), before, named)
            {
                let generation = before.map_or(0, |table| table.generation);
                return Err(conflict(connection, &self.after(known.as_ref(), &changed)?, generation));
            }
            if before.is_none() && self.front.is_none() {
                return Ok(None);
            }
            let after = self.after(before, &changed)?;
            let is_removed = removes_empty && after.is_empty();
            if let Some(before) = before
                && !is_removed
                && before.routes_like(&after)
                && self.is_live(connection, &found, before).await?
            {
                return Ok(Some((before.clone(), Some(before.clone()))));
            }
            // Nothing is served and nothing is to be: a file would only take the front. One that was on its way to be taken away when
            // that was cut off may still be served.
            if before.is_none() && after.is_empty() {
                let is_served = match found.usable(connection.host()) {
                    Ok(place) if is_removed => self.shown(connection, place).await?.is_some(),
                    _ => false,
                };
                if !is_served {
                    return Ok(Some((RouteTable { generation: 0, ..after }, None)));
                }
            }
            // The guard has looked before; calls side by side may each have seen the others' containers.
            if !self.allow_downtime && !after.serves() && before.is_some_and(RouteTable::serves) {
                return Err(Failure::nothing_left(self.service, &connection.host().name));
            }
            let place = found.usable(connection.host())?;
            let (mode, doing, after) = if is_removed {
                (Mode::Remove, format!("taking {} away", self.service), RouteTable { generation: 0, ..after })
            } else {
                (Mode::Switch, format!("switching to generation {}", after.generation), after)
            };
            self.progress.doing(&doing);
            let in_doubt = |failure: Failure| failure.undone_by([inverse(before)]);
            match send(connection, place, mode, before, &after).await.map_err(in_doubt)? {
                Answer::Done => {
                    self.in_force(connection, place, &after).await.map_err(in_doubt)?;
                    return Ok(Some((after, before.cloned())));
                }
                // What nginx reads without the file, such as a server block of the user's that includes it, it may not accept.
                Answer::Kept(_) if is_removed && before.is_some() => removes_empty = false,
                Answer::Kept(failure) => return Err(failure),
                // It had been taken away and not loaded, and is back.
                Answer::Conflict if is_removed && before.is_none() => {}
                Answer::Conflict => {
                    first.get_or_insert_with(|| before.cloned());
                }
            }
        }
        Err(busy(connection, self.service))
    }

    fn after(&self, before: Option<&RouteTable>, changed: &impl Fn(&RouteTable) -> RouteTable) -> Result<RouteTable, Failure> {
        let front = self.front.or_else(|| before.map(|table| &table.front));
        let front = front.ok_or_else(|| Failure::failed(format!("{} has no route table", self.service)))?;
        let base = before.cloned().unwrap_or_else(|| RouteTable::empty(self.project, self.service, front, self.token));
        Ok(RouteTable { generation: base.generation + 1, token: self.token.clone(), front: front.clone(), ..changed(&base) })
    }

    /// Whether nginx serves what the file says: a change that was killed on its way may have left a file that nobody loaded.
    async fn is_live(&self, connection: &Connection, found: &Look, table: &RouteTable) -> Result<bool, Failure> {
        let Ok(place) = found.usable(connection.host()) else { return Ok(true) };
        Ok(self.shown(connection, place).await? == Some(table.generation))
    }

    /// The generation that the service's own page shows, where nginx serves one.
    async fn shown(&self, connection: &Connection, place: &Place) -> Result<Option<u64>, Failure> {
        page::generation(connection, (&place.address, place.settings.page.1), self.project, self.service).await
    }

    /// Waits until the service's own page shows the table's generation; of one that was taken away (0) there is none.
    async fn in_force(&self, connection: &Connection, place: &Place, table: &RouteTable) -> Result<(), Failure> {
        let wanted = Some(table.generation).filter(|generation| *generation > 0);
        let mut shown = None;
        for pause in [0, 50, 100, 200, 400, 800, 1600] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            shown = self.shown(connection, place).await?;
            if shown == wanted {
                return Ok(());
            }
        }
        let told = |generation: Option<u64>| generation.map_or_else(|| "nothing".into(), |generation| format!("generation {generation}"));
        Err(Failure::failed(format!("nginx was reloaded with {} of {}, but its page shows {}", told(wanted), self.service, told(shown)))
            .on(&connection.host().name)
            .hint(format!("look which other nginx listens on {}:{} there", place.address, place.settings.page.1)))
    }
}

/// Whether two tables give the named hosts the same, by the same front.
fn agree(known: Option<&RouteTable>, now: Option<&RouteTable>, named: &[&HostName]) -> bool {
    let shares = |table: Option<&RouteTable>, host: &HostName| table.and_then(|table| table.shares.get(host)).cloned().unwrap_or_default();
    let previews =
        |table: Option<&RouteTable>, host: &HostName| table.and_then(|table| table.previews.get(host)).cloned().unwrap_or_default();
    let fronts = known.zip(now).is_none_or(|(known, now)| known.front == now.front);
    fronts && named.iter().all(|host| shares(known, host) == shares(now, host) && previews(known, host) == previews(now, host))
}

/// What a script does to a service's files.
#[derive(Clone, Copy)]
enum Mode {
    /// Puts new ones in force.
    Switch,
    /// Has nginx test new ones, and puts the old ones back.
    Test,
    /// Takes them away.
    Remove,
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Test => "test",
            Self::Remove => "remove",
        }
    }
}

/// How a script that changes nginx went, if it went well or can be tried again.
enum Answer {
    Done,
    /// The file is another one by now.
    Conflict,
    /// It did not go well, and the old configuration is in force.
    Kept(Failure),
}

async fn send(
    connection: &Connection,
    place: &Place,
    mode: Mode,
    before: Option<&RouteTable>,
    after: &RouteTable,
) -> Result<Answer, Failure> {
    if let Some(network) = place.inside.as_ref().and_then(Inside::own_network)
        && let Some(endpoint) = OwnNetwork::out_of_reach(after)
    {
        return Ok(Answer::Kept(Failure::out_of_reach(&network, endpoint, &connection.host().name)));
    }
    let content = match mode {
        Mode::Remove => String::new(),
        Mode::Switch | Mode::Test => content(after, place).map_err(|failure| failure.on(&connection.host().name))?,
    };
    let base = place.base(&after.project, &after.service);
    // Generations begin anew where a file was taken away: the token tells two first ones apart.
    let expected = before.map_or_else(|| "0 ".to_owned(), |table| format!("{} {}", table.generation, table.token));
    let lock = place.lock();
    let arguments = [mode.word(), &base, &place.pid, &place.flag, &lock, &expected, &place.error_log];
    let output = remote::nginx(connection, SCRIPT, &arguments, content.into_bytes(), LONGEST).await?;
    match answer(&output, after) {
        Ok(Answer::Kept(failure)) => Ok(Answer::Kept(failure.on(&connection.host().name))),
        other => other.map_err(|failure| failure.on(&connection.host().name)),
    }
}

/// A service's files as the script reads them.
fn content(table: &RouteTable, place: &Place) -> Result<String, Failure> {
    let Rendered { configuration, locations } = nginx_file::render(table, &place.settings)?;
    Ok(match locations {
        Some(locations) => format!("{configuration}# podlift locations\n{locations}"),
        None => configuration,
    })
}

/// Reads what the script printed. A failure leaves open which configuration is in force.
fn answer(output: &str, table: &RouteTable) -> Result<Answer, Failure> {
    let (word, rest) = output.trim().split_once([' ', '\n']).unwrap_or((output.trim(), ""));
    let service = &table.service;
    let failure = match word {
        "done" | "tested" => return Ok(Answer::Done),
        "conflict" => return Ok(Answer::Conflict),
        "refused" => Failure::failed(format!("nginx does not accept the new configuration of {service}; the old one is in its place"))
            .hint("read what nginx says: it names the file and the line"),
        "ignored" => Failure::failed(format!("nginx did not take the new configuration of {service}; the old one is in its place"))
            .hint("read nginx's error log there: often an address that it shall listen on is in use"),
        "lingering" => {
            return Err(Failure::new(
                FailureKind::Timeout,
                format!("an old worker of nginx still takes requests for {service} after 30 s"),
            )
            .hint(format!("look what the process {} waits for", rest.trim())));
        }
        "locked" => Failure::new(FailureKind::Locked, "another change of nginx has held its lock for a minute")
            .hint("look which podlift or which script of it still runs there"),
        "stopped" => Failure::refused("nginx is not running")
            .hint("start it there, for example with `systemctl start nginx`, or `docker start` where it is in a container"),
        "error" => {
            return Ok(Answer::Kept(
                Failure::failed(format!("nginx's files could not be changed: {rest}"))
                    .hint("look at the folder's rights and at free disk space"),
            ));
        }
        _ => {
            let message = format!("the change of {service} at nginx ended without an answer; its next change puts things right");
            return Err(Failure::failed(message).detail("nginx", rest));
        }
    };
    Ok(Answer::Kept(failure.detail("nginx", rest)))
}

fn busy(connection: &Connection, service: &ServiceName) -> Failure {
    Failure::new(FailureKind::Conflict, format!("{service} is being changed again and again by others"))
        .on(&connection.host().name)
        .hint("look who else deploys it now, then run again")
}

fn conflict(connection: &Connection, table: &RouteTable, found: u64) -> Failure {
    let expected = table.generation - 1;
    let how = if found == expected { "it was made anew".to_owned() } else { format!("it is generation {found}, not {expected}") };
    let message = format!("{}'s route table was changed by someone else: {how}", table.service);
    Failure::new(FailureKind::Conflict, message).on(&connection.host().name).hint("look what is live with `podlift ps`, then run again")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::connection::Request;

    #[tokio::test]
    async fn only_nginx_itself_says_why_it_took_no_configuration() {
        let here = Connection::new(Host::parse("local").expect("valid"), None, "/tmp".into(), Arc::default());
        let told = async |log: &str| {
            let script = format!("{}printf '%s\\n' \"$1\" | emergencies", remote::NGINX);
            remote::reading(&here, &script, &["nginx", "edge", "", log], Duration::from_secs(10)).await.expect("read")
        };
        let line = "2026/11/29 04:00:00 [emerg] 42#42: bind() to 0.0.0.0:80 failed (98: Address already in use)";
        assert_eq!(told(&format!("{line}\n{line}")).await, format!("{}\n", &line[20..]));
        let access = "10.0.0.1 - - [29/Nov/2026:04:00:00 +0000] \"GET / HTTP/1.1\" 200 2 \"-\" \"[emerg] 42#42: \"";
        let error = "2026/11/29 04:00:00 [error] 42#42: *1 no \"[emerg] 42#42: \" found";
        assert_eq!(told(&format!("{access}\n{error}\nnow {line}")).await, "");
    }

    /// The machine that has asked for a switch dies, and the script with it, in the middle of keeping the old file, or after it was
    /// taken away: the next one finds that file, whole.
    #[tokio::test]
    async fn a_script_that_is_killed_on_its_way_leaves_the_file_whole() {
        let here = Connection::new(Host::parse("local").expect("valid"), None, "/tmp".into(), Arc::default());
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let (old, first) = ("# podlift {\"generation\":1,\"token\":\"ab12\"}\nserver {}\n", "1 ab12");
        std::fs::write(path("web.conf"), old).expect("writes");
        let switch = async |mode: &str, expected: &str, copies: &str| {
            let nginx = "master() { echo 1; }\nchildren() { :; }\nrun_nginx() { :; }\nengine() { :; }\n";
            let (base, lock) = (path("web"), path("lock"));
            let script = format!("{nginx}{copies}{SCRIPT}");
            let flag = path("flag");
            let program = ["sh", "-c", &script, "switch", mode, &base, "", &flag, &lock, expected, ""];
            here.run(Request::new(&program).stdin(b"new\n".to_vec())).await.expect("it runs")
        };
        let killed = switch("test", first, "cp() { head -c 5 \"$2\" >\"$3\"; kill -9 $$; }\n").await;
        assert_ne!(killed.code, 0, "{killed:?}");
        assert_eq!(switch("test", first, "").await.stdout, "tested\n");
        assert_eq!(std::fs::read_to_string(path("web.conf")).expect("reads"), old);
        let killed = switch("remove", first, "run_nginx() { kill -9 $$; }\n").await;
        assert_ne!(killed.code, 0, "{killed:?}");
        assert!(!std::fs::exists(path("web.conf")).expect("it can be asked"), "it was taken away");
        assert_eq!(switch("test", first, "").await.stdout, "tested\n");
        assert_eq!(std::fs::read_to_string(path("web.conf")).expect("reads"), old);
        assert_eq!(switch("switch", "1 cd34", "").await.stdout, "conflict 1\n", "another first one, after this was taken away");
        // What nginx refuses to do without stays.
        let refused = switch("remove", first, "run_nginx() { echo no; return 1; }\n").await;
        assert_eq!((refused.stdout.as_str(), std::fs::read_to_string(path("web.conf")).expect("reads").as_str()), ("refused no\n", old));
    }

    fn table() -> RouteTable {
        let front = Front { domain: None, listen: 80, tls: None, server: true, sticky: None };
        let token = Token::new("0123456789").expect("valid");
        RouteTable::empty(&ProjectName::default(), &ServiceName::new("web").expect("valid"), &front, &token)
    }

    #[test]
    fn answers_keep_nginxs_words() {
        assert!(matches!(answer("done\n", &table()), Ok(Answer::Done)));
        assert!(matches!(answer("conflict 7\n", &table()), Ok(Answer::Conflict)));
        let Ok(Answer::Kept(failure)) = answer("refused nginx: [emerg] host not found\nnginx: test failed\n", &table()) else {
            panic!("the old one is kept")
        };
        assert_eq!(failure.details[0].text, "nginx: [emerg] host not found\nnginx: test failed");
        let Err(failure) = answer("", &table()) else { panic!("a failure") };
        assert!(failure.message.contains("without an answer"), "{failure}");
        assert!(answer("lingering 17\n", &table()).is_err(), "the new one is in force");
    }

    #[test]
    fn only_a_change_of_the_named_hosts_is_a_conflict() {
        let host = |name: &str| HostName::new(name).expect("valid");
        let (one, two) = (host("h1"), host("h2"));
        let mut now = table();
        now.generation = 1;
        now.shares.insert(two.clone(), Vec::new());
        assert!(agree(Some(&table()), Some(&now), &[&one]));
        assert!(agree(None, Some(&table()), &[&one]));
        now.front.listen = 81;
        assert!(!agree(Some(&table()), Some(&now), &[&one]));
    }
}
