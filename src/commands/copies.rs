//! Copies of a run's journal on its hosts, written while it goes on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, task::JoinSet, time::timeout};

use super::outside::Outside;
use crate::{
    failure::Failure,
    fleet::{Fleet, journals},
    journal::{Asked, Chain, Entry, Intent, Store, chain::head, forks::Copy},
    model::{Host, HostName, RunId},
    op::{Class, Op},
};

/// How long what deletes something waits until a host has noted that it is coming; it is done all the same.
const TRIED: Duration = Duration::from_secs(5);

/// How long a command that cannot be repeated waits until a host has noted that it is coming.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(15);

/// How long a run at its end waits for its copies.
const LAST_COPIES: Duration = Duration::from_secs(2);

/// How often in a row a host may fail before it is given up, and how long podlift waits in between.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);

/// Writes copies of a journal to every host that the run changes, without waiting for them.
pub struct Copies {
    fleet: Fleet,
    runtime: Handle,
}

/// Those of a run over this fleet.
pub fn of(outside: &Outside) -> Copies {
    Copies { fleet: outside.fleet().clone(), runtime: outside.runtime().clone() }
}

impl Copies {
    /// A store that also copies what goes into `inner`, which holds `chain` already.
    pub fn over<S: Store>(self, inner: S, run: RunId, chain: &Chain) -> Copied<S> {
        let (length, _) = watch::channel(chain.text().len());
        let text = Arc::new(Mutex::new(chain.text().to_owned()));
        let begin = chain.text().len();
        let mut copied =
            Copied { inner, copies: self, run, text, begin, length, hosts: BTreeMap::new(), writers: JoinSet::new(), is_unheard: false };
        for entry in chain.entries() {
            copied.meet(entry);
        }
        copied
    }
}

/// A store with copies.
pub struct Copied<S> {
    inner: S,
    copies: Copies,
    run: RunId,
    text: Arc<Mutex<String>>,
    /// How much there was before this process: nothing is copied until that is more, and so tells who has taken the run over.
    begin: usize,
    length: watch::Sender<usize>,
    /// How much each host has; `None` of one that was given up.
    hosts: BTreeMap<HostName, watch::Receiver<Option<usize>>>,
    /// What writes to them.
    writers: JoinSet<()>,
    /// Whether a deletion has waited in vain for a host to note it.
    is_unheard: bool,
}

impl<S> Copied<S> {
    /// Begins to write to the hosts that a change is about.
    fn meet(&mut self, entry: &Entry) {
        let Entry::Intent(intent) = entry else { return };
        if !intent.asked.op.class().changes() {
            return;
        }
        for host in intent.asked.op.hosts().into_iter().filter(|host| !host.is_local()) {
            if !self.hosts.contains_key(&host.name) {
                let (kept, has) = watch::channel(Some(0));
                let writer = Writer { host: host.clone(), run: self.run.clone(), text: self.text.clone(), begin: self.begin, kept };
                self.writers.spawn_on(writer.write(self.copies.fleet.clone(), self.length.subscribe()), &self.copies.runtime);
                self.hosts.insert(host.name.clone(), has);
            }
        }
    }

    /// For each host, whether it comes to have all that was written so far.
    fn complete(&self) -> Vec<impl Future<Output = bool> + Unpin + use<S>> {
        let length = lock(&self.text).len();
        let hosts = self.hosts.values().cloned();
        hosts.map(|has| Box::pin(has_all(has, length))).collect()
    }

    /// Waits until a host has all that was written so far; `false` if none does in time.
    fn wait_for_one(&self, at_most: Duration) -> bool {
        let mut rest = self.complete();
        let wait = async {
            while !rest.is_empty() {
                let (has, _, others) = futures_util::future::select_all(rest).await;
                if has {
                    return true;
                }
                rest = others;
            }
            false
        };
        self.copies.runtime.block_on(async { timeout(at_most, wait).await.unwrap_or(false) })
    }

    /// Waits until every host has all that was written so far, or was given up; a host that does not answer in time is not tried
    /// any longer, so that nothing waits for its connection.
    fn finish(&mut self) {
        let wait = futures_util::future::join_all(self.complete());
        let _ = self.copies.runtime.block_on(async { timeout(LAST_COPIES, wait).await });
        self.writers.abort_all();
    }
}

impl<S: Store> Store for Copied<S> {
    fn append(&mut self, entry: &Entry, line: &str) -> io::Result<()> {
        self.inner.append(entry, line)?;
        lock(&self.text).push_str(line);
        self.meet(entry);
        self.length.send_replace(lock(&self.text).len());
        if let Entry::Ended(_) = entry {
            self.finish();
        }
        Ok(())
    }

    fn acknowledge(&mut self, entry: &Entry) -> io::Result<()> {
        let Entry::Intent(Intent { asked, .. }) = entry else { return Ok(()) };
        // A run whose lease was taken over reaches no host any more.
        let fleet = self.copies.fleet.clone();
        let lost = || fleet.lost();
        match Note::of(asked) {
            _ if self.hosts.is_empty() => return Ok(()),
            Note::Behind => return Ok(()),
            Note::Tried => {
                // Where no host takes a note, not every deletion waits for that.
                self.is_unheard = self.is_unheard || lost().is_none() && !self.wait_for_one(TRIED);
                return Ok(());
            }
            Note::Needed if lost().is_none() && self.wait_for_one(ACKNOWLEDGEMENT) => return Ok(()),
            Note::Needed => {}
        }
        if let Some(lost) = lost() {
            return Err(io::Error::other(lost.message));
        }
        let (verb, what) = (asked.op.verb(), asked.op.describe());
        Err(io::Error::other(format!("no host of the run could note that `{verb}` {what}, which cannot be repeated, is coming")))
    }
}

/// What a host of the run has to know of an op before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    /// Nothing: the copies come behind it. Whoever goes on without the last lines finds on the hosts what was done.
    Behind,
    /// That it is coming, where a host can be told soon: it deletes what nothing brings back. A machine that has the copies only could
    /// not say of what is gone that this run did it. What an undo deletes is the run's own.
    Tried,
    /// That it is coming, or it is not done: it cannot be repeated, and matters to the run. A run is not to fail, nor to end without
    /// an undo, because nobody could note that a mail is coming.
    Needed,
}

impl Note {
    fn of(Asked { op, key, .. }: &Asked) -> Self {
        match &**op {
            op if op.deletes() && !key.is_undo() => Self::Tried,
            Op::Hook(hook) if !hook.matters() => Self::Behind,
            op if op.class() == Class::Once => Self::Needed,
            _ => Self::Behind,
        }
    }
}

/// Whether a host comes to have this much, and is not given up.
async fn has_all(mut has: watch::Receiver<Option<usize>>, length: usize) -> bool {
    has.wait_for(|has| has.is_none_or(|has| has >= length)).await.is_ok_and(|has| has.is_some())
}

/// Writes one host's copy.
struct Writer {
    host: Host,
    run: RunId,
    text: Arc<Mutex<String>>,
    begin: usize,
    kept: watch::Sender<Option<usize>>,
}

impl Writer {
    async fn write(self, fleet: Fleet, mut length: watch::Receiver<usize>) {
        let mut has = 0;
        let mut failed = 0;
        while length.wait_for(|length| *length > has.max(self.begin)).await.is_ok() {
            let lines = lock(&self.text)[has..].to_owned();
            match self.append(&fleet, has, &lines).await {
                Ok(journals::Answer::Kept) => {
                    has += lines.len();
                    failed = 0;
                    self.kept.send_replace(Some(has));
                }
                Ok(journals::Answer::Other) if has > 0 => has = 0,
                _ if failed < TRIES => {
                    failed += 1;
                    tokio::time::sleep(PAUSE * failed).await;
                }
                _ => {
                    self.kept.send_replace(None);
                    return;
                }
            }
        }
    }

    async fn append(&self, fleet: &Fleet, has: usize, lines: &str) -> Result<journals::Answer, Failure> {
        let before = head(&lock(&self.text)[..has]).to_owned();
        let all = if has == 0 { Chain::read(lines)? } else { Chain::default() };
        let instead_of: Vec<&str> = all.instead_of().collect();
        journals::append(&*fleet.host(&self.host).await?, &self.run, has, &before, &instead_of, lines).await
    }
}

/// The journals that these hosts keep: of this run, or of all. A host that does not answer is an error only where none does.
pub fn read(outside: &Outside, hosts: &[Host], run: Option<&RunId>) -> Result<Vec<(RunId, Copy)>, Failure> {
    let fleet = outside.fleet();
    let of_host = |host: Host| async move {
        let connection = fleet.host(&host).await?;
        let runs = match run {
            Some(run) => vec![run.clone()],
            None => journals::list(&connection).await?,
        };
        let mut found = Vec::new();
        for run in runs {
            let text = journals::read(&connection, &run).await?;
            if !text.is_empty() {
                let named = |failure: Failure| Failure { message: format!("run {run} on {}: {}", host.name, failure.message), ..failure };
                let chain = Chain::read(&text).map_err(named)?;
                found.push((run, Copy { place: host.name.to_string(), chain }));
            }
        }
        Ok::<_, Failure>(found)
    };
    let answers = outside.runtime().block_on(futures_util::future::join_all(hosts.iter().cloned().map(of_host)));
    let (mut copies, mut failures) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(mut found) => copies.append(&mut found),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.into_iter().next() {
        Some(failure) if copies.is_empty() => Err(failure),
        _ => Ok(copies),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{failure::Origin, model::Key, op::Hook};

    fn noted(key: Key, op: impl Into<Op>) -> Note {
        let origin = Origin { file: "deploy.rhai".into(), line: 1, column: 1 };
        Note::of(&Asked { key, origin, op: op.into().into() })
    }

    #[test]
    fn a_mail_needs_no_host_that_notes_it() {
        let mail = json!({ "place": { "where": "local" }, "command": ["sendmail"], "env": {}, "timeout": "30s", "check": false });
        let needs = |name: &str, value: Value| {
            let mut hook = mail.clone();
            hook[name] = value;
            noted(Key::call("", 1), serde_json::from_value::<Hook>(hook).expect("a hook"))
        };
        assert_eq!(needs("name", json!("mail")), Note::Behind);
        assert_eq!(needs("check", json!(true)), Note::Needed, "what may fail the run");
        assert_eq!(needs("undo", json!(["undo-it"])), Note::Needed, "what is taken back");
    }

    #[test]
    fn a_host_is_told_before_something_is_deleted_for_good() {
        let of = |verb: &str| {
            let host = Host::parse("h1").expect("valid");
            let op = json!({
                "op": verb, "host": host, "project": "shop", "service": "web", "proxies": [], "containers": [], "versions": [], "images": [],
                "timeout": "10s", "allow_downtime": false,
            });
            serde_json::from_value::<Op>(op).expect("an op")
        };
        let key = Key::call("", 1);
        for (verb, note) in [("remove", Note::Tried), ("prune", Note::Tried), ("stop", Note::Behind)] {
            assert_eq!(noted(key.clone(), of(verb)), note, "{verb}");
        }
        assert_eq!(noted(key.undo(0), of("remove")), Note::Behind, "that is the run's own");
    }
}
