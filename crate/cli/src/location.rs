//! Locations of a registry's files: in a folder of this computer, or on a static host.

use std::fmt::{self, Display};
use std::io::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loraloom::formats::Placeholder;
use loraloom::registry::{RegistryFile, Schemes, file_beside, registry_address};
use ureq::ResponseExt;

use crate::error::{CliError, read};

/// The longest response read: longer than any file of a model that this program can hold.
const MAX_BYTES: u64 = 16 << 30;
/// The longest registry read.
const MAX_REGISTRY_BYTES: u64 = 32 << 20;
/// The slowest server that a file is read from, in bytes a second: one that sends a few bytes now and then would be
/// waited for without end.
const SLOWEST: u64 = 20_000;
/// Limit of the time to connect, and of the time to the first byte of a response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A file, by its path or its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// On this computer.
    Path(PathBuf),
    /// At an address that starts with `http://` or `https://`.
    Url(String),
    /// What a file of weights says in place of the file of this name.
    Inside { weights: PathBuf, name: &'static str, bytes: Vec<u8> },
}

impl Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) | Self::Inside { weights: path, .. } => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Location {
    /// The location of a registry given by its file, its folder, or the address of either.
    pub fn of_registry(path: &Path) -> Result<Self, CliError> {
        let text = path.to_string_lossy();
        if text.contains("://") {
            return Ok(Self::Url(registry_address(&text, Schemes::Web)?));
        }
        Ok(Self::Path(if path.is_dir() { path.join("registry.json") } else { path.into() }))
    }

    /// The location of a file of the registry at this location: beside it, or on a hub.
    pub fn of_file(&self, file: &RegistryFile, hub: &str) -> Self {
        if let Some((repo, revision, name)) = file.on_hub() {
            return Self::Url(format!("{hub}/{repo}/resolve/{revision}/{name}"));
        }
        match self {
            Self::Path(path) | Self::Inside { weights: path, .. } => {
                Self::Path(path.with_file_name(&file.path))
            }
            Self::Url(url) => Self::Url(file_beside(url, &file.path)),
        }
    }

    /// The path or the path of the address.
    fn path(&self) -> &Path {
        match self {
            Self::Path(path) => path,
            Self::Url(url) => Path::new(url.split('?').next().unwrap_or_default()),
            Self::Inside { name, .. } => Path::new(name),
        }
    }

    /// The last part.
    pub fn file_name(&self) -> String {
        self.path().file_name().unwrap_or_default().to_string_lossy().into()
    }

    /// Whether the name ends with a point and this.
    pub fn has_extension(&self, extension: &str) -> bool {
        self.path().extension().is_some_and(|found| found == extension)
    }

    /// Reads the whole file.
    pub fn read(&self) -> Result<Vec<u8>, CliError> {
        self.read_at_most(MAX_BYTES)
    }

    /// Reads the file of a registry's entry, and no more than the entry says.
    pub fn read_entry(&self, entry: &RegistryFile) -> Result<Vec<u8>, CliError> {
        // One byte more tells a longer file.
        self.read_at_most(if entry.bytes > 0 { entry.bytes + 1 } else { MAX_BYTES })
    }

    fn read_at_most(&self, limit: u64) -> Result<Vec<u8>, CliError> {
        match self {
            Self::Path(path) => read(path),
            Self::Url(url) => Ok(fetch(url, limit)?.0),
            Self::Inside { bytes, .. } => Ok(bytes.clone()),
        }
    }

    /// Reads a registry; returns its contents with the location that its files are relative to.
    pub fn read_registry(&self) -> Result<(Vec<u8>, Self), CliError> {
        match self {
            Self::Path(_) | Self::Inside { .. } => Ok((self.read()?, self.clone())),
            // A redirect moves the files too.
            Self::Url(url) => {
                fetch(url, MAX_REGISTRY_BYTES).map(|(bytes, url)| (bytes, Self::Url(url)))
            }
        }
    }

    /// Checks that the file exists, without reading it.
    pub fn find(&self) -> Result<(), CliError> {
        match self {
            Self::Path(path) | Self::Inside { weights: path, .. } => {
                path.metadata().map(drop).map_err(|e| failed(path, e))
            }
            Self::Url(url) => request(url, true, 0).map(drop),
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

/// A file's contents, at most so many bytes, and its address after redirects.
fn fetch(url: &str, limit: u64) -> Result<(Vec<u8>, String), CliError> {
    let response = request(url, false, limit)?;
    let url = response.get_uri().to_string();
    let mut body = response.into_body();
    let bytes = body.with_config().limit(limit).read_to_vec();
    let bytes = bytes.map_err(|error| failed(&url, error.into_io()))?;
    match Placeholder::detect(&bytes) {
        Some(found) => Err(CliError::Placeholder { path: url.into(), found }),
        None => Ok((bytes, url)),
    }
}

/// A server's response, if it is the file, whose body has so many bytes at most.
fn request(
    url: &str,
    only_head: bool,
    limit: u64,
) -> Result<ureq::http::Response<ureq::Body>, CliError> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .timeout_recv_body(Some(TIMEOUT + Duration::from_secs(limit / SLOWEST)))
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
