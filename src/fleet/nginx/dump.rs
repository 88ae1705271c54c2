//! What `nginx -T` shows: where files are included, which fronts are taken, where nginx keeps its pid.

use std::collections::{BTreeMap, BTreeSet};

use super::{syntax, syntax::Directive};
use crate::{
    model::{ProjectName, RouteTable, TakenFront},
    nginx_file,
};

/// What stands in front of each file.
const FILE: &str = "# configuration file ";

/// nginx's whole configuration, with its includes resolved.
#[derive(Debug, Default)]
pub struct Dump {
    /// The folder of the first `include FOLDER/*.conf` inside `http`, without a slash behind.
    pub folder: Option<String>,
    /// The path in a `pid` directive.
    pub pid: Option<String>,
    /// The path in the main `error_log` directive.
    pub error_log: Option<String>,
    /// The server blocks inside `http`, in nginx's order.
    servers: Vec<ServerBlock>,
    /// The files by path, as text.
    files: BTreeMap<String, String>,
}

/// A server block, as far as it matters to others.
#[derive(Debug)]
struct ServerBlock {
    file: String,
    listens: Vec<Listen>,
    names: Vec<String>,
}

/// One `listen` on every address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listen {
    port: u16,
    default: bool,
}

impl Dump {
    /// Reads the output of `nginx -T`; `prefix` is the folder that relative paths start from.
    pub fn read(text: &str, prefix: &str) -> Self {
        let files = files(text);
        let parsed: BTreeMap<&str, Vec<Directive>> = files.iter().map(|(path, text)| (path.as_str(), syntax::read(text))).collect();
        let main = text.lines().find_map(path_of_file).unwrap_or_default().to_owned();
        let mut walk = Walk { files: &parsed, prefix, dump: Self::default(), open: Vec::new() };
        walk.file(&main, &[]);
        let mut dump = walk.dump;
        dump.files = files;
        dump
    }

    /// podlift's route tables in it, and the paths of files of podlift's whose first line cannot be read.
    pub fn tables(&self) -> (Vec<RouteTable>, Vec<String>) {
        let (mut tables, mut broken) = (Vec::new(), Vec::new());
        for (path, text) in &self.files {
            match nginx_file::parse(text) {
                Ok(table) => tables.extend(table),
                Err(_) => broken.push(path.clone()),
            }
        }
        (tables, broken)
    }

    /// The fronts that something other than this project's services has. A block without a name that comes first on its port is
    /// the port's default server just as one that says so.
    pub fn taken_fronts(&self, project: &ProjectName) -> Vec<TakenFront> {
        let own: BTreeSet<&str> = self
            .files
            .iter()
            .filter(|(_, text)| nginx_file::parse(text).ok().flatten().is_some_and(|table| &table.project == project))
            .map(|(path, _)| path.as_str())
            .collect();
        let others = || self.servers.iter().filter(|server| !own.contains(server.file.as_str()));
        let mut fronts = Vec::new();
        let mut add = |listen: u16, domain: Option<&str>, file: &str| {
            let front = TakenFront { listen, domain: domain.map(Into::into), file: file.into() };
            if !fronts.iter().any(|known: &TakenFront| (known.listen, &known.domain) == (front.listen, &front.domain)) {
                fronts.push(front);
            }
        };
        // Where a block says that it is the default, no other one is; one of this project's own may be that block.
        let mut claimed: BTreeSet<u16> =
            self.servers.iter().flat_map(|server| &server.listens).filter(|listen| listen.default).map(|listen| listen.port).collect();
        for server in others() {
            let nameless = server.names.iter().all(|name| name.is_empty() || name == "_");
            for listen in server.listens.iter().filter(|listen| listen.port != 0) {
                let first = claimed.insert(listen.port);
                if listen.default || (first && nameless) {
                    add(listen.port, None, &server.file);
                }
                for name in server.names.iter().filter(|name| !name.is_empty() && *name != "_") {
                    add(listen.port, Some(name), &server.file);
                }
            }
        }
        fronts
    }
}

fn path_of_file(line: &str) -> Option<&str> {
    line.strip_prefix(FILE)?.strip_suffix(':').filter(|path| path.starts_with('/'))
}

fn files(text: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    let mut path = None;
    for line in text.lines() {
        if let Some(next) = path_of_file(line) {
            path = Some(next);
            files.entry(next.into()).or_default();
        } else if let Some(text) = path.and_then(|path| files.get_mut(path)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    files
}

/// Walks through the files as nginx does, into includes where they stand.
struct Walk<'a> {
    files: &'a BTreeMap<&'a str, Vec<Directive>>,
    prefix: &'a str,
    dump: Dump,
    /// The files that it is in: nginx itself refuses a circle, a hostile dump may have one.
    open: Vec<String>,
}

impl Walk<'_> {
    fn file(&mut self, path: &str, blocks: &[&str]) {
        if self.open.iter().any(|open| open == path) || self.open.len() > 32 {
            return;
        }
        let files = self.files;
        let Some(directives) = files.get(path) else { return };
        self.open.push(path.into());
        self.directives(directives, path, blocks);
        self.open.pop();
    }

    fn directives(&mut self, directives: &[Directive], path: &str, blocks: &[&str]) {
        for directive in directives {
            let argument = directive.arguments().first().map(String::as_str);
            match (directive.name(), blocks, argument) {
                ("include", _, Some(pattern)) => self.include(pattern, blocks),
                ("pid", [], Some(file)) => self.dump.pid = Some(self.absolute(file)),
                ("error_log", [], Some(file)) => self.dump.error_log = Some(self.absolute(file)),
                ("http", [], _) => self.directives(directive.children(), path, &["http"]),
                ("server", ["http"], _) => {
                    let mut server = ServerBlock { file: path.into(), listens: Vec::new(), names: Vec::new() };
                    self.server(directive.children(), &mut server, 0);
                    if server.listens.is_empty() {
                        server.listens.push(Listen { port: 80, default: false });
                    }
                    self.dump.servers.push(server);
                }
                _ => {}
            }
        }
    }

    fn server(&self, directives: &[Directive], server: &mut ServerBlock, depth: usize) {
        for directive in directives {
            match (directive.name(), directive.arguments()) {
                ("listen", [address, options @ ..]) => {
                    let default = options.iter().any(|option| option == "default_server" || option == "default");
                    match port_of(address) {
                        Some(port) => server.listens.push(Listen { port, default }),
                        // It listens, but not where podlift's services do.
                        None => server.listens.push(Listen { port: 0, default: false }),
                    }
                }
                ("server_name", names) => server.names.extend(names.iter().map(|name| name.to_ascii_lowercase())),
                ("include", [pattern]) if depth < 8 => {
                    for path in self.matching(pattern) {
                        self.server(&self.files[path.as_str()], server, depth + 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn include(&mut self, pattern: &str, blocks: &[&str]) {
        let pattern = self.absolute(pattern);
        if let (["http"], Some(folder)) = (blocks, pattern.strip_suffix("/*.conf")) {
            self.dump.folder.get_or_insert_with(|| folder.into());
        }
        for path in self.matching(&pattern) {
            self.file(&path, blocks);
        }
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let pattern: Vec<char> = self.absolute(pattern).chars().collect();
        self.files.keys().filter(|path| matches(&pattern, &path.chars().collect::<Vec<_>>())).map(|path| (*path).into()).collect()
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') { path.into() } else { format!("{}/{path}", self.prefix.trim_end_matches('/')) }
    }
}

/// The port of a `listen` on every address; `None` for one address, the loopback interface or a socket.
fn port_of(address: &str) -> Option<u16> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ if address.chars().all(|character| character.is_ascii_digit()) => ("*", address),
        _ => (address, "80"),
    };
    ["*", "0.0.0.0", "[::]"].contains(&host).then(|| port.parse().ok()).flatten()
}

/// Whether a path fits a pattern of `glob(3)`: `*` and `?` within one part of the path, `[…]` one character of a set.
fn matches(pattern: &[char], path: &[char]) -> bool {
    match (pattern.first(), path.first()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&pattern[1..], path) || path.first().is_some_and(|character| *character != '/' && matches(pattern, &path[1..]))
        }
        (Some('?'), Some(character)) => *character != '/' && matches(&pattern[1..], &path[1..]),
        (Some('['), Some(character)) => {
            let Some(end) = pattern.iter().skip(2).position(|character| *character == ']').map(|position| position + 2) else {
                return false;
            };
            let (negated, set) = match pattern[1] {
                '!' | '^' => (true, &pattern[2..end]),
                _ => (false, &pattern[1..end]),
            };
            let within =
                set.contains(character) || set.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(character));
            within != negated && matches(&pattern[end + 1..], &path[1..])
        }
        (Some(wanted), Some(character)) => wanted == character && matches(&pattern[1..], &path[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Dump {
        let text: Vec<String> = files.iter().map(|(path, text)| format!("{FILE}{path}:\n{text}\n")).collect();
        Dump::read(&text.concat(), "/etc/nginx")
    }

    fn fronts(dump: &Dump) -> Vec<(u16, Option<&str>, &str)> {
        let project = ProjectName::new("shop").expect("valid");
        let fronts = dump.taken_fronts(&project).leak();
        fronts.iter().map(|front| (front.listen, front.domain.as_deref(), front.file.as_str())).collect()
    }

    const DEBIAN: &str = "user www-data;\npid /run/nginx.pid;\nerror_log /var/log/nginx/error.log;\ninclude /etc/nginx/modules-enabled/*.conf;\n\
        events { worker_connections 768; }\nhttp {\n\t# include /etc/nginx/other/*.conf; }\n\tinclude /etc/nginx/mime.types;\n\
        \tlog_format odd '{ $msec } #';\n\tinclude /etc/nginx/conf.d/*.conf;\n\tinclude /etc/nginx/sites-enabled/*;\n}\n#mail {\n#\tserver { listen 110; }\n#}\n";
    const SITE: &str = "# Default server { configuration\nserver {\n\tlisten 80 default_server;\n\tlisten [::]:80 default_server;\n\
        \troot /var/www/html;\n\tserver_name _;\n\tlocation / { try_files $uri $uri/ =404; }\n}\n#server { listen 80; server_name example.com; }\n";

    #[test]
    fn debians_stock_configuration_takes_port_80() {
        let dump = read(&[
            ("/etc/nginx/nginx.conf", DEBIAN),
            ("/etc/nginx/mime.types", "types { text/html html; }"),
            ("/etc/nginx/sites-enabled/default", SITE),
        ]);
        assert_eq!(dump.folder.as_deref(), Some("/etc/nginx/conf.d"));
        assert_eq!(dump.pid.as_deref(), Some("/run/nginx.pid"));
        assert_eq!(dump.error_log.as_deref(), Some("/var/log/nginx/error.log"));
        assert_eq!(fronts(&dump), [(80, None, "/etc/nginx/sites-enabled/default")]);
    }

    #[test]
    fn alpines_conf_d_is_outside_http() {
        let main = "user nginx;\ninclude /etc/nginx/modules/*.conf;\ninclude /etc/nginx/conf.d/*.conf;\nevents {}\nhttp {\n\
            map $http_upgrade $connection_upgrade { default upgrade; '' close; }\ninclude /etc/nginx/http.d/*.conf;\n}\n";
        let default = "server {\n\tlisten 80 default_server;\n\tlocation / { return 404; }\n}\n";
        let dump = read(&[("/etc/nginx/nginx.conf", main), ("/etc/nginx/http.d/default.conf", default)]);
        assert_eq!(dump.folder.as_deref(), Some("/etc/nginx/http.d"));
        assert_eq!(dump.pid, None);
        assert_eq!(fronts(&dump), [(80, None, "/etc/nginx/http.d/default.conf")]);
    }

    #[test]
    fn relative_and_nested_includes_are_followed() {
        let dump = read(&[
            ("/etc/nginx/nginx.conf", "http { include web.conf; }"),
            ("/etc/nginx/web.conf", "include sites/*.conf;"),
            ("/etc/nginx/sites/a.conf", "server { include names; listen 8080; }"),
            ("/etc/nginx/names", "server_name A.example.com b.example.com;"),
        ]);
        assert_eq!(dump.folder.as_deref(), Some("/etc/nginx/sites"));
        let file = "/etc/nginx/sites/a.conf";
        assert_eq!(fronts(&dump), [(8080, Some("a.example.com"), file), (8080, Some("b.example.com"), file)]);
    }

    #[test]
    fn a_nameless_block_is_the_default_only_if_it_comes_first() {
        let main = "http { server { listen 80; } server { listen 81; server_name x; } server { listen *:81; } server { listen 127.0.0.1:82 default_server; } server { server_name y; } }";
        let file = "/etc/nginx/nginx.conf";
        assert_eq!(fronts(&read(&[(file, main)])), [(80, None, file), (81, Some("x"), file), (80, Some("y"), file)]);
    }

    #[test]
    fn another_projects_service_takes_its_front_and_ones_own_does_not() {
        let own = r#"# podlift {"project":"shop","service":"web","generation":3,"token":"0123456789","front":{"listen":80,"server":true},"shares":{}}"#;
        let other = own.replace("shop", "blog").replace("80", "81");
        let dump = read(&[
            ("/etc/nginx/nginx.conf", "http { include conf.d/*.conf; }"),
            ("/etc/nginx/conf.d/podlift-shop.web.conf", &format!("{own}\nserver {{ listen 80 default_server; }}")),
            ("/etc/nginx/conf.d/podlift-blog.web.conf", &format!("{other}\nserver {{ listen 81 default_server; }}")),
            ("/etc/nginx/conf.d/podlift-blog.odd.conf", "# podlift {broken\n"),
        ]);
        assert_eq!(fronts(&dump), [(81, None, "/etc/nginx/conf.d/podlift-blog.web.conf")]);
        let (tables, broken) = dump.tables();
        assert_eq!(tables.len(), 2);
        assert_eq!(broken, ["/etc/nginx/conf.d/podlift-blog.odd.conf"]);
    }

    #[test]
    fn hostile_dumps_end() {
        let dump = read(&[
            ("/etc/nginx/nginx.conf", "include nginx.conf; http { include *; include a.conf; } server {"),
            ("/etc/nginx/a.conf", "include a.conf;"),
        ]);
        assert!(fronts(&dump).is_empty());
        assert!(Dump::read("", "").folder.is_none());
    }

    #[test]
    fn patterns_are_those_of_glob() {
        let fits = |pattern: &str, path: &str| matches(&pattern.chars().collect::<Vec<_>>(), &path.chars().collect::<Vec<_>>());
        assert!(fits("/a/*.conf", "/a/b.conf"));
        assert!(!fits("/a/*.conf", "/a/b/c.conf"));
        assert!(fits("/a/?[0-9][!x]", "/a/b7y"));
        assert!(!fits("/a/[", "/a/b"));
        assert!(!fits("/a/?", "/a/"));
    }
}
