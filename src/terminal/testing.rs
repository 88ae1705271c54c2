//! A run made by hand, and paper to print it on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{ProgressDrawTarget, TermLike};

use crate::{
    executor::{Call, Event, Key, Level, Narrator, Outcome, RunInfo},
    failure::{Failure, FailureKind, Origin},
    model::{
        Check, Container, ContainerFacts, ContainerName, ContainerState, Front, Health, Host, HostName, HostState, Period, ProjectName,
        ReleaseId, RouteTable, RunId, ServiceName, Share, Shared, Token, Version,
    },
    op::{Checks, Healthcheck, Now, Op, Pause, Ship, Shipped, Stop},
};

/// Keeps what is written.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal's screen without an end, of a fixed width.
#[derive(Clone, Debug)]
pub struct Screen {
    width: u16,
    grid: Arc<Mutex<Grid>>,
}

#[derive(Debug, Default)]
struct Grid {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

impl Screen {
    pub fn new(width: u16) -> Self {
        Self { width, grid: Arc::default() }
    }

    pub fn target(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like_with_hz(Box::new(self.clone()), 255)
    }

    pub fn text(&self) -> String {
        let grid = self.grid.lock().unwrap();
        let lines: Vec<String> = grid.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_string()).collect();
        lines.join("\n").trim_end().to_string()
    }

    fn put(&self, text: &str) {
        let mut grid = self.grid.lock().unwrap();
        for character in text.chars() {
            match character {
                '\n' => (grid.row, grid.column) = (grid.row + 1, 0),
                '\r' => grid.column = 0,
                _ => {
                    if grid.column == usize::from(self.width) {
                        (grid.row, grid.column) = (grid.row + 1, 0);
                    }
                    let (row, column) = (grid.row, grid.column);
                    if grid.lines.len() <= row {
                        grid.lines.resize(row + 1, Vec::new());
                    }
                    let line = &mut grid.lines[row];
                    if line.len() <= column {
                        line.resize(column + 1, ' ');
                    }
                    line[column] = character;
                    grid.column += 1;
                }
            }
        }
    }
}

impl io::Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.width
    }
    fn height(&self) -> u16 {
        50
    }
    fn move_cursor_up(&self, count: usize) -> io::Result<()> {
        let mut grid = self.grid.lock().unwrap();
        grid.row = grid.row.saturating_sub(count);
        Ok(())
    }
    fn move_cursor_down(&self, count: usize) -> io::Result<()> {
        self.grid.lock().unwrap().row += count;
        Ok(())
    }
    fn move_cursor_right(&self, count: usize) -> io::Result<()> {
        self.grid.lock().unwrap().column += count;
        Ok(())
    }
    fn move_cursor_left(&self, count: usize) -> io::Result<()> {
        let mut grid = self.grid.lock().unwrap();
        grid.column = grid.column.saturating_sub(count);
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(text);
        self.put("\n");
        Ok(())
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        let mut grid = self.grid.lock().unwrap();
        let row = grid.row;
        if let Some(line) = grid.lines.get_mut(row) {
            line.clear();
        }
        grid.column = 0;
        Ok(())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

pub fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

pub fn origin(line: usize) -> Origin {
    Origin { file: "deploy.rhai".into(), line, column: 1 }
}

pub fn call(op: impl Into<Shared<Op>>, number: usize, part: Option<usize>) -> Call {
    let run = RunInfo { id: RunId::new("r1").unwrap(), operator: "ann@laptop".into(), started: "2026-01-01T00:00:00Z".into() };
    let key = Key::call("", number);
    let key = part.map_or(key.clone(), |part| key.part(part));
    Call::new(op, key, origin(number), Arc::new(run))
}

pub fn ship(name: &str) -> Ship {
    Ship { host: host(name), from: host("local"), reference: "shop-web:v2".into(), digest: String::new() }
}

pub fn healthcheck(name: &str) -> Healthcheck {
    Healthcheck {
        host: host(name),
        project: ProjectName::new("shop").unwrap(),
        service: ServiceName::new("web").unwrap(),
        containers: vec![ContainerName::new("shop-web-v2-0123456789-1").unwrap()],
        health: Health::new(Check::Tcp),
    }
}

pub fn stop(name: &str) -> Stop {
    Stop {
        host: host(name),
        project: ProjectName::new("shop").unwrap(),
        service: ServiceName::new("web").unwrap(),
        containers: vec![ContainerName::new("shop-web-v1-0123456789-1").unwrap()],
        proxies: Vec::new(),
        timeout: Period::seconds(10),
        allow_downtime: false,
    }
}

/// Two hosts: `h1` serves v1 and, newer, v2 with a tenth of the traffic; on `h2` v1 has stopped.
pub fn fleet() -> BTreeMap<HostName, HostState> {
    let (project, service) = (ProjectName::new("shop").unwrap(), ServiceName::new("web").unwrap());
    let container = |host: &str, version: &str, port, state, at: &str| -> Container {
        ContainerFacts {
            name: ContainerName::new(format!("shop-web-{version}-0123456789-1")).unwrap(),
            host: HostName::new(host).unwrap(),
            project: project.clone(),
            service: service.clone(),
            version: Version::new(version).unwrap(),
            run: RunId::new(format!("r-{version}")).unwrap(),
            token: Token::new("0123456789").unwrap(),
            replica: 1,
            image: format!("shop-web:{version}"),
            digest: String::new(),
            address: "127.0.0.1".into(),
            port: Some(port),
            state,
            exit_code: (state == ContainerState::Stopped).then_some(0),
            health: Health::new(Check::Tcp),
            dependency: false,
            deployed_at: at.into(),
            deployed_by: "ann@laptop".into(),
        }
        .into()
    };
    let old = container("h1", "v1", 20000, ContainerState::Running, "2026-01-01T00:00:00Z");
    let new = container("h1", "v2", 20001, ContainerState::Running, "2026-01-02T22:30:00Z");
    let share = |container: &Container, weight| Share {
        release: ReleaseId { run: container.run.clone(), version: container.version.clone() },
        weight,
        containers: container.endpoint().into_iter().collect(),
    };
    let table = RouteTable {
        project: project.clone(),
        service: service.clone(),
        generation: 2,
        token: Token::new("0123456789").unwrap(),
        front: Front { domain: None, listen: 80, tls: None, server: true, sticky: None },
        previews: BTreeMap::new(),
        shares: BTreeMap::from([(old.host.clone(), vec![share(&old, 90), share(&new, 10)])]),
    };
    let state = |containers: Vec<Container>, tables: Vec<RouteTable>| HostState {
        containers: containers.into_iter().map(|container| (container.name.clone(), container)).collect(),
        routes: tables.into_iter().map(|table| (table.service.clone(), table)).collect(),
        ..HostState::default()
    };
    let stopped = container("h2", "v1", 20000, ContainerState::Stopped, "2026-01-01T00:00:00Z");
    let name = |name: &str| HostName::new(name).unwrap();
    BTreeMap::from([(name("h1"), state(vec![old, new], vec![table])), (name("h2"), state(vec![stopped], Vec::new()))])
}

/// Tells a run with two calls side by side, a phase, words of the script, a read on the way and a failure.
pub fn tell_a_run(narrator: &dyn Narrator) {
    let millis = Duration::from_millis;
    let now = call(Now {}, 1, None);
    narrator.tell(Event::Began { call: &now });
    narrator.tell(Event::Done { call: &now, outcome: &Outcome::of("2026-01-01T00:00:00Z"), took: millis(1) });
    narrator.tell(Event::PhaseBegan { title: "images", depth: 0 });
    let (one, two) = (call(ship("h1"), 2, Some(0)), call(ship("10.0.0.12"), 2, Some(1)));
    narrator.tell(Event::Began { call: &one });
    narrator.tell(Event::Began { call: &two });
    narrator.tell(Event::Progressed { call: &one, what: "sending", bytes: Some((512, 2048)) });
    narrator.tell(Event::Sent { host: "h1", what: "POST /images/load" });
    narrator.tell(Event::Done { call: &two, outcome: &Outcome::of(Shipped { sent: 0, reused: 2048, seconds: 0.1 }), took: millis(120) });
    narrator.tell(Event::Done {
        call: &one,
        outcome: &Outcome::of(Shipped { sent: 2048, reused: 1 << 20, seconds: 2.5 }),
        took: millis(2500),
    });
    narrator.tell(Event::PhaseEnded { title: "images", depth: 0, took: millis(2600) });
    narrator.tell(Event::Said { level: Level::Info, text: "half \u{1b}[31mway", origin: &origin(3) });
    narrator.tell(Event::Said { level: Level::Warn, text: "one host is slow", origin: &origin(4) });
    let pause = call(Pause { period: Period::seconds(3) }, 3, None);
    narrator.tell(Event::Began { call: &pause });
    narrator.tell(Event::Done { call: &pause, outcome: &Outcome::of(()), took: millis(3000) });
    let health = call(healthcheck("h1"), 4, Some(0));
    narrator.tell(Event::Began { call: &health });
    narrator.tell(Event::Done { call: &health, outcome: &Outcome::of(Checks { seconds: 2.0, checks: 3 }), took: millis(2000) });
    let health = call(healthcheck("10.0.0.12"), 4, Some(1));
    narrator.tell(Event::Began { call: &health });
    let failure = Failure::new(FailureKind::Unhealthy, "shop-web-v2-0123456789-1 is not healthy:\n\u{1b}[2Jconnection refused");
    narrator.tell(Event::Failed { call: &health, failure: &failure, took: millis(65_000) });
}
