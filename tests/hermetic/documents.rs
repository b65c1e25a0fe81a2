//! Documents: command lines that they show have flags that exist, and what they name or link to is there.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::left_behind;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Folders whose documents are read, beside the first page. The list of changes names what has gone.
const FOLDERS: [&str; 4] = ["docs", "cpp", "ffi", "examples"];
/// Where sources of TensorRT-LLM lie in its own repository, which documents name too.
const ELSEWHERE: &str = "cpp/tensorrt_llm/";

struct Document {
    path: PathBuf,
    text: String,
}

fn documents() -> Vec<Document> {
    let mut paths = vec![Path::new(ROOT).join("README.md")];
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|it| Path::new(ROOT).join(it)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                paths.push(path);
            }
        }
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a document is text");
        Document { path, text }
    };
    paths.into_iter().map(read).collect()
}

/// Lines of blocks of code, and what stands between backticks.
fn code(text: &str) -> Vec<String> {
    let mut shown = Vec::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            shown.extend(part.replace("\\\n", " ").lines().skip(1).map(str::to_owned));
        } else {
            shown.extend(part.split('`').skip(1).step_by(2).map(left_behind::in_one_line));
        }
    }
    shown
}

/// Words as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for c in line.chars() {
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_whitespace() => words.push(String::new()),
            Some(open) if c == open => quote = None,
            _ => words.last_mut().expect("one at least").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A command and its flags, where the line is one of ours.
fn command(line: &str) -> Option<(Vec<String>, Vec<String>)> {
    let words = words(line);
    let at = words.iter().position(|it| it == "bareflight" || it.ends_with("/bareflight"))?;
    let is_plain = |word: &&String| word.chars().all(|c| c.is_ascii_lowercase());
    let command: Vec<String> =
        words[at + 1..].iter().take_while(is_plain).take(2).cloned().collect();
    if command.is_empty() {
        return None;
    }
    let ends = |word: &&String| !["|", ";", "&&", ">", "--", "#"].contains(&word.as_str());
    let own = words[at + 1..].iter().take_while(ends);
    let flags = own.filter(|word| word.starts_with("--"));
    let name = |flag: &String| flag.split(['=', ',']).next().unwrap_or_default().to_owned();
    Some((command, flags.map(name).collect()))
}

/// The flags that the help of a command lists; `None` where there is no such command.
fn flags_of(command: &[String]) -> Option<BTreeSet<String>> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    let output = program.args(command).arg("--help").output().expect("the binary runs");
    let help = left_behind::words(&output.stdout);
    let listed = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let flags =
        listed.filter_map(|line| line.split([' ', '[', ',']).find(|it| it.starts_with("--")));
    output.status.success().then(|| flags.map(str::to_owned).collect())
}

#[test]
fn a_command_is_found_behind_others_and_what_is_not_its_own_is_left_out() {
    let line = "mpirun -n 2 --bind-to none target/release/bareflight run --rate=2 --launch 'x --y' | tee --z";
    let (words, flags) = command(line).expect("one of ours");
    assert_eq!((words, flags), (vec!["run".to_owned()], vec!["--rate".into(), "--launch".into()]));
    assert_eq!(command("vllm serve --port 1"), None);
    let listed = flags_of(&["run".to_owned()]).expect("a command");
    assert!(listed.contains("--launch") && !listed.contains("--lunch"));
    assert_eq!(flags_of(&["walk".to_owned()]), None);
}

#[test]
fn every_flag_of_a_command_line_that_a_document_shows_exists() {
    let mut known: HashMap<Vec<String>, BTreeSet<String>> = HashMap::new();
    let (mut seen, mut wrong) = (0, Vec::new());
    for Document { path, text } in documents() {
        for line in code(&text) {
            let Some((command, flags)) = command(&line) else { continue };
            seen += 1;
            if !known.contains_key(&command) {
                // The second word is a subcommand, or what the command takes.
                let listed = flags_of(&command).or_else(|| flags_of(&command[..1]));
                known.insert(command.clone(), listed.unwrap_or_default());
            }
            let listed = &known[&command];
            let missing = flags.into_iter().filter(|flag| !listed.contains(flag));
            wrong.extend(missing.map(|flag| format!("{}: {flag} in `{line}`", path.display())));
        }
    }
    assert!(seen > 100, "only {seen} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_and_folder_that_a_document_names_is_there() {
    let source = Path::new(ROOT).join("src");
    let begins_here = |name: &str| {
        let first = name.split('/').next().unwrap_or_default();
        !["", "target"].contains(&first)
            && (Path::new(ROOT).join(first).is_dir() || source.join(first).is_dir())
    };
    let is_path = |word: &&str| {
        let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
        // `tests/FOLDER` stands for any.
        let is_any = word
            .rsplit('/')
            .next()
            .is_some_and(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_uppercase()));
        plain && !is_any && word.contains('/') && begins_here(word) && !word.starts_with(ELSEWHERE)
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for Document { path, text } in documents() {
        let folder = path.parent().expect("in a folder");
        let code = code(&text);
        let named = code.iter().flat_map(|line| line.split([' ', '\'', '"', '=', '(', ')']));
        let named = named.map(|word| word.trim_end_matches([',', ':', '.', ';'])).filter(is_path);
        let places = [Path::new(ROOT), &source, folder];
        for name in named {
            seen += 1;
            if !places.iter().any(|place| place.join(name).exists()) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|it| !it.is_empty() && !it.contains("://")) {
            seen += 1;
            if !folder.join(link).exists() {
                wrong.push(format!("{}: the link {link}", path.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} names were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let read = |path: &str| fs::read_to_string(Path::new(ROOT).join(path)).expect("a file");
    let document = read("docs/DEPENDENCIES.md");
    for manifest in ["Cargo.toml", "engine/Cargo.toml", "python/Cargo.toml"] {
        let table: toml::Table = read(manifest).parse().expect("TOML");
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(section) = table.get(section) else { continue };
            for name in section.as_table().expect("a table").keys().filter(|it| *it != "bareflight")
            {
                assert!(document.contains(&format!("`{name}`")), "{manifest}: {name}");
            }
        }
    }
}
