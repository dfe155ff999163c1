//! The command line as a user runs it: the built program, its output and its exit status.

mod answers;
mod bad_input;
mod compose;
mod evaluate;
#[cfg(unix)]
mod hub;
mod route;
mod share;
#[cfg(unix)]
mod stand_in;
#[cfg(unix)]
mod suite;
mod tools;
mod tune;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(relative)
}

/// An empty folder for a test's own files.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file of examples and returns its path.
fn examples_file<'e>(
    folder: &Path,
    examples: impl IntoIterator<Item = (&'e str, &'e str)>,
) -> String {
    let lines: Vec<String> = examples
        .into_iter()
        .map(|(input, output)| {
            serde_json::json!({"input": input, "output": output}).to_string() + "\n"
        })
        .collect();
    let file = folder.join("examples.jsonl");
    std::fs::write(&file, lines.concat()).unwrap();
    text(&file)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn loraloom<A: AsRef<str>>(arguments: &[A]) -> Output {
    // No test leaves this machine, or reads the user's cache.
    loraloom_in(arguments, &[("HF_HUB_OFFLINE", "1"), ("HF_HOME", env!("CARGO_TARGET_TMPDIR"))])
}

/// Runs the program with these variables of the environment.
fn loraloom_in<A: AsRef<str>>(arguments: &[A], variables: &[(&str, &str)]) -> Output {
    command_in(arguments, variables).output().unwrap()
}

fn command_in<A: AsRef<str>>(arguments: &[A], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loraloom"));
    command.args(arguments.iter().map(AsRef::as_ref));
    for name in ["HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

/// Runs a command that should succeed, with `--json`.
fn json<A: AsRef<str>>(arguments: &[A]) -> Value {
    let mut all: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    all.push("--json");
    let output = loraloom(&all);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{all:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that should fail, and returns what it says; it prints nothing on stdout.
fn error<A: AsRef<str>>(arguments: &[A]) -> String {
    let output = loraloom(arguments);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}
