//! The shape of the project, held by a test: who may use what, and that the map is the country.
//!
//! Each row of [`FOLDERS`] is one stage: what it may import from other stages, which crates, which parts of `std`.
//! A new import against the stream is a failing test, and the row to change is the place to say why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// What the files of one folder of `src/` (or one file at its top) may import.
struct Folder {
    name: &'static str,
    /// Stages, or single items of a stage, as paths from the crate's root. `"*"` is all of them.
    stages: &'static [&'static str],
    crates: &'static [&'static str],
    /// Modules of `std` beyond [`STD_FOR_ALL`]. `"*"` is all of them.
    std: &'static [&'static str],
}

/// The stream runs down this table: config → probe → verdict → decision → snapshot → answer.
const FOLDERS: &[Folder] = &[
    Folder { name: "time", stages: &[], crates: &["jiff", "serde"], std: &[] },
    Folder { name: "dns", stages: &[], crates: &["serde"], std: &["net"] },
    // A zone file knows nothing of steering.
    Folder {
        name: "zone",
        stages: &["dns"],
        crates: &["annotate_snippets", "bytemuck", "ring", "serde"],
        std: &["io", "net", "path"],
    },
    // Steered names are compared with the zones they stand in.
    Folder {
        name: "config",
        stages: &["dns", "zone", "time"],
        crates: &[
            "annotate_snippets",
            "base64",
            "ipnet",
            "jiff",
            "regex",
            "serde",
            "serde_json",
            "serde_spanned",
            "toml",
        ],
        std: &["io", "net", "path"],
    },
    // The schedule asks whether a watch is usable: `verdict::Class`, and the limits it works under.
    Folder {
        name: "probe",
        stages: &["config", "dns", "time", "verdict::Class", "verdict::Thresholds"],
        crates: &["serde", "serde_json"],
        std: &["net"],
    },
    // What probes saw, what stands in our zones and what the files say, as findings; readiness goes by class.
    Folder {
        name: "ready",
        stages: &["config", "dns", "probe", "time", "verdict::Class", "zone"],
        crates: &["serde"],
        std: &["net"],
    },
    // A check carries the limits that a watch's machine works under.
    Folder {
        name: "verdict",
        stages: &["config::Check", "config::window", "probe", "time"],
        crates: &["serde"],
        std: &[],
    },
    Folder {
        name: "decision",
        stages: &["config", "dns", "probe", "time", "verdict"],
        crates: &["serde"],
        std: &["net"],
    },
    Folder {
        name: "snapshot",
        stages: &["config", "decision", "dns", "probe", "ready", "time", "verdict", "zone"],
        crates: &["serde"],
        std: &["net"],
    },
    // How it answers beside what the zones say is configured.
    Folder {
        name: "answer",
        stages: &["config::Answering", "config::RateLimit", "dns", "snapshot", "time", "zone"],
        crates: &["bytemuck", "ipnet", "siphasher"],
        std: &["net"],
    },
    // The switchboard sees every stage but the one that answers.
    Folder {
        name: "control",
        stages: &["config", "decision", "dns", "probe", "ready", "snapshot", "time", "verdict", "zone"],
        crates: &["serde", "serde_json"],
        std: &["net"],
    },
    // What goes into the switchboard, and the switchboard once more.
    Folder {
        name: "record",
        stages: &["config", "control", "decision", "dns", "probe", "ready", "snapshot", "time", "zone"],
        crates: &["serde", "serde_json", "siphasher"],
        std: &["io", "net", "path"],
    },
    // The world may use every stage; a stage never uses the world.
    Folder {
        name: "edge",
        stages: &["*"],
        crates: &[
            "arc_swap",
            "axum",
            "base64",
            "bytemuck",
            "hickory_proto",
            "hickory_resolver",
            "http_body_util",
            "hyper",
            "hyper_util",
            "jiff",
            "libc",
            "prometheus_client",
            "quinn",
            "quinn_udp",
            "redb",
            "reqwest",
            "ring",
            "rustix",
            "rustls",
            "rustls_native_certs",
            "serde",
            "serde_json",
            "socket2",
            "tokio",
            "tokio_rustls",
            "tracing",
            "webpki_roots",
            "x509_parser",
        ],
        std: &["*"],
    },
    Folder {
        name: "cli",
        stages: &["*"],
        crates: &[
            "anstream",
            "anstyle",
            "clap",
            "clap_complete",
            "hickory_proto",
            "jiff",
            "reqwest",
            "ring",
            "rustix",
            "rustls",
            "serde",
            "serde_json",
            "tokio",
            "toml",
            "tracing",
            "tracing_subscriber",
            "unicode_width",
        ],
        std: &["*"],
    },
    Folder { name: "main", stages: &["cli"], crates: &["failoverd", "rustls"], std: &["process"] },
    Folder { name: "lib", stages: &[], crates: &[], std: &[] },
];

/// Parts of `std` that neither touch the world nor depend on it.
const STD_FOR_ALL: &[&str] = &[
    "array",
    "borrow",
    "boxed",
    "cell",
    "char",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "hash",
    "hint",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "option",
    "result",
    "slice",
    "str",
    "string",
    "sync",
    "time",
    "vec",
];

/// Never in the core, whatever module they are in: sockets, files, threads, locks, clocks, environment, randomness.
const NOT_IN_THE_CORE: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "LazyCell",
    "Barrier",
    "mpsc",
    "atomic",
    "thread_local",
    "HashMap",
    "HashSet",
    "RandomState",
    "SystemRandom",
    "unsafe",
];

/// Allowed in the core although it is on the list above: the file, the word, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `folder`, relative to the root, in order.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder entry").path();
            if path.is_dir() {
                // What fuzzing builds and finds is not part of the project.
                let is_made = ["target", "artifacts", "coverage"].iter().any(|made| path.ends_with(made));
                open.extend((!is_made).then_some(path));
            } else {
                found.push(path.strip_prefix(root()).expect("below the root").to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// All source files but those of tests.
fn sources() -> Vec<PathBuf> {
    let is_source = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "rs");
    let all: Vec<PathBuf> = files_below("src").into_iter().filter(is_source).collect();
    let tests: Vec<PathBuf> = all.iter().flat_map(|source| test_modules(source)).collect();
    // `src/probe/fixture` covers the file `fixture.rs` and all of the folder `fixture/`.
    let is_test = |path: &PathBuf| tests.iter().any(|test| path.with_extension("").starts_with(test));
    all.into_iter().filter(|path| !is_test(path)).collect()
}

/// Modules that a file declares for tests only, as paths without an ending.
fn test_modules(source: &Path) -> Vec<PathBuf> {
    let home: PathBuf = [PathBuf::from("src")].into_iter().chain(module_of(source).iter().map(PathBuf::from)).collect();
    let file = syn::parse_file(&read(source)).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let modules =
        file.items.into_iter().filter_map(|item| if let syn::Item::Mod(one) = item { Some(one) } else { None });
    modules
        .filter(|one| one.content.is_none() && is_test_only(&one.attrs))
        .map(|one| home.join(one.ident.to_string()))
        .collect()
}

/// `src/edge/prober/tls.rs` is in `edge`; `src/time.rs` in `time`.
fn folder_of(source: &Path) -> String {
    let first = source.components().nth(1).expect("a name below src").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The module path of a source file: `src/edge/prober/mod.rs` is `["edge", "prober"]`.
fn module_of(source: &Path) -> Vec<String> {
    let mut parts: Vec<String> =
        source.components().skip(1).map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let last = parts.pop().unwrap_or_default();
    match last.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => {}
        name => parts.push(name.to_owned()),
    }
    parts
}

/// Collects every path a file mentions outside its tests, `use` trees unfolded, `self` and `super` resolved.
struct Mentions {
    module: Vec<String>,
    paths: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
}

impl Mentions {
    fn of(source: &Path) -> Self {
        let text = read(source);
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let mut mentions = Self { module: module_of(source), paths: BTreeSet::new(), words: BTreeSet::new() };
        mentions.visit_file(&file);
        mentions
    }

    fn take(&mut self, segments: Vec<String>) {
        if segments.is_empty() {
            return;
        }
        self.words.extend(segments.iter().cloned());
        let mut home = self.module.clone();
        let mut rest = segments.as_slice();
        match rest.first().map(String::as_str) {
            Some("crate") => {
                home.clear();
                rest = &rest[1..];
            }
            Some("self" | "super") => {
                while let Some(word @ ("self" | "super")) = rest.first().map(String::as_str) {
                    if word == "super" {
                        home.pop();
                    }
                    rest = &rest[1..];
                }
            }
            _ => {
                self.paths.insert(segments);
                return;
            }
        }
        let mut full = vec!["crate".to_owned()];
        full.extend(home);
        full.extend(rest.iter().cloned());
        self.paths.insert(full);
    }

    fn unfold(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.unfold(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => self.take(before.to_vec()),
            syn::UseTree::Name(name) => self.take(with(&name.ident)),
            syn::UseTree::Rename(rename) => self.take(with(&rename.ident)),
            syn::UseTree::Glob(_) => self.take(before.to_vec()),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.unfold(tree, before)),
        }
    }
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::NameValue(_) => false,
    })
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Mod(module) if is_test_only(&module.attrs) => {}
            syn::Item::Fn(function) if is_test_only(&function.attrs) => {}
            syn::Item::Mod(module) if module.content.is_some() => {
                self.module.push(module.ident.to_string());
                visit::visit_item_mod(self, module);
                self.module.pop();
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.unfold(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.take(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.words.insert("unsafe".to_owned());
        visit::visit_expr_unsafe(self, block);
    }

    /// Macros are only tokens to the parser; paths in them are found by their `::`.
    fn visit_macro(&mut self, one: &'ast syn::Macro) {
        let tokens = one.tokens.to_string().replace(" :: ", "::").replace(":: ", "::").replace(" ::", "::");
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in tokens.split(|c: char| !is_part(c)).filter(|word| word.contains("::")) {
            self.take(word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
        }
        visit::visit_macro(self, one);
    }
}

/// Names of the crates of `Cargo.toml`, as code writes them.
fn dependencies() -> BTreeSet<String> {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml is TOML");
    let names = manifest["dependencies"].as_table().expect("a table").keys();
    names.map(|name| name.replace('-', "_")).chain(["failoverd".to_owned()]).collect()
}

#[test]
fn unsafe_code_and_the_c_library_are_in_one_file() {
    let has = |source: &PathBuf| {
        let mentions = Mentions::of(source);
        mentions.words.contains("unsafe") || mentions.paths.iter().any(|path| path[0] == "libc" && path.len() > 1)
    };
    assert_eq!(sources().into_iter().filter(has).collect::<Vec<_>>(), [PathBuf::from("src/edge/batch.rs")]);
}

/// Is `path` one of the `allowed` ones, or inside one?
fn is_within(path: &[String], allowed: &[&str]) -> bool {
    allowed
        .iter()
        .any(|one| *one == "*" || one.split("::").zip(path).filter(|(a, b)| a == b).count() == one.split("::").count())
}

#[test]
fn every_folder_imports_only_what_its_row_allows() {
    let dependencies = dependencies();
    let tops: BTreeSet<String> = sources().iter().map(|source| folder_of(source)).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let name = folder_of(&source);
        let Some(folder) = FOLDERS.iter().find(|folder| folder.name == name) else {
            wrong.push(format!("{}: `{name}` has no row in tests/it/tidy.rs", source.display()));
            continue;
        };
        let mut fault = |what: String| wrong.push(format!("{}: {what}", source.display()));
        for path in Mentions::of(&source).paths {
            let (first, rest) = path.split_first().expect("a path has a segment");
            match first.as_str() {
                "crate" => {
                    let is_own = rest.first().is_none_or(|stage| *stage == name || !tops.contains(stage));
                    if !is_own && !is_within(rest, folder.stages) && name != "lib" {
                        fault(format!("`crate::{}` is against the stream", rest.join("::")));
                    }
                }
                "std" | "core" | "alloc" => {
                    let part = &rest[..rest.len().min(1)];
                    if !part.is_empty() && !is_within(part, STD_FOR_ALL) && !is_within(part, folder.std) {
                        fault(format!("`std::{}` is not for `{name}`", rest.join("::")));
                    }
                }
                one if dependencies.contains(one) && path.len() > 1 && !folder.crates.contains(&one) => {
                    fault(format!("the crate `{one}` is not for `{name}` (`{}`)", path.join("::")));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_core_names_nothing_of_the_world() {
    let mut wrong = Vec::new();
    for source in sources() {
        if ["edge", "cli", "main"].contains(&folder_of(&source).as_str()) {
            continue;
        }
        let shown = source.display().to_string();
        for word in Mentions::of(&source).words {
            let is_excused = EXCEPTIONS.iter().any(|&(file, excused, _)| file == shown && excused == word);
            if NOT_IN_THE_CORE.contains(&word.as_str()) && !is_excused {
                wrong.push(format!("{shown}: `{word}`; the world is handed in (see docs/architecture.md)"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The first sentence of a file's documentation; its lines are one paragraph.
fn headline(source: &Path) -> String {
    let text = read(source);
    let lines =
        text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.trim_start_matches("//!").trim());
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let mut ends = paragraph.match_indices(['.', '?']).map(|(at, _)| at + 1);
    let end = ends.find(|&at| paragraph[at..].is_empty() || paragraph[at..].starts_with(' '));
    // A link inside the code is not one in the docs.
    paragraph[..end.unwrap_or(paragraph.len())].replace("[`", "`").replace("`]", "`")
}

/// Every source file with its headline, folder by folder, as docs/architecture.md has it.
fn map() -> String {
    let mut map = String::new();
    let all = sources();
    for folder in FOLDERS.iter().map(|folder| folder.name).filter(|name| !["main", "lib"].contains(name)) {
        let mut files: Vec<PathBuf> = all.iter().filter(|source| folder_of(source) == folder).cloned().collect();
        // `table.rs` before `table/`.
        files.sort_by_key(
            |file| {
                if file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") }
            },
        );
        let (heads, inside): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| {
            let module = file.strip_prefix("src").expect("below src").display().to_string();
            [format!("{folder}.rs"), format!("{folder}/mod.rs")].contains(&module)
        });
        let Some(head) = heads.first() else { continue };
        map.push_str(&format!("\n**{folder}** {}\n\n", headline(head)));
        for file in &inside {
            let shown = file.strip_prefix("src").expect("below src").display().to_string();
            map.push_str(&format!("- `{}` {}\n", shown.replace("mod.rs", ""), headline(file)));
        }
    }
    map
}

#[test]
fn the_map_is_the_country() {
    let page = read("docs/architecture.md");
    let (before, rest) = page.split_once("<!-- map -->\n").expect("the start of the map");
    let (drawn, after) = rest.split_once("<!-- /map -->").expect("the end of the map");
    let map = map();
    if std::env::var_os("FAILOVERD_BLESS").is_some() {
        let text = format!("{before}<!-- map -->\n{map}\n<!-- /map -->{after}");
        fs::write(root().join("docs/architecture.md"), text).expect("docs/architecture.md");
        return;
    }
    let missing: Vec<&str> = map.lines().filter(|line| !drawn.lines().any(|other| other == *line)).collect();
    let gone: Vec<&str> = drawn.lines().filter(|line| !map.lines().any(|other| other == *line)).collect();
    let is_same = missing.is_empty() && gone.is_empty();
    assert!(is_same, "docs/architecture.md lacks {missing:#?}\nand has {gone:#?}\nFAILOVERD_BLESS=1 writes it anew");
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let is_silent = |source: &PathBuf| headline(source).is_empty() && !source.ends_with("main.rs");
    let silent: Vec<PathBuf> = sources().into_iter().filter(is_silent).collect();
    assert!(silent.is_empty(), "no `//!` headline in {silent:?}");
}

#[test]
fn every_stage_has_its_line_in_the_library() {
    let lib = read("src/lib.rs");
    for folder in FOLDERS.iter().map(|folder| folder.name).filter(|name| !["main", "lib"].contains(name)) {
        let declaration = format!("pub mod {folder};");
        let line = lib.lines().find(|line| line.starts_with(&declaration));
        assert!(line.is_some_and(|line| line.contains("// ")), "src/lib.rs: no `{declaration}` with its line");
    }
}

#[test]
fn every_public_module_is_explained_where_it_is_declared() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in read(&source).lines().enumerate() {
            if line.starts_with("pub mod ") && line.ends_with(';') {
                wrong.push(format!("{}:{}: `{line}` without a word on what it is", source.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn ports_are_the_same_everywhere() {
    let fly: toml::Table = read("fly.toml").parse().expect("fly.toml is TOML");
    let mut served = BTreeMap::new();
    for service in fly["services"].as_array().expect("services") {
        let inside = service["internal_port"].as_integer().expect("a port");
        for port in service["ports"].as_array().expect("ports") {
            assert_eq!(port["port"].as_integer(), Some(inside), "UDP on Fly cannot change its port");
        }
        served.insert(service["protocol"].as_str().expect("a protocol").to_owned(), inside);
    }
    // A file that leaves to its default all that can be left.
    let config = crate::docs::config("contract = 1\n[zone.\"example.com\"]\nfile = \"example.com.zone\"\n");
    for listen in &config.server.listen {
        let port = i64::from(listen.address.port());
        assert!(!listen.udp || served.get("udp") == Some(&port), "fly.toml: no UDP service for {listen:?}");
        assert!(!listen.tcp || served.get("tcp") == Some(&port), "fly.toml: no TCP service for {listen:?}");
    }
    let ops = i64::from(config.admin.ops_listen.port());
    assert_eq!(fly["checks"]["ready"]["port"].as_integer(), Some(ops), "fly.toml [checks.ready]");
    assert_eq!(fly["metrics"]["port"].as_integer(), Some(ops), "fly.toml [metrics]");

    let image = read("Dockerfile");
    let exposed = image.lines().find(|line| line.starts_with("EXPOSE ")).expect("an EXPOSE line");
    for port in served.iter().map(|(protocol, port)| format!("{port}/{protocol}")).chain([format!("{ops}/tcp")]) {
        assert!(exposed.contains(&port), "Dockerfile: `{exposed}` lacks {port}");
    }
}

#[test]
fn the_root_folder_holds_only_what_the_design_names() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "src",
        "zones",
        "tests",
        "benches",
        "docs",
        "README.md",
        "LICENSE",
        "fly.toml",
        "Dockerfile",
        "target",
    ]
    .into();
    let entries = fs::read_dir(root()).expect("the root folder").map(|entry| entry.expect("an entry").file_name());
    let extra: Vec<_> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !allowed.contains(name.as_str()))
        .collect();
    assert!(extra.is_empty(), "not named in docs/architecture.md: {extra:?}");
}

/// Paths of one person's machine and names of their tools do not belong into a project.
#[test]
fn no_file_speaks_of_the_machine_it_was_written_on() {
    // Put together here, so that this file does not speak of them itself.
    let words: Vec<String> = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["crates", ".io"], ["localhost", "/v2"]]
        .iter()
        .map(|halves| halves.concat())
        .collect();
    let mut wrong = Vec::new();
    let folders = ["src", "tests", "docs", "zones", "benches", ".ci", ".github"];
    let below = folders.iter().filter(|folder| root().join(folder).exists()).flat_map(|folder| files_below(folder));
    let top = ["Cargo.toml", "README.md", "LICENSE", "fly.toml", "Dockerfile", ".clippy.toml", ".deny.toml"];
    for file in below.chain(top.iter().map(PathBuf::from)) {
        // Fixtures may be anything, also not UTF-8; a lock file names where its packages come from.
        let Ok(text) = fs::read_to_string(root().join(&file)) else {
            continue;
        };
        if file.ends_with("Cargo.lock") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                wrong.push(format!("{}:{}: `{word}`", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_dependency_says_what_it_is_for_and_who_keeps_it() {
    let manifest = read("Cargo.toml");
    let mut wrong = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains('=') && !line.starts_with('#') {
            let comment = line.rsplit_once("# ").map(|(_, comment)| comment);
            if !comment.is_some_and(|comment| comment.contains(';')) {
                wrong.push(format!("Cargo.toml:{}: {line}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
