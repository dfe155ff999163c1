//! Files of a hub's repositories, in the cache that transformers uses.
//!
//! | variable | decides |
//! |---|---|
//! | `HF_ENDPOINT` | the hub |
//! | `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` | the cache |
//! | `HF_TOKEN` | the token, else the one that `hf auth login` stored |
//! | `HF_HUB_OFFLINE` | whether only the cache is read |
//! | `HF_HUB_DOWNLOAD_TIMEOUT` | seconds to wait for a hub that sends nothing |

use std::env;
use std::fs::{self, File};
use std::io::{Error, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use loraloom::formats::hex;
use loraloom::registry::{HubFolder, hub_address};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::CliError;
use crate::output::note;

/// Attempts after a download that broke, each of which resumes it.
const RETRIES: usize = 4;
/// Seconds to wait for a hub that sends nothing, as huggingface_hub has it.
const TIMEOUT_SECONDS: u64 = 10;
/// How often a download is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes read at once to hash a file.
const BLOCK_BYTES: usize = 1 << 16;

/// The hub that ids belong to: that of `HF_ENDPOINT`, else the default.
pub fn endpoint() -> Result<String, CliError> {
    Ok(hub_address(&env::var("HF_ENDPOINT").unwrap_or_default())?)
}

/// A folder in a hub's repository, of one commit.
pub struct HubFiles {
    source: HubFolder,
    commit: String,
    /// Paths in the folder, those in its sub-folders included.
    paths: Vec<String>,
    cache: Cache,
    /// The repository at the revision of `source`.
    repo: Repo,
    /// The hub; none where only the cache is read.
    api: Option<Api>,
}

impl HubFiles {
    /// Looks up what the folder contains: on the hub, or in the cache where the hub is not reached.
    pub fn open(source: HubFolder) -> Result<Self, CliError> {
        let cache = cache();
        let repo =
            Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone());
        if is_set("HF_HUB_OFFLINE") {
            return Self::in_cache(source, cache, repo, "HF_HUB_OFFLINE is set");
        }
        let token = env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty());
        let token = token.or_else(|| Cache::from_env().token());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(source.host.clone())
            .with_token(token.map(|token| token.trim().to_owned()))
            .with_retries(RETRIES)
            .with_user_agent("loraloom", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| refused(&source, "", &error))?;
        let asked = api.repo(repo.clone());
        let info = match limited(|| 0, move || asked.info()) {
            Ok(info) => info,
            Err(error) if error.is_unreachable() => {
                let host = source.host.clone();
                let refused = error.refused(&source, "");
                let why = "the hub does not respond";
                let cached = Self::in_cache(source, cache, repo, why).map_err(|_| refused)?;
                note(format!("{host} does not respond; reading the cache"));
                return Ok(cached);
            }
            Err(error) => return Err(error.refused(&source, "")),
        };
        let prefix = source.folder.as_ref().map_or(String::new(), |folder| format!("{folder}/"));
        let inside = |path: String| path.strip_prefix(&prefix).map(str::to_owned);
        let paths = info.siblings.into_iter().filter_map(|file| inside(file.rfilename)).collect();
        Ok(Self { source, commit: info.sha, paths, cache, repo, api: Some(api) })
    }

    /// What the cache has of the folder.
    fn in_cache(
        source: HubFolder,
        cache: Cache,
        repo: Repo,
        why: &'static str,
    ) -> Result<Self, CliError> {
        let folder = cache.path().join(repo.folder_name());
        let commit = fs::read_to_string(folder.join("refs").join(&source.revision));
        // A commit is a revision too.
        let commit = commit.map_or_else(|_| source.revision.clone(), |text| text.trim().to_owned());
        let mut root = folder.join("snapshots").join(&commit);
        root.extend(&source.folder);
        let mut paths = Vec::new();
        list(&root, "", &mut paths);
        if paths.is_empty() {
            let cache = cache.path().clone();
            return Err(CliError::NotCached { name: source.to_string(), cache, why });
        }
        paths.sort();
        Ok(Self { source, commit, paths, cache, repo, api: None })
    }

    /// Paths in the folder, those in its sub-folders included.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The commit that the revision is at.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// The folder's address.
    pub fn source(&self) -> &HubFolder {
        &self.source
    }

    /// A folder in this one.
    pub fn child(&self, name: &str) -> Self {
        let path = self.path_of(name);
        let inside = |path: &String| path.strip_prefix(name)?.strip_prefix('/').map(str::to_owned);
        Self {
            source: HubFolder { folder: Some(path), file: None, ..self.source.clone() },
            commit: self.commit.clone(),
            paths: self.paths.iter().filter_map(inside).collect(),
            cache: self.cache.clone(),
            repo: self.repo.clone(),
            api: self.api.clone(),
        }
    }

    /// The path of a file in the cache, after fetching it where it is not there.
    pub fn fetch(&self, file: &str) -> Result<PathBuf, CliError> {
        let path = self.path_of(file);
        let cached = self.cache.repo(self.repo.clone());
        let pointer = cached.pointer_path(&self.commit).join(&path);
        if pointer.exists() {
            return Ok(pointer);
        }
        let Some(api) = &self.api else {
            let (name, cache) = (format!("{}/{file}", self.source), self.cache.path().clone());
            return Err(CliError::NotCached { name, cache, why: "only the cache is read" });
        };
        let refused = |error: Failure| error.refused(&self.source, &path);
        // A branch may move between two files: all are those of the commit that it was at.
        let at = self.commit.clone();
        let repo = Repo::with_revision(self.source.repo.clone(), RepoType::Model, at);
        let repo = Arc::new(api.repo(repo));
        let url = repo.url(&path);
        let (asking, asked) = (api.clone(), url.clone());
        let metadata = limited(|| 0, move || asking.metadata(&asked)).map_err(refused)?;
        let expected = Expected { url, hash: metadata.etag(), bytes: metadata.size() as u64 };
        if expected.hash.is_empty() || !expected.hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            let reason = format!("expected a hash as the file's ETag, found {:?}", expected.hash);
            return Err(CliError::Hub { url: expected.url, reason });
        }
        let blob = cached.blob_path(expected.hash);
        if blob.exists() && expected.check(&blob).is_ok() {
            // Another commit has the same file.
            link(&blob, &pointer, &path)
                .map_err(|source| CliError::Write { path: pointer.clone(), source })?;
            self.name_commit()?;
            return Ok(pointer);
        }
        let part = blob.with_extension("part");
        let mut resumed = length(&part);
        if resumed > expected.bytes {
            remove(&part);
            resumed = 0;
        }
        loop {
            let (asked, wanted) = (Arc::clone(&repo), path.clone());
            let fetched = limited(|| length(&part), move || asked.download(&wanted));
            let fetched = fetched.map_err(refused)?;
            let Err(error) = expected.check(&fetched) else {
                self.name_commit()?;
                return Ok(fetched);
            };
            // What is not the file never stays.
            remove(&fetched);
            remove(&blob);
            // The part that was there before may be the wrong one.
            if resumed == 0 {
                return Err(error);
            }
            resumed = 0;
        }
    }

    /// Names the commit as that of the revision in the cache, for when the hub does not respond.
    fn name_commit(&self) -> Result<(), CliError> {
        let path = self.cache.path().join(self.repo.folder_name());
        let cached = self.cache.repo(self.repo.clone());
        cached.create_ref(&self.commit).map_err(|source| CliError::Write { path, source })
    }

    /// The path in the repository of a path in the folder.
    fn path_of(&self, name: &str) -> String {
        match &self.source.folder {
            Some(folder) => format!("{folder}/{name}"),
            None => name.to_owned(),
        }
    }
}

/// Whether the cache has the file of weights that a folder's address names, or one of another format in
/// its place.
pub fn is_cached(source: &HubFolder) -> bool {
    let repo = Repo::with_revision(source.repo.clone(), RepoType::Model, source.revision.clone());
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let Some(file) = source.file.as_deref().map(stem) else { return false };
    HubFiles::in_cache(source.clone(), cache(), repo, "it is looked for there")
        .is_ok_and(|files| files.paths.iter().any(|path| stem(path) == file))
}

/// The cache of transformers.
fn cache() -> Cache {
    let folder = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let xdg = || folder("XDG_CACHE_HOME").map(|path| path.join("huggingface"));
    let hub = || folder("HF_HOME").or_else(xdg).map(|home| home.join("hub"));
    let path = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE")).or_else(hub);
    path.map_or_else(Cache::default, Cache::new)
}

/// Whether a variable is set as huggingface_hub understands it.
fn is_set(name: &str) -> bool {
    let value = env::var(name).unwrap_or_default().to_ascii_uppercase();
    ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
}

/// What the hub says of a file.
struct Expected<'a> {
    url: String,
    /// SHA-256 of a large file, Git's SHA-1 of the others.
    hash: &'a str,
    bytes: u64,
}

impl Expected<'_> {
    /// Checks a file against its length and hash.
    fn check(&self, path: &Path) -> Result<(), CliError> {
        let (bytes, sha256, git) =
            hashes(path).map_err(|source| CliError::Read { path: path.into(), source })?;
        let damaged = |expected: String, found: String| {
            Err(CliError::Damaged { url: self.url.clone(), expected, found })
        };
        if bytes != self.bytes {
            return damaged(format!("{} bytes", self.bytes), format!("{bytes} bytes"));
        }
        let found = match self.hash.len() {
            64 => sha256,
            40 => git,
            // A hash of another kind.
            _ => return Ok(()),
        };
        if found != self.hash {
            return damaged(format!("the hash {}", self.hash), found);
        }
        Ok(())
    }
}

/// Length, SHA-256 and Git's SHA-1 of a file.
fn hashes(path: &Path) -> Result<(u64, String, String), Error> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let (mut sha256, mut git) = (Sha256::new(), Sha1::new());
    git.update(format!("blob {bytes}\0"));
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok((bytes, hex(sha256.finalize()), hex(git.finalize())));
        }
        sha256.update(&block[..read]);
        git.update(&block[..read]);
    }
}

/// Makes a file of the cache one of another commit too.
fn link(blob: &Path, pointer: &Path, path: &str) -> Result<(), Error> {
    fs::create_dir_all(pointer.parent().unwrap_or(pointer))?;
    #[cfg(unix)]
    {
        // From snapshots/COMMIT/PATH to blobs/HASH.
        let up = "../".repeat(path.split('/').count() + 1);
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), pointer)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        fs::copy(blob, pointer).map(drop)
    }
}

/// Why a request failed.
enum Failure {
    Api(ApiError),
    /// The hub sent nothing for so many seconds.
    Silent(u64),
}

impl Failure {
    /// Whether no server responded.
    fn is_unreachable(&self) -> bool {
        match self {
            Self::Api(error) => is_unreachable(error),
            Self::Silent(_) => true,
        }
    }

    fn refused(self, source: &HubFolder, path: &str) -> CliError {
        match self {
            Self::Api(error) => refused(source, path, &error),
            Self::Silent(seconds) => CliError::Hub {
                url: place(source, path),
                reason: format!(
                    "it sent nothing for {seconds} s (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)"
                ),
            },
        }
    }
}

/// Does work that waits for the hub, while it gets on: hf-hub has no time limit of its own. `bytes` is
/// how far it got. Work that is given up goes on in its thread, which ends with the program.
fn limited<T: Send + 'static>(
    bytes: impl Fn() -> u64,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Failure> {
    let seconds = env::var("HF_HUB_DOWNLOAD_TIMEOUT").ok().and_then(|text| text.parse().ok());
    let seconds = seconds.unwrap_or(TIMEOUT_SECONDS).max(1);
    let (sender, receiver) = channel();
    // Nobody receives what comes too late.
    thread::spawn(move || drop(sender.send(work())));
    let (mut reached, mut since) = (bytes(), Instant::now());
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(result) => return result.map_err(Failure::Api),
            Err(RecvTimeoutError::Disconnected) => return Err(Failure::Silent(seconds)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = bytes();
        if now != reached {
            (reached, since) = (now, Instant::now());
        }
        if since.elapsed().as_secs() >= seconds {
            return Err(Failure::Silent(seconds));
        }
    }
}

/// Bytes of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}

/// Adds the paths of all files under a folder.
fn list(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{prefix}{name}/"), paths);
        } else {
            paths.push(format!("{prefix}{name}"));
        }
    }
}

fn remove(path: &Path) {
    // What cannot be deleted is fetched again anyway: its name is its hash.
    let _ = fs::remove_file(path);
}

/// The request's error, if it is one.
fn request_error(error: &ApiError) -> Option<&ureq::Error> {
    match error {
        ApiError::RequestError(error) => Some(error),
        ApiError::TooManyRetries(error) => request_error(error),
        _ => None,
    }
}

/// Whether no server responded.
fn is_unreachable(error: &ApiError) -> bool {
    use ureq::Error::{ConnectionFailed, HostNotFound, Io, Timeout};
    matches!(request_error(error), Some(Io(_) | HostNotFound | ConnectionFailed | Timeout(_)))
}

/// A failed request for a folder, or for a file of it.
fn refused(source: &HubFolder, path: &str, error: &ApiError) -> CliError {
    let (name, hub) = (source.to_string(), source.host.clone());
    match request_error(error) {
        // The hub does not tell a private repository from none.
        Some(ureq::Error::StatusCode(401 | 403 | 404)) if path.is_empty() => {
            CliError::NotOnHub { name, hub }
        }
        _ => CliError::Hub { url: place(source, path), reason: error.to_string() },
    }
}

/// The address of a folder's repository, with a path in it.
fn place(source: &HubFolder, path: &str) -> String {
    let url = format!("{}/{}", source.host, source.repo);
    if path.is_empty() { url } else { format!("{url} ({path})") }
}
