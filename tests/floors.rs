//! Floors of the source tree: every import under `src/` stays on its floor or goes down.
//!
//! A file imports with `crate::FLOOR::…`. Test modules are left out: what a test needs may lie anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground up. Every folder of `src/` is one of them, and so is `ffi/`.
const FLOORS: [&str; 26] = [
    "ffi",
    "threads",
    "host",
    "console",
    "warning",
    "clock",
    "request",
    "tokenizer",
    "specs",
    "workload",
    "load",
    "settings",
    "record",
    "engine_directory",
    "network",
    "targets",
    "observe",
    "metrics",
    "store",
    "upload",
    "issue",
    "report",
    "serve",
    "doctor",
    "experiment",
    "cli",
];

/// One import of another floor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Import {
    line: usize,
    to: String,
}

fn height(floor: &str) -> Option<usize> {
    FLOORS.iter().position(|name| *name == floor)
}

/// Imports of a file that go to a higher floor than `from`, in sentences.
fn climbs(file: &str, from: &str, text: &str) -> Vec<String> {
    let Some(own) = height(from) else {
        return vec![format!("{file}: `{from}` is no floor: put it into FLOORS")];
    };
    let climbing = imports(text).into_iter().filter(|import| {
        // `crate::lib_item` cannot be: the root of the crate holds floors only.
        height(&import.to).is_none_or(|height| height > own)
    });
    let sentence = |Import { line, to }: Import| {
        format!("{file}:{line}: floor `{from}` imports `{to}`, which lies above it")
    };
    climbing.map(sentence).collect()
}

/// Every `crate::NAME` of a text outside comments, strings and test modules, groups included.
fn imports(text: &str) -> Vec<Import> {
    let code = without_tests(&blanked(text));
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].lines().count().max(1);
        let rest = &code[at + "crate::".len()..];
        for to in first_names(rest) {
            found.push(Import { line, to });
        }
    }
    found
}

/// The first segments of the paths that begin here: one, or several where a group `{a::b, c}` does.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut names = Vec::new();
    let (mut depth, mut begins) = (1, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            c if begins && (c.is_alphanumeric() || c == '_') => {
                names.push(name(&group[at..]));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The same text with comments and strings blanked out, line by line of equal count.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len())
        } else if c == '"' {
            string_length(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    out
}

/// How many `#` a raw string that begins here has.
fn raw_string(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.chars().take_while(|c| *c == '#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The same code without `#[cfg(test)]` modules that are written out.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let item = &out[at..];
        let ends_first = item.find(';').unwrap_or(item.len());
        let opens = item.find('{').unwrap_or(item.len());
        let end =
            if ends_first < opens { ends_first + 1 } else { opens + block_length(&item[opens..]) };
        let blank: String =
            item[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..at + end, &blank);
    }
    out
}

fn block_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Files and folders that are test modules, as `#[cfg(test)] mod name;` declares them.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") => file.parent().map(Path::to_owned),
        Some(stem) => file.parent().map(|folder| folder.join(stem)),
        None => None,
    };
    let Some(folder) = folder else { return Vec::new() };
    let mut modules = Vec::new();
    for declaration in text.split("#[cfg(test)]").skip(1) {
        let declaration = declaration.trim_start();
        if let Some(rest) = declaration.strip_prefix("#[path = \"") {
            let path = rest.split('"').next().unwrap_or_default();
            modules.push(file.with_file_name(path));
        } else if let Some(rest) = declaration.trim_start_matches("pub ").strip_prefix("mod ") {
            let module = name(rest);
            modules.push(folder.join(format!("{module}.rs")));
            modules.push(folder.join(module));
        }
    }
    modules
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry of the folder").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The floor of a file: its first folder below `src/`.
fn floor_of(source: &Path, file: &Path) -> Option<String> {
    let below = file.strip_prefix(source).ok()?;
    let mut parts = below.components();
    let first = parts.next()?.as_os_str().to_str()?.to_owned();
    parts.next().map(|_| first)
}

#[test]
fn every_import_stays_on_its_floor_or_goes_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let line = Path::new(env!("CARGO_MANIFEST_DIR")).join("ffi");
    let files: Vec<(PathBuf, String, String)> = rust_files(&source)
        .into_iter()
        .filter_map(|file| floor_of(&source, &file).map(|floor| (file, floor)))
        .chain(rust_files(&line).into_iter().map(|file| (file, "ffi".to_owned())))
        .map(|(file, floor)| {
            let text = fs::read_to_string(&file).expect("a source file is text");
            (file, floor, text)
        })
        .collect();
    assert!(files.len() > 200, "only {} files were found below {}", files.len(), source.display());
    let tests: Vec<PathBuf> =
        files.iter().flat_map(|(file, _, text)| test_modules(file, text)).collect();
    let sentences: Vec<String> = files
        .iter()
        .filter(|(file, _, _)| !tests.iter().any(|test| file.starts_with(test)))
        .flat_map(|(file, floor, text)| climbs(&file.display().to_string(), floor, text))
        .collect();
    assert!(sentences.is_empty(), "imports that climb:\n{}", sentences.join("\n"));
}

#[test]
fn every_folder_of_the_source_is_a_floor_and_every_floor_is_a_folder() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders: BTreeSet<String> = fs::read_dir(&source)
        .expect("the source folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .chain(["ffi".to_owned()])
        .collect();
    assert_eq!(folders, FLOORS.iter().map(ToString::to_string).collect());
}

#[test]
fn the_document_draws_the_floors_as_they_are() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(document).expect("a document");
    let drawn = text.split("```").nth(1).expect("the first block is the drawing");
    let drawn: Vec<&str> =
        drawn.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(drawn, FLOORS.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn an_import_that_climbs_is_named_with_its_line_and_both_floors() {
    let text = "//! A file.\n\nuse crate::clock::MonoNs;\nuse crate::cli::exit::Exit;\n";
    assert_eq!(
        climbs("src/metrics/x.rs", "metrics", text),
        ["src/metrics/x.rs:4: floor `metrics` imports `cli`, which lies above it"]
    );
}

#[test]
fn groups_and_paths_within_code_are_imports_too() {
    let grouped = "use crate::{clock::{self, MonoNs}, report::table};\n";
    assert_eq!(climbs("f", "metrics", grouped).len(), 1);
    let inline = "fn f() -> u32 {\n    crate::experiment::sweep::depth()\n}\n";
    assert!(climbs("f", "metrics", inline)[0].starts_with("f:2: "));
}

#[test]
fn comments_strings_and_test_modules_are_no_imports() {
    let text = "/// [`crate::cli::exit`]\nconst A: &str = \"crate::cli\";\n\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n    fn f() { if true { crate::cli::g() } }\n}\n";
    assert_eq!(climbs("f", "clock", text), [""; 0]);
    assert_eq!(imports("#[cfg(test)]\nuse crate::cli;\nuse crate::cli;\n").len(), 1);
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_left_out() {
    let text =
        "#[cfg(test)]\npub mod tests;\n#[cfg(test)]\n#[path = \"rows_tests.rs\"]\nmod more;\n";
    let modules = test_modules(Path::new("src/store/rows.rs"), text);
    let expected = ["src/store/rows/tests.rs", "src/store/rows/tests", "src/store/rows_tests.rs"];
    assert_eq!(modules, expected.map(PathBuf::from));
}
