//! What `import` finds: the embedded standard library, and files of the project.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use rhai::{AST, Dynamic, Engine, EvalAltResult, GlobalRuntimeState, Module, ModuleResolver, Position, Scope, Shared};

use super::{isolation::isolated, sources::Sources, stdlib};
use crate::failure::Failure;

type SharedModule = Shared<Module>;

/// The most bytes that a module's file may have.
const MODULE_SIZE: u64 = 4 * 1024 * 1024;
/// How long a branch waits for another one that is loading a module.
const OTHER_BRANCH: Duration = Duration::from_secs(600);

/// Finds, compiles and evaluates modules, each once per run. Clones share what they have loaded.
#[derive(Clone)]
pub struct Resolver(Arc<Shelf>);

struct Shelf {
    sources: Sources,
    script_folder: PathBuf,
    project_folder: PathBuf,
    /// The texts of a recorded run by name, in place of files.
    recorded: Option<BTreeMap<String, String>>,
    compiled: Mutex<BTreeMap<PathBuf, Arc<Compiled>>>,
    /// The folders of the files that were compiled, by the names that messages call the files by.
    folders: Mutex<BTreeMap<String, PathBuf>>,
    modules: Mutex<Modules>,
    idle: Condvar,
}

/// A module's text, parsed.
pub struct Compiled {
    /// What messages call it: `std/NAME`, or its path as it would be written beside the script.
    pub name: String,
    /// Its syntax tree, with positions of the run's line space.
    pub ast: AST,
}

#[derive(Default)]
struct Modules {
    loaded: BTreeMap<PathBuf, SharedModule>,
    /// The modules that are being evaluated, the outermost first, and the thread that does it.
    loading: Vec<(PathBuf, String)>,
    loader: Option<ThreadId>,
}

enum Place {
    Embedded(&'static str),
    Recorded(String),
    File(PathBuf),
}

impl Resolver {
    /// Looks for modules beside a script in `script_folder`, as the user wrote it, and never outside of `project_folder`.
    pub fn new(sources: Sources, script_folder: impl Into<PathBuf>, project_folder: impl AsRef<Path>) -> Self {
        Self::over(sources, script_folder.into(), project_folder.as_ref(), None)
    }

    /// Finds modules among the texts of a recorded run, by the names that messages call them by.
    pub fn recorded(sources: Sources, script_folder: impl Into<PathBuf>, texts: BTreeMap<String, String>) -> Self {
        Self::over(sources, script_folder.into(), Path::new(""), Some(texts))
    }

    fn over(sources: Sources, script_folder: PathBuf, project_folder: &Path, recorded: Option<BTreeMap<String, String>>) -> Self {
        Self(Arc::new(Shelf {
            sources,
            script_folder,
            recorded,
            project_folder: fs::canonicalize(or_here(project_folder)).unwrap_or_else(|_| project_folder.into()),
            compiled: Mutex::default(),
            folders: Mutex::default(),
            modules: Mutex::default(),
            idle: Condvar::new(),
        }))
    }

    /// The texts that were read.
    pub fn sources(&self) -> &Sources {
        &self.0.sources
    }

    /// Reads and parses what `import "PATH"` at `position` means, or takes it from an earlier time.
    ///
    /// The error is a [`Failure`] in an `ErrorRuntime` when there is no such module, and a parse error in an `ErrorInModule`.
    pub fn compile(&self, engine: &Engine, path: &str, position: Position) -> Result<Arc<Compiled>, Box<EvalAltResult>> {
        self.find(path, position).and_then(|(key, name, place)| self.parse(engine, path, position, &key, name, &place))
    }

    /// A module that was parsed before, by the name that messages call it.
    pub fn compiled(&self, name: &str) -> Option<Arc<Compiled>> {
        lock(&self.0.compiled).values().find(|compiled| compiled.name == name).cloned()
    }

    /// The script's folder; `None` for a recorded run, whose files are not looked at.
    pub fn folder(&self) -> Option<PathBuf> {
        fs::canonicalize(or_here(&self.0.script_folder)).ok().filter(|_| self.0.recorded.is_none())
    }

    /// The text of a file beside the script, or `None` where it cannot be read. A recorded run's files are not looked at: what it
    /// read is in its journal.
    pub fn beside(&self, path: &str) -> Option<String> {
        let folder = self.folder()?;
        let file = fs::canonicalize(folder.join(path)).ok().filter(|file| file.starts_with(&folder) && file.is_file())?;
        read(&file).ok()
    }

    fn find(&self, path: &str, position: Position) -> Result<(PathBuf, String, Place), Box<EvalAltResult>> {
        Ok(self.place(path, position).map_err(|failure| raise(failure, position))?)
    }

    fn place(&self, path: &str, position: Position) -> Result<(PathBuf, String, Place), Failure> {
        if let Some(texts) = &self.0.recorded {
            return self.recorded_place(texts, path, position);
        }
        if let Some(name) = path.strip_prefix("std/") {
            let text = stdlib::text(name).ok_or_else(|| no_embedded(path, name))?;
            return Ok((path.into(), path.into(), Place::Embedded(text)));
        }
        let importer = self.0.sources.locate(position).map(|origin| origin.file);
        if importer.as_deref().is_some_and(|name| name.starts_with("std/")) {
            return Err(Failure::refused(format!("the standard library cannot import {path:?}")).hint("it imports \"std/NAME\" only"));
        }
        let known = importer.as_ref().and_then(|name| lock(&self.0.folders).get(&**name).cloned());
        let (folder, shown) = match (known, importer) {
            (Some(folder), Some(name)) => (folder, Path::new(&*name).parent().unwrap_or(Path::new("")).to_path_buf()),
            _ => (self.0.script_folder.clone(), self.0.script_folder.clone()),
        };
        let written = Path::new(path);
        if path.is_empty() || written.has_root() || path.contains(['\\', '\0']) {
            return Err(Failure::refused(format!("{path:?} is not a module's path"))
                .hint("write \"std/NAME\", or a path relative to the importing script, such as \"lib/checks\""));
        }
        let file = if written.extension().is_some_and(|end| end == "rhai") { path.into() } else { PathBuf::from(format!("{path}.rhai")) };
        let name = tidy(&shown.join(&file));
        let real = fs::canonicalize(or_here(&folder).join(&file)).map_err(|error| unreadable(path, &name, &error))?;
        if !real.starts_with(&self.0.project_folder) {
            return Err(Failure::refused(format!("{name} is outside of the project {}", self.0.project_folder.display()))
                .hint("a script imports files of its own project only: copy the module into it"));
        }
        Ok((real.clone(), name, Place::File(real)))
    }

    fn recorded_place(
        &self,
        texts: &BTreeMap<String, String>,
        path: &str,
        position: Position,
    ) -> Result<(PathBuf, String, Place), Failure> {
        let importer = self.0.sources.locate(position).map(|origin| PathBuf::from(&*origin.file));
        let folder = importer.as_deref().and_then(Path::parent).unwrap_or(&self.0.script_folder);
        let end = if Path::new(path).extension().is_some_and(|end| end == "rhai") { "" } else { ".rhai" };
        let name = if path.starts_with("std/") { path.to_owned() } else { tidy(&folder.join(format!("{path}{end}"))) };
        let text = texts.get(&name).ok_or_else(|| Failure::refused(format!("{name} is not among the recorded texts of the run")))?;
        Ok((name.clone().into(), name, Place::Recorded(text.clone())))
    }

    fn parse(
        &self,
        engine: &Engine,
        path: &str,
        position: Position,
        key: &Path,
        name: String,
        place: &Place,
    ) -> Result<Arc<Compiled>, Box<EvalAltResult>> {
        if let Some(compiled) = lock(&self.0.compiled).get(key) {
            return Ok(Arc::clone(compiled));
        }
        let text = match place {
            Place::Embedded(text) => (*text).to_owned(),
            Place::Recorded(text) => text.clone(),
            Place::File(file) => {
                if let Some(folder) = file.parent() {
                    lock(&self.0.folders).insert(name.clone(), folder.into());
                }
                read(file).map_err(|error| raise(unreadable(path, &name, &error), position))?
            }
        };
        let padded = self.0.sources.add(&name, &text).map_err(|failure| raise(failure, position))?;
        let mut ast = engine.compile(padded).map_err(|error| within(path, error, position))?;
        ast.set_source(&name);
        let compiled = Arc::new(Compiled { name, ast });
        lock(&self.0.compiled).insert(key.into(), Arc::clone(&compiled));
        Ok(compiled)
    }

    fn load(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        scope: &mut Scope<'_>,
        path: &str,
        position: Position,
    ) -> Result<SharedModule, Box<EvalAltResult>> {
        let (key, name, place) = self.find(path, position)?;
        if let Some(module) = self.begin(&key, &name).map_err(|failure| raise(failure, position))? {
            return Ok(module);
        }
        let evaluated = self.parse(engine, path, position, &key, name, &place).and_then(|compiled| {
            Module::eval_ast_as_new_raw(engine, scope, global, &compiled.ast)
                .map(|module| SharedModule::from(isolated(module, &compiled.ast)))
                .map_err(|error| within(path, error, position).into())
        });
        let mut modules = lock(&self.0.modules);
        modules.loading.pop();
        if modules.loading.is_empty() {
            modules.loader = None;
            self.0.idle.notify_all();
        }
        if let Ok(module) = &evaluated {
            modules.loaded.insert(key, SharedModule::clone(module));
        }
        evaluated
    }

    /// The module if it is loaded; else notes that this thread loads it now. One thread loads at a time, so that a module
    /// runs once however many branches import it.
    fn begin(&self, key: &Path, name: &str) -> Result<Option<SharedModule>, Failure> {
        let me = thread::current().id();
        let other = |modules: &mut Modules| !modules.loaded.contains_key(key) && modules.loader.is_some_and(|loader| loader != me);
        let (mut modules, waited) =
            self.0.idle.wait_timeout_while(lock(&self.0.modules), OTHER_BRANCH, other).unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.loaded.get(key) {
            return Ok(Some(SharedModule::clone(module)));
        }
        if waited.timed_out() {
            return Err(Failure::failed(format!("{name} cannot be imported: another branch has been loading a module for 10 minutes"))
                .hint("import it at the top of the script, before `parallel`"));
        }
        if let Some(start) = modules.loading.iter().position(|(loading, _)| loading == key) {
            let circle: Vec<&str> = modules.loading[start..].iter().map(|(_, name)| name.as_str()).chain([name]).collect();
            return Err(Failure::refused(format!("modules import each other in a circle: {}", circle.join(" → ")))
                .hint("move what they share into a module of its own"));
        }
        modules.loading.push((key.into(), name.into()));
        modules.loader = Some(me);
        Ok(None)
    }
}

impl ModuleResolver for Resolver {
    fn resolve(&self, engine: &Engine, _source: Option<&str>, path: &str, position: Position) -> Result<SharedModule, Box<EvalAltResult>> {
        let mut global = engine.new_global_runtime_state();
        self.load(engine, &mut global, &mut Scope::new(), path, position)
    }

    fn resolve_raw(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        _importer: &mut Scope<'_>,
        path: &str,
        position: Position,
    ) -> Result<SharedModule, Box<EvalAltResult>> {
        self.load(engine, global, &mut Scope::new(), path, position)
    }
}

/// The project that a script in `folder` belongs to: the nearest folder above it with `.git`, `podlift.yml` or `deploy/`, else
/// the folder itself. Symbolic links are resolved.
pub fn project_folder(folder: &Path) -> PathBuf {
    let real = fs::canonicalize(or_here(folder)).unwrap_or_else(|_| folder.into());
    let marked = |folder: &&Path| folder.join(".git").exists() || folder.join("podlift.yml").is_file() || folder.join("deploy").is_dir();
    real.ancestors().find(marked).unwrap_or(&real).into()
}

fn read(file: &Path) -> io::Result<String> {
    let found = fs::metadata(file)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if found.len() > MODULE_SIZE {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    fs::read_to_string(file)
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// A path without `.` and, where that is possible, without `..`.
fn tidy(path: &Path) -> String {
    let mut tidied = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(tidied.components().next_back(), Some(Component::Normal(_))) => {
                tidied.pop();
            }
            Component::ParentDir if tidied.has_root() => {}
            component => tidied.push(component),
        }
    }
    tidied.display().to_string()
}

fn unreadable(path: &str, name: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::failed(format!("there is no module {path:?}: {name} does not exist"))
            .hint("a path is relative to the script that imports it; the standard library is \"std/NAME\"");
    }
    Failure::failed(format!("the module {path:?} cannot be read from {name}: {error}"))
}

fn no_embedded(path: &str, name: &str) -> Failure {
    let failure = Failure::failed(format!("the standard library has no module {path:?}"));
    let nearest = stdlib::MODULES
        .iter()
        .map(|(known, _)| (strsim::jaro_winkler(known, name), *known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let all = || stdlib::MODULES.iter().map(|(known, _)| format!("std/{known}")).collect::<Vec<_>>().join(", ");
    match nearest {
        Some((_, known)) => failure.hint(format!("did you mean \"std/{known}\"?")),
        None if stdlib::MODULES.is_empty() => failure,
        None => failure.hint(format!("it has {}", all())),
    }
}

fn raise(failure: Failure, position: Position) -> EvalAltResult {
    EvalAltResult::ErrorRuntime(Dynamic::from(failure), position)
}

fn within(path: &str, error: impl Into<Box<EvalAltResult>>, position: Position) -> EvalAltResult {
    EvalAltResult::ErrorInModule(path.into(), error.into(), position)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Project {
        folder: tempfile::TempDir,
        evaluated: Arc<AtomicUsize>,
    }

    impl Project {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            for (name, text) in files {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
                fs::write(path, text).expect("a file");
            }
            Self { folder, evaluated: Arc::default() }
        }

        fn eval(&self, script: &str) -> Result<i64, String> {
            let sources = Sources::default();
            let script_folder = self.folder.path().join("deploy");
            let resolver = Resolver::new(sources.clone(), &script_folder, project_folder(&script_folder));
            let mut engine = Engine::new();
            let evaluated = Arc::clone(&self.evaluated);
            engine.register_fn("count", move || evaluated.fetch_add(1, Ordering::SeqCst));
            engine.set_module_resolver(resolver);
            let ast = engine.compile(sources.add("deploy/main.rhai", script).expect("short")).expect("parses");
            engine.eval_ast::<i64>(&ast).map_err(|error| match error.unwrap_inner() {
                EvalAltResult::ErrorRuntime(value, position) => {
                    let failure = value.clone().cast::<Failure>();
                    let origin = sources.locate(*position).expect("a place");
                    format!("{}:{}: {failure}", Path::new(&*origin.file).file_name().unwrap_or_default().display(), origin.line)
                }
                other => other.to_string(),
            })
        }
    }

    #[test]
    fn imports_are_relative_to_the_importing_script() {
        let project = Project::new(&[
            ("deploy/lib/a.rhai", "import \"sub/b\" as b;\nfn a() { import \"../c\" as c; c::c() + 1 }"),
            ("deploy/lib/sub/b.rhai", "import \"../../c\" as c;\nfn b() { 10 }"),
            ("deploy/c.rhai", "fn c() { 100 }"),
        ]);
        assert_eq!(project.eval("import \"lib/a\" as a; import \"lib/sub/b.rhai\" as b; a::a() + b::b()"), Ok(111));
    }

    #[test]
    fn a_module_runs_once() {
        let project =
            Project::new(&[("deploy/a.rhai", "count();\nfn one() { 1 }"), ("deploy/b.rhai", "import \"a\" as a;\nfn two() { 2 }")]);
        assert_eq!(project.eval("import \"a\" as a; import \"b\" as b; import \"./a\" as c; a::one() + b::two() + c::one()"), Ok(4));
        assert_eq!(project.evaluated.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_circle_is_named() {
        let project = Project::new(&[("deploy/a.rhai", "import \"b\" as b;"), ("deploy/b.rhai", "\nimport \"a\" as a;")]);
        let error = project.eval("import \"a\" as a; 1").expect_err("a circle");
        assert!(error.starts_with("b.rhai:2: modules import each other in a circle: "), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_outside_of_the_project_is_read() {
        let outside = Project::new(&[("secret.rhai", "fn x() { 1 }")]);
        let project = Project::new(&[("deploy/a.rhai", "")]);
        let target = outside.folder.path().join("secret.rhai");
        std::os::unix::fs::symlink(&target, project.folder.path().join("deploy/link.rhai")).expect("a link");
        let up = "../".repeat(20);
        for path in [format!("{up}{}", target.display()).replace("//", "/"), "link".into()] {
            let error = project.eval(&format!("import \"{path}\" as x; 1")).expect_err("outside");
            assert!(error.contains("is outside of the project"), "{error}");
        }
        let error = project.eval(&format!("import \"{}\" as x; 1", target.display())).expect_err("absolute");
        assert!(error.contains("is not a module's path"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let project = Project::new(&[]);
        fs::create_dir_all(project.folder.path().join("deploy")).expect("a folder");
        let error = project.eval("\nimport \"lib/x\" as x; 1").expect_err("missing");
        assert!(error.starts_with("main.rhai:2: there is no module \"lib/x\": "), "{error}");
        let error = project.eval("import \"std/nothing_like_it\" as x; 1").expect_err("missing");
        assert!(error.contains("the standard library has no module \"std/nothing_like_it\""), "{error}");
    }

    #[test]
    fn branches_that_import_together_run_a_module_once() {
        let project = Project::new(&[("deploy/a.rhai", "count();\nfn one() { 1 }")]);
        let sources = Sources::default();
        let resolver = Resolver::new(sources.clone(), project.folder.path().join("deploy"), project.folder.path());
        let mut engine = Engine::new();
        let evaluated = Arc::clone(&project.evaluated);
        engine.register_fn("count", move || {
            thread::sleep(Duration::from_millis(20));
            evaluated.fetch_add(1, Ordering::SeqCst);
        });
        engine.set_module_resolver(resolver);
        let ast = engine.compile(sources.add("main.rhai", "import \"a\" as a; a::one()").expect("short")).expect("parses");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(engine.eval_ast::<i64>(&ast).expect("runs"), 1));
            }
        });
        assert_eq!(project.evaluated.load(Ordering::SeqCst), 1);
    }
}
