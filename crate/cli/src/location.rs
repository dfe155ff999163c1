//! Locations of a registry's files: in a folder of this computer, or on a static host.

use std::fmt::{self, Display};
use std::io::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loraloom::registry::RegistryFile;

use crate::error::{CliError, read};

/// The default hub of `hub:` paths.
pub const DEFAULT_HUB: &str = "https://huggingface.co";
/// The longest response read: longer than any file of a model that this program can hold.
const MAX_BYTES: u64 = 16 << 30;
/// Limit of the time to connect, and of the time to the first byte of a response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A file, by its path or its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On this computer.
    Path(PathBuf),
    /// At an address that starts with `http://` or `https://`.
    Url(String),
}

impl Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// The location of a registry given by its file, its folder, or the address of either.
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

    /// The location of a file of the registry at this location: beside it, or on a hub.
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
                let mut body = request(url, false)?.into_body();
                let body = body.with_config().limit(MAX_BYTES).read_to_vec();
                body.map_err(|error| failed(url, error.into_io()))
            }
        }
    }

    /// Checks that the file exists, without reading it.
    pub fn find(&self) -> Result<(), CliError> {
        match self {
            Self::Path(path) => path.metadata().map(drop).map_err(|e| failed(path, e)),
            Self::Url(url) => request(url, true).map(drop),
        }
    }

    /// Adds this file to a reader's error.
    pub fn in_file<E>(&self) -> impl FnOnce(E) -> CliError + use<E>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        CliError::in_file(Path::new(&self.to_string()))
    }
}

/// A server's response, if it is the file.
fn request(url: &str, only_head: bool) -> Result<ureq::http::Response<ureq::Body>, CliError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .build()
        .into();
    let response = if only_head { agent.head(url).call() } else { agent.get(url).call() };
    let response = response.map_err(|error| failed(url, error.into_io()))?;
    let status = response.status();
    if !status.is_success() {
        return Err(CliError::Status { url: url.into(), status: status.as_u16() });
    }
    Ok(response)
}

fn failed(location: impl AsRef<Path>, source: Error) -> CliError {
    CliError::Read { path: location.as_ref().into(), source }
}
