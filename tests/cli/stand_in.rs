//! A hub on this machine, with the addresses and headers of Hugging Face, and faults on demand. It also
//! serves folders as a static host does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use loraloom::formats::{hex, sha256_hex};
use sha1::{Digest, Sha1};

/// Larger files are named by their SHA-256, as files in Git LFS are.
const LARGE: usize = 1000;

/// How long a silent response is: longer than any client here waits.
const SILENCE: Duration = Duration::from_secs(60);

type Files = BTreeMap<String, Vec<u8>>;

/// What the hub does wrong. Each fault happens once.
#[derive(Default)]
pub struct Faults {
    /// Bytes after which the next response with more is cut.
    pub cut: Option<usize>,
    /// Whether the next large file has a wrong byte.
    pub wrong_byte: bool,
    /// Whether every file is a sign-in page.
    pub sign_in: bool,
    /// Bytes after which the next response with more ends, while its connection stays open.
    pub silent: Option<usize>,
}

#[derive(Default)]
struct State {
    /// Files by repository and revision.
    repos: BTreeMap<(String, String), Files>,
    /// The token that a repository needs.
    private: BTreeMap<String, String>,
    /// Folders served below `/static/NAME/`.
    folders: BTreeMap<String, PathBuf>,
    requests: Vec<String>,
    faults: Faults,
    closed: bool,
}

/// A running hub.
pub struct Hub {
    pub url: String,
    state: Arc<Mutex<State>>,
}

/// All files under a folder, by their paths in it.
pub fn files_of(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(
                files_of(&path).into_iter().map(|(inner, b)| (format!("{name}/{inner}"), b)),
            );
        } else {
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

/// The hash that names a file in the cache.
pub fn etag(bytes: &[u8]) -> String {
    if bytes.len() > LARGE {
        return sha256_hex(bytes);
    }
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(hasher.finalize())
}

/// The name of a commit with these files.
pub fn commit(files: &Files) -> String {
    let names: Vec<String> = files.iter().map(|(name, b)| format!("{name} {}", etag(b))).collect();
    hex(Sha1::digest(names.join("\n")))
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().unwrap().closed {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away is no failure of the hub.
                thread::spawn(move || drop(respond(stream, &shared)));
            }
        });
        Self { url, state }
    }

    /// Adds or replaces a revision of a repository.
    pub fn put(&self, repo: &str, revision: &str, files: Files) {
        self.state.lock().unwrap().repos.insert((repo.into(), revision.into()), files);
    }

    pub fn make_private(&self, repo: &str, token: &str) {
        self.state.lock().unwrap().private.insert(repo.into(), token.into());
    }

    /// Serves a folder; returns its address.
    pub fn serve(&self, name: &str, folder: &Path) -> String {
        self.state.lock().unwrap().folders.insert(name.into(), folder.into());
        format!("{}/static/{name}", self.url)
    }

    pub fn fail(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Closes the hub: no connection is taken from now on.
    pub fn close(&self) {
        self.state.lock().unwrap().closed = true;
        // Wakes the loop, which ends.
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
    }
}

fn respond(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let (head, body) = {
        let mut state = state.lock().unwrap();
        let range = headers.get("range").map_or(String::new(), |range| format!(" {range}"));
        state.requests.push(format!("{target}{range}"));
        answer(&mut state, target.split('?').next().unwrap_or_default(), &headers)
    };
    let silent = state.lock().unwrap().faults.silent.take_if(|after| *after < body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..silent.unwrap_or(body.len())])?;
    if silent.is_some() {
        thread::sleep(SILENCE);
    }
    stream.shutdown(Shutdown::Both)
}

/// The head and the body of a response.
fn answer(state: &mut State, path: &str, headers: &BTreeMap<String, String>) -> (String, Vec<u8>) {
    let head = |status: &str, more: &str, bytes: usize| {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {bytes}\r\nConnection: close\r\n\r\n")
    };
    let nothing = |status| (head(status, "", 0), Vec::new());
    if let Some(path) = path.strip_prefix("/moved/") {
        return (head("302 Found", &format!("Location: /static/{path}\r\n"), 0), Vec::new());
    }
    if let Some((name, file)) = path.strip_prefix("/static/").and_then(|path| path.split_once('/'))
    {
        let bytes = state.folders.get(name).and_then(|root| std::fs::read(root.join(file)).ok());
        // As hosts of one-page sites answer.
        let bytes = bytes.unwrap_or_else(|| b"<!doctype html><title>Home</title>".to_vec());
        return (head("200 OK", "", bytes.len()), bytes);
    }
    let allowed = |state: &State, repo: &str| {
        let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        state.private.get(repo).is_none_or(|needed| Some(needed.as_str()) == token)
    };
    let found = |state: &State, repo: &str, revision: &str| {
        let revision = revision.replace("%2F", "/");
        let files = state.repos.get(&(repo.to_owned(), revision.clone()));
        let of_commit = || {
            let mut all = state.repos.iter().filter(|((name, _), _)| name == repo);
            all.find(|(_, files)| commit(files) == revision).map(|(_, files)| files)
        };
        files.or_else(of_commit).filter(|_| allowed(state, repo)).cloned()
    };
    if let Some((repo, revision)) =
        path.strip_prefix("/api/models/").and_then(|path| path.split_once("/revision/"))
    {
        let Some(files) = found(state, repo, revision) else { return nothing("401 Unauthorized") };
        let siblings: Vec<_> =
            files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "sha": commit(&files), "siblings": siblings }).to_string();
        return (head("200 OK", "", info.len()), info.into_bytes());
    }
    let Some((repo, rest)) = path[1..].split_once("/resolve/") else {
        return nothing("404 Not Found");
    };
    let Some((revision, file)) = rest.split_once('/') else { return nothing("404 Not Found") };
    let Some(files) = found(state, repo, revision) else { return nothing("401 Unauthorized") };
    let Some(bytes) = files.get(file) else { return nothing("404 Not Found") };
    let (etag, mut bytes) = (etag(bytes), bytes.clone());
    if state.faults.sign_in {
        bytes = b"<!DOCTYPE html><title>Sign in</title>".to_vec();
    }
    let range =
        headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let start = range.and_then(|(start, _)| start.parse().ok()).unwrap_or(0);
    let end = range.and_then(|(_, end)| end.parse().ok()).map_or(bytes.len(), |end: usize| end + 1);
    let total = bytes.len();
    if start >= total {
        let more = format!("Content-Range: bytes */{total}\r\n");
        return (head("416 Range Not Satisfiable", &more, 0), Vec::new());
    }
    let mut body = bytes[start..end.min(total)].to_vec();
    if body.len() > LARGE && std::mem::take(&mut state.faults.wrong_byte) {
        body[LARGE] ^= 1;
    }
    let more = format!(
        "X-Repo-Commit: {}\r\nETag: \"{etag}\"\r\nContent-Range: bytes {start}-{}/{total}\r\n",
        commit(&files),
        start + body.len() - 1
    );
    let head = head("206 Partial Content", &more, body.len());
    if let Some(cut) = state.faults.cut.take_if(|cut| *cut < body.len()) {
        body.truncate(cut);
    }
    (head, body)
}
