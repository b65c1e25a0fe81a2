//! Upload of run directories: to a folder in every build, to object stores in builds with the feature.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::left_behind::{directory, words};
use tempfile::TempDir;

/// The program, with nothing of a cloud in its environment but this.
fn bareflight(out: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.to_ascii_lowercase().contains("proxy") || name.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(out).env("CI", "1").env("HOME", out);
    command.envs(variables.iter().copied());
    command
}

fn play(out: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let all = [&["run", "--target", "null:", "--concurrency", "2", "-n", "40"], arguments].concat();
    bareflight(out.path(), &all, variables).output().expect("the binary runs")
}

/// Every file below a folder with what it holds.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_owned();
                found.push((name, fs::read(&path).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

fn only_entry(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).expect("a folder");
    let entry = entries.next().expect("an entry").expect("readable").path();
    assert!(entries.next().is_none(), "one entry in {}", folder.display());
    entry
}

#[test]
fn a_run_goes_to_a_folder_as_it_is() {
    let out = tempfile::tempdir().expect("a folder");
    let place = out.path().join("lab/results");
    let url = format!("file://{}", place.display());
    let output = play(&out, &["--plots", "svg", "--upload", &url], &[]);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("to {url}/")) && said.contains("uploaded"), "{said}");
    let run = directory(&out);
    let copy = only_entry(&place);
    assert_eq!(copy.file_name(), run.file_name());
    let (own, copied) = (files(&run), files(&copy));
    assert!(own.iter().any(|(name, _)| name.starts_with("plots")), "{own:?}");
    assert_eq!(own, copied);
    only_entry(&out.path().join("runs"));
}

#[test]
fn comparisons_cells_searches_and_ladders_go_there_too() {
    let out = tempfile::tempdir().expect("a folder");
    let place = out.path().join("lab");
    let url = format!("file://{}", place.display());
    let load = ["-n", "40", "--quiet", "--upload", &url];
    for what in [
        &["compare", "--target", "null:", "--target", "null:", "--blocks", "2"][..],
        &["search", "--target", "null:", "--slo", "ttft.p50<10s", "--max-probes", "3"],
        &["run", "--target", "null:", "--concurrency", "2", "-s", "D(8,8)", "-s", "D(9,9)"],
        &["ladder", "--target", "sim:explicit,base_us=500", "--blocks", "2", "--in-process"],
    ] {
        let all = [what, &load].concat();
        let output = bareflight(out.path(), &all, &[]).output().expect("the binary runs");
        let said = words(&output.stderr);
        assert!(!matches!(output.status.code(), Some(2 | 3 | 7) | None), "{what:?}: {said}");
    }
    // Two runs that are there are compared in a folder without a manifest.
    let runs = fs::read_dir(out.path().join("runs")).expect("a folder");
    let cells = runs.map(|it| it.expect("readable").path());
    let cells = cells.filter(|it| it.join("index.json").is_file()).flat_map(|it| {
        let inside = fs::read_dir(it).expect("a folder").map(|it| it.expect("readable").path());
        inside.filter(|it| it.join("manifest.json").is_file()).collect::<Vec<_>>()
    });
    let cells: Vec<String> = cells.map(|it| it.display().to_string()).collect();
    let all = ["compare", &cells[0], &cells[1], "--upload", &url];
    let output = bareflight(out.path(), &all, &[]).output().expect("the binary runs");
    assert!(words(&output.stderr).contains("uploaded"), "{}", words(&output.stderr));
    let copies: Vec<PathBuf> =
        fs::read_dir(&place).expect("a folder").map(|it| it.expect("readable").path()).collect();
    assert_eq!(copies.len(), 5, "{copies:?}");
    for copy in copies {
        let run = out.path().join("runs").join(copy.file_name().expect("a name"));
        assert_eq!(files(&run), files(&copy));
    }
}

#[test]
fn a_place_that_cannot_be_written_to_is_found_before_any_load() {
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("taken"), "a file").expect("written");
    let blocked = format!("file://{}/taken/x", out.path().display());
    let output = play(&out, &["--upload", &blocked], &[]);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--upload") && said.contains(&blocked), "{said}");
    for (url, named) in [("s3://", "no bucket"), ("lab", "s3://BUCKET"), ("file://x", "file:///")] {
        let output = play(&out, &["--upload", url], &[]);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.contains(named), "{url}: {said}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was sent");
}

#[test]
fn an_upload_that_fails_has_a_code_of_its_own_and_says_how_to_go_on() {
    let out = tempfile::tempdir().expect("a folder");
    assert_eq!(play(&out, &["--quiet"], &[]).status.code(), Some(0));
    let run = directory(&out);
    let before = files(&run);
    fs::write(out.path().join("taken"), "a file").expect("written");
    let url = format!("file://{}/taken/x", out.path().display());
    let name = run.display().to_string();
    let upload = |url: &str| {
        let all = ["upload", &name, url];
        bareflight(out.path(), &all, &[]).output().expect("the binary runs")
    };
    let output = upload(&url);
    let said = words(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains(&format!("`bareflight upload {name} {url}`")), "{said}");
    assert_eq!(files(&run), before);
    fs::remove_file(out.path().join("taken")).expect("removed");
    let output = upload(&url);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    assert_eq!(files(&out.path().join("taken/x").join(run.file_name().expect("a name"))), before);
    let other = out.path().display().to_string();
    let all = ["upload", &other, &url];
    let output = bareflight(out.path(), &all, &[]).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", words(&output.stderr));
}

#[cfg(not(feature = "upload"))]
#[test]
fn a_build_without_the_feature_refuses_clouds_with_the_command_that_builds_it() {
    let out = tempfile::tempdir().expect("a folder");
    for url in ["s3://b/x", "gs://b", "az://c/x", "oci://b@n/x"] {
        let output = play(&out, &["--upload", url], &[]);
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.contains("--features upload") && said.contains("file:///"), "{url}: {said}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was sent");
}

#[cfg(feature = "upload")]
mod built {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::support::object_server::{Fault, ObjectServer};

    const MIB: u64 = 1 << 20;

    /// What the program finds in its environment.
    fn variables(server: &ObjectServer) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "AKIDTEST".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "eu-north-1".to_owned()),
            ("AWS_ENDPOINT_URL", server.url()),
        ]
    }

    fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// A folder that looks like a run, with one large file.
    fn large_run(out: &TempDir) -> PathBuf {
        let run = out.path().join("runs/large");
        fs::create_dir_all(&run).expect("a folder");
        fs::write(run.join("manifest.json"), "{}").expect("written");
        fs::write(run.join("ü %.txt"), "é").expect("written");
        let large = fs::File::create(run.join("requests.csv")).expect("a file");
        large.set_len(36 * MIB).expect("as long");
        run
    }

    #[test]
    fn a_run_goes_to_s3_signed_and_whole_with_its_manifest_last() {
        let out = tempfile::tempdir().expect("a folder");
        let server = ObjectServer::start();
        let own = variables(&server);
        let output = play(&out, &["--upload", "s3://bucket/lab"], &borrowed(&own));
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let run = directory(&out);
        let name = run.file_name().expect("a name").to_string_lossy().into_owned();
        for (path, bytes) in files(&run) {
            let key = format!("bucket/lab/{name}/{}", path.display());
            assert_eq!(server.object(&key).as_deref(), Some(bytes.as_slice()), "{key}");
        }
        let asked = server.asked();
        let last = asked.last().expect("asked");
        assert!(last.path.ends_with("/manifest.json"), "{last:?}");
        assert!(asked.iter().all(|it| it.is_signed_by("AKIDTEST", "eu-north-1")), "{asked:?}");
        assert!(asked[0].path.contains(".bareflight-probe") && asked[1].method == "DELETE");
        assert_eq!(server.objects(), files(&run).len(), "the probe is gone");
    }

    #[test]
    fn an_upload_that_was_killed_goes_on_and_sends_no_part_twice() {
        let out = tempfile::tempdir().expect("a folder");
        let run = large_run(&out);
        let server = ObjectServer::start();
        server.fail(Fault::hold_parts_from(3));
        let own = variables(&server);
        let name = run.display().to_string();
        let all = ["upload", &name, "s3://bucket"];
        let mut child = bareflight(out.path(), &all, &borrowed(&own))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let progress = out.path().join("runs/large.upload.json");
        let until = Instant::now() + Duration::from_secs(60);
        let two_are_there = || {
            let text = fs::read_to_string(&progress).unwrap_or_default();
            text.contains("\"0\": ") && text.contains("\"1\": ")
        };
        while !two_are_there() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert!(two_are_there(), "{}", words(&output.stderr));
        server.mend();
        let output = bareflight(out.path(), &all, &borrowed(&own)).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        assert_eq!(server.taken_parts(), [1, 2, 3, 4, 5], "each once");
        let object = server.object("bucket/large/requests.csv").expect("it is there");
        assert_eq!(object.len() as u64, 36 * MIB);
        assert!(server.has("bucket/large/%C3%BC%20%25.txt"), "its own name, written as in a URL");
        assert!(!progress.exists());
    }

    #[test]
    fn a_refused_part_ends_it_with_code_7_and_the_command_that_it_names_goes_on() {
        let out = tempfile::tempdir().expect("a folder");
        let run = large_run(&out);
        let server = ObjectServer::start();
        server.fail(Fault::part(2, 403));
        let own = variables(&server);
        let name = run.display().to_string();
        let all = ["upload", &name, "s3://bucket/x"];
        let output = bareflight(out.path(), &all, &borrowed(&own)).output().expect("it runs");
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("requests.csv"), "{said}");
        assert!(said.contains(&format!("`bareflight upload {name} s3://bucket/x`")), "{said}");
        server.mend();
        let output = bareflight(out.path(), &all, &borrowed(&own)).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        assert_eq!(server.taken_parts(), [1, 2, 3, 4, 5], "each once");
    }

    #[test]
    fn a_store_that_is_busy_or_hangs_up_is_asked_again() {
        let out = tempfile::tempdir().expect("a folder");
        let run = large_run(&out);
        let server = ObjectServer::start();
        server.fail(Fault::part(1, 503).times(2));
        server.fail(Fault::hang_up_at_part(4));
        let own = variables(&server);
        let name = run.display().to_string();
        let all = ["upload", &name, "s3://bucket"];
        let output = bareflight(out.path(), &all, &borrowed(&own)).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
        assert_eq!(server.taken_parts(), [1, 2, 3, 4, 5]);
        let refused = server.asked().iter().filter(|it| it.status != 200).count();
        assert_eq!(refused, 3);
    }

    #[test]
    fn what_failed_after_a_run_leaves_the_run_and_what_fails_before_it_sends_nothing() {
        let out = tempfile::tempdir().expect("a folder");
        let server = ObjectServer::start();
        let own = variables(&server);
        server.fail(Fault::name(".bareflight-probe", 403));
        let output = play(&out, &["--upload", "s3://bucket"], &borrowed(&own));
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("s3://bucket"), "{said}");
        assert!(!out.path().join("runs").exists(), "nothing was sent");
        server.mend();
        server.fail(Fault::name("summary.json", 403));
        let output = play(&out, &["--upload", "s3://bucket"], &borrowed(&own));
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{said}");
        let runs = fs::read_dir(out.path().join("runs")).expect("a folder");
        let mut runs = runs.map(|run| run.expect("an entry").path());
        let run = runs.find(|run| run.is_dir()).expect("a run");
        let name = run.file_name().expect("a name").to_string_lossy().into_owned();
        let command = format!("`bareflight upload runs/{name} s3://bucket`");
        assert!(said.contains(&command), "{said}");
        assert!(
            run.join("summary.json").is_file()
                && !server.has(&format!("bucket/{name}/manifest.json"))
        );
        server.mend();
        let folder = format!("runs/{name}");
        let all = ["upload", &folder, "s3://bucket"];
        let output = bareflight(out.path(), &all, &borrowed(&own)).output().expect("it runs");
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("of them were there"), "{said}");
        assert!(server.has(&format!("bucket/{name}/manifest.json")));
    }
}
