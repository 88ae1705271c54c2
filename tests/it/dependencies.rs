//! A Postgres and a Redis beside a web service, on real hosts: they run once, whatever becomes of the deploys, and their data is kept.
//!
//! There is no registry to pull them from: the host gets images of their names that are made of Debian's programs and do with their
//! environment as the official ones do.

use std::process::Command;

use crate::podlift::Project;
use crate::postgres::program;
use crate::rig::{Rig, RigOptions, output};

/// Packs an image of programs of this machine: the archive, its entry point, the programs, and further folders.
const IMAGE: &str = r#"
set -e
archive=$1 entry=$2 programs=$3 folders=$4
root=$(mktemp -d)
cd "$root"
mkdir -p bin etc tmp run/postgresql var/lib
ln -s /run var/run
chmod 1777 tmp run/postgresql
printf 'root:x:0:0::/:/bin/sh\npostgres:x:70:70::/:/bin/sh\n' >etc/passwd
printf 'root:x:0:\npostgres:x:70:\n' >etc/group
cp /bin/busybox bin/busybox
for applet in sh su chown mkdir cat tar; do ln -s busybox bin/$applet; done
for file in $programs $(ldd $programs | grep -o '/[^ ]*' | grep -v ':$'); do
  mkdir -p ".${file%/*}"
  cp -L "$file" ".$file"
done
for file in $programs; do ln -sf "$file" "bin/${file##*/}"; done
for folder in $folders; do mkdir -p ".$folder"; cp -r "$folder/." ".$folder"; done
printf '%s' "$entry" >entry
chmod 755 entry
tar -cf "$archive" .
rm -r "$root"
"#;

/// What the official Postgres does with its environment at its first start, and at each.
const POSTGRES: &str = r#"
set -e
[ "$#" = 0 ] || exec "$@"
data=/var/lib/postgresql/data
mkdir -p $data
chown postgres $data
if ! [ -s $data/PG_VERSION ]; then
  echo "$POSTGRES_PASSWORD" >/tmp/password
  su postgres -c "initdb --pgdata=$data --username=postgres --auth-local=trust --pwfile=/tmp/password --encoding=UTF8 --no-locale --no-sync"
  echo 'host all all all scram-sha-256' >>$data/pg_hba.conf
  echo "CREATE DATABASE $POSTGRES_DB;" | su postgres -c "postgres --single -D $data postgres"
fi
exec su postgres -c "exec postgres -D $data -c listen_addresses=*"
"#;

/// The official Redis runs what it is given, in the folder of its data.
const REDIS: &str = "mkdir -p /data && cd /data && exec \"$@\"";

const SHOP: &str = r#"
import "std/backup" as backup;
import "std/dependencies" as dependencies;
import "std/places" as places;
import "std/rolling" as rolling;
project("PROJECT");
let p = params(#{ version: "v1", fails: false, step: "deploy" });
let fleet = [host("h1", #{ labels: #{ role: "web" } }), host("h2", #{ labels: #{ role: "web", primary: "yes" } })];
let primary = places::primary(fleet);
let db = dependencies::postgres(primary, secret("DB_PASSWORD"), #{ database: "shop", name: "db", port: 15432, network: "shop", memory: "256m" });
let cache = dependencies::redis(primary, #{ port: 16379, network: "shop", password: secret("CACHE_PASSWORD") });
let shop = database(`postgres://postgres:${secret("DB_PASSWORD")}@127.0.0.1:15432/shop`, #{ via: primary });
switch p.step {
    "deploy" => {
        let web = service("web", #{ port: 8000, health: http("/health"), network: "shop" });
        let img = build(web, #{ tag: p.version, args: #{ VERSION: p.version } });
        ship(img, fleet);
        shop.sql("CREATE TABLE IF NOT EXISTS orders (id int); INSERT INTO orders VALUES (1)");
        rolling::deploy(web, img, places::by_role(fleet, "web"));
        ensure(!p.fails, "as it was asked to");
    },
    "backup" => {
        let file = backup::dump(db, ["pg_dump", "-U", "postgres", "-Fc", "shop"], "/var/backups/shop", #{ keep: 2, check: ["pg_restore", "--list"] });
        shop.sql("DELETE FROM orders WHERE true");
        backup::restore(db, file, ["pg_restore", "-U", "postgres", "--clean", "-d", "shop"]);
        backup::folder(cache, "/data", "/var/backups/shop");
    },
    _ => fail("there is no such step"),
}
"#;

const PASSWORD: &str = "correct-horse-battery";

struct Shop {
    rig: Rig,
    project: Project,
}

impl Shop {
    fn new() -> Self {
        let rig = Rig::up(RigOptions { hosts: 2, ..RigOptions::default() });
        let postgres = program("postgres");
        let (bin, version) = (postgres.parent().expect("a folder"), postgres.components().nth_back(2).expect("a version"));
        let programs =
            ["postgres", "initdb", "psql", "pg_isready", "pg_dump", "pg_restore"].map(|name| bin.join(name).display().to_string());
        let version = version.as_os_str().to_string_lossy();
        let folders = format!("{} /usr/share/postgresql/{version}", bin.with_file_name("lib").display());
        for (name, entry, programs, folders) in [
            ("postgres:16", POSTGRES, programs.join(" ").as_str(), folders.as_str()),
            ("redis:7", REDIS, "/usr/bin/redis-server /usr/bin/redis-cli", ""),
        ] {
            let archive = rig.state().join("h2/root/image.tar");
            output(Command::new("sh").args(["-c", IMAGE, "sh"]).arg(archive).args([entry, programs, folders]), "").text();
            rig.exec(2, &["docker", "import", "--change", "ENTRYPOINT [\"/bin/sh\", \"/entry\"]", "/root/image.tar", name]).text();
            rig.exec(2, &["rm", "/root/image.tar"]).text();
        }
        let project = Project::on(&rig).env("DB_PASSWORD", PASSWORD).env("CACHE_PASSWORD", "staple");
        project.write("deploy.rhai", &SHOP.replace("PROJECT", &format!("shop{}", rig.id())));
        Self { rig, project }
    }

    #[track_caller]
    fn ends(&self, code: i32, arguments: &[&str]) {
        let output = self.project.podlift(&[&["run", "deploy.rhai"], arguments].concat());
        assert_eq!(output.code, code, "{arguments:?}\n{}{}", output.stdout, output.stderr);
    }

    /// The dependencies' containers, and since when they run.
    fn dependencies(&self) -> String {
        let format = "{{.ID}} {{.Names}} {{.State}}";
        let listed =
            self.rig.exec(2, &["docker", "ps", "--all", "--filter", "label=podlift.dependency", "--format", format]).text().to_owned();
        let ids: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
        let started = self.rig.exec(2, &[&["docker", "inspect", "--format", "{{.State.StartedAt}}"], &ids[..]].concat());
        format!("{listed}\n{}", started.text())
    }

    /// What a program says in a container of an image in the service's network.
    #[track_caller]
    fn says(&self, image: &str, command: &[&str]) -> String {
        let run = ["docker", "run", "--rm", "--network", "shop", "--env", "PGPASSWORD", "--env", "REDISCLI_AUTH", image];
        let words = ["env", "PGPASSWORD=correct-horse-battery", "REDISCLI_AUTH=staple"];
        self.rig.exec(2, &[&words[..], &run, command].concat()).text().to_owned()
    }

    fn orders(&self) -> String {
        self.says("postgres:16", &["psql", "-h", "db", "-U", "postgres", "-d", "shop", "-Atc", "SELECT count(*) FROM orders"])
    }
}

#[test]
fn a_postgres_and_a_redis_run_once_whatever_becomes_of_the_deploys_and_their_data_is_kept_and_backed_up() {
    let shop = Shop::new();
    shop.ends(0, &[]);
    let there = shop.dependencies();
    assert_eq!(there.matches(" running").count(), 2, "{there}");
    assert_eq!(
        shop.rig.exec(1, &["docker", "ps", "--quiet", "--filter", "label=podlift.dependency"]).text(),
        "",
        "they run on the primary"
    );
    // By their names, with their passwords.
    assert_eq!(shop.orders(), "1");
    assert_eq!(shop.says("redis:7", &["redis-cli", "-h", "redis", "SET", "greeting", "hello"]), "OK");
    let limit = shop
        .rig
        .exec(2, &["sh", "-c", "docker inspect --format '{{.HostConfig.Memory}}' $(docker ps --quiet --filter label=podlift.service=db)"]);
    assert_eq!(limit.text(), "268435456");
    let arguments = shop.rig.exec(2, &["ps", "axww", "-o", "args="]);
    assert!(!arguments.text().contains("staple") && !arguments.text().contains(PASSWORD), "{}", arguments.text());

    // A deploy, and one that fails and is taken back, leave them alone.
    shop.ends(0, &["version=v2"]);
    shop.ends(4, &["version=v3", "fails=true"]);
    assert_eq!(shop.dependencies(), there);
    assert_eq!(shop.rig.exec(1, &["curl", "-sS", "http://127.0.0.1/version"]).text(), "v2");

    for _ in 0..3 {
        shop.ends(0, &["step=backup"]);
    }
    assert_eq!(shop.orders(), "3");
    let kept = shop.rig.exec(2, &["sh", "-c", "ls /var/backups/shop | sed 's/-.*\\././' | sort | uniq -c | tr -s ' '"]);
    assert_eq!(kept.text(), "2 db.dump\n 3 redis.tar");

    // Somebody deletes both containers: the next deploy starts new ones over the same data.
    shop.rig.exec(2, &["sh", "-c", "docker rm --force $(docker ps --quiet --filter label=podlift.dependency)"]).text();
    shop.ends(0, &["version=v4"]);
    assert_eq!(shop.orders(), "4");
    assert_eq!(shop.says("redis:7", &["redis-cli", "-h", "redis", "GET", "greeting"]), "hello");
}
