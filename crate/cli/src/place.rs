//! Where the files of a registry are: in a folder of this computer, or on a static host.

use std::fmt::{self, Display};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use loraloom::registry::RegistryFile;

use crate::error::{CliError, read};

/// The hub that `hub:` paths belong to where no other one is named.
pub const DEFAULT_HUB: &str = "https://huggingface.co";
/// The longest answer read: longer than any file of a model that this program can hold.
const MAX_BYTES: u64 = 16 << 30;
/// How long to wait for a connection, and for the first byte of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A file, by its path or its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this computer.
    Path(PathBuf),
    /// At an address that starts with `http://` or `https://`.
    Url(String),
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Place {
    /// The registry that a person names by its file, its folder, or the address of either.
    pub fn of_registry(text: &str) -> Self {
        let file = "registry.json";
        if text.starts_with("http://") || text.starts_with("https://") {
            return Self::Url(match text {
                _ if text.ends_with(".json") => text.into(),
                _ => format!("{}/{file}", text.trim_end_matches('/')),
            });
        }
        let path = PathBuf::from(text);
        Self::Path(if path.is_dir() { path.join(file) } else { path })
    }

    /// The file that a registry at this place names, on this host or on a hub.
    pub fn of_file(&self, file: &RegistryFile, hub: &str) -> Self {
        if let Some((repo, revision, name)) = file.on_hub() {
            let hub = hub.trim_end_matches('/');
            return Self::Url(format!("{hub}/{repo}/resolve/{revision}/{name}"));
        }
        match self {
            Self::Path(path) => Self::Path(path.with_file_name(&file.path)),
            Self::Url(url) => {
                let folder = url.rfind('/').map_or("", |end| &url[..=end]);
                Self::Url(format!("{folder}{}", file.path))
            }
        }
    }

    /// Reads the whole file.
    pub fn read(&self) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Path(path) => read(path),
            Self::Url(url) => {
                let mut body = answer(url, false)?.into_body();
                let body = body.with_config().limit(MAX_BYTES).read_to_vec();
                body.map_err(|error| failed(url, error.into_io()))
            }
        }
    }

    /// Asks whether the file is there, without reading it.
    pub fn find(&self) -> Result<(), CliError> {
        match self {
            Self::Path(path) => path.metadata().map(drop).map_err(|e| failed(path, e)),
            Self::Url(url) => answer(url, true).map(drop),
        }
    }

    /// Blames this file for what a reader said about its contents.
    pub fn blame<E: std::error::Error>(&self) -> impl FnOnce(E) -> CliError + use<E> {
        let path = PathBuf::from(self.to_string());
        |problem| CliError::File { path, problem: problem.to_string() }
    }
}

/// A server's answer, if it has the file.
fn answer(url: &str, only_head: bool) -> Result<ureq::http::Response<ureq::Body>, CliError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .build()
        .into();
    let answer = if only_head { agent.head(url).call() } else { agent.get(url).call() };
    let answer = answer.map_err(|error| failed(url, error.into_io()))?;
    let status = answer.status();
    if !status.is_success() {
        let problem = format!("expected the file, found an answer of {status}");
        return Err(failed(url, Error::new(ErrorKind::NotFound, problem)));
    }
    Ok(answer)
}

fn failed(place: impl AsRef<Path>, source: Error) -> CliError {
    CliError::Read { path: place.as_ref().into(), source }
}
