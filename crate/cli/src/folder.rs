//! Folders of models and modules: on this computer, or in a repository of a hub.

use std::fmt::{self, Display};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use loraloom::formats::Placeholder;
use loraloom::registry::{RemoteFolder, Schemes};

use crate::error::CliError;
use crate::hub::{self, HubFiles};
use crate::output::note;

/// How deep folders of modules are searched.
const MAX_DEPTH: usize = 4;

/// A folder with the files of a model or module.
pub enum Folder {
    /// On this computer.
    Local {
        path: PathBuf,
        /// The file of weights, where the path that was given is that of a file.
        weights: Option<String>,
    },
    /// In a repository of a hub, whose files are fetched when they are needed.
    Hub(Box<HubFiles>),
}

impl Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path, .. } => path.display().fmt(f),
            Self::Hub(files) => files.source().fmt(f),
        }
    }
}

impl Folder {
    /// The folder of that path, or the one of a hub that the text names.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        if let (true, Some(folder), Some(name)) = (path.is_file(), path.parent(), path.file_name())
        {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let weights = Some(name.to_string_lossy().into());
            return Ok(Self::Local { path: folder.into(), weights });
        }
        if path.exists() {
            return Ok(Self::local(path));
        }
        let text = path.to_string_lossy();
        match RemoteFolder::parse(&text, &hub::endpoint()?, Schemes::Web) {
            Ok(RemoteFolder::Hub(source)) => {
                let files = HubFiles::open(source)?;
                if files.commit() != files.source().revision {
                    note(format!("{} is read at commit {}", files.source(), files.commit()));
                }
                Ok(Self::Hub(Box::new(files)))
            }
            Ok(RemoteFolder::Folder(_)) => Err(CliError::HostFolder { url: text.into() }),
            Err(_) => {
                let source = path.metadata().err();
                let source = source.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
                Err(CliError::Read { path: path.into(), source })
            }
        }
    }

    /// A folder of this computer.
    fn local(path: &Path) -> Self {
        Self::Local { path: path.into(), weights: None }
    }

    /// The names of the files in the folder, sorted.
    pub fn names(&self) -> Result<Vec<String>, CliError> {
        let mut names: Vec<String> = match self {
            Self::Local { path, .. } => entries(path)?
                .into_iter()
                .filter(|path| !path.is_dir())
                .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
                .collect(),
            Self::Hub(files) => {
                files.paths().iter().filter(|path| !path.contains('/')).cloned().collect()
            }
        };
        names.sort();
        Ok(names)
    }

    /// The path of a file on this computer.
    pub fn file(&self, name: &str) -> Result<PathBuf, CliError> {
        match self {
            Self::Local { path, .. } => Ok(path.join(name)),
            Self::Hub(files) => files.fetch(name),
        }
    }

    /// The first file of these names that is there and is no placeholder; `None` where there is none.
    pub fn first(&self, names: &[&str]) -> Result<Option<PathBuf>, CliError> {
        let present = self.names()?;
        let mut refused = None;
        for &name in names.iter().filter(|&&name| present.iter().any(|found| found == name)) {
            let path = self.file(name)?;
            match placeholder(&path)? {
                None => return Ok(Some(path)),
                Some(found) => {
                    refused.get_or_insert(CliError::Placeholder { path, found });
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }

    /// The file of weights that the folder's address names.
    pub fn named_weights(&self) -> Option<&str> {
        match self {
            Self::Local { weights, .. } => weights.as_deref(),
            Self::Hub(files) => files.source().file.as_deref(),
        }
    }

    /// Id and title on a hub; empty for a folder of this computer, whose name says nothing.
    pub fn id(&self) -> String {
        match self {
            Self::Local { .. } => String::new(),
            Self::Hub(files) => files.source().repo.clone(),
        }
    }

    /// The last part of its path.
    pub fn name(&self) -> String {
        match self {
            Self::Local { path, .. } => {
                let whole = path.canonicalize().unwrap_or_else(|_| path.into());
                whole.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into()
            }
            Self::Hub(files) => {
                let path = files.source().folder.as_deref().unwrap_or(&files.source().repo);
                path.rsplit('/').next().unwrap_or_default().into()
            }
        }
    }

    /// The folders with a file of that name: this one, or else those in it, each with its path from
    /// here; empty for this one.
    pub fn holding(self, file: &str) -> Result<Vec<(String, Folder)>, CliError> {
        if self.names()?.iter().any(|name| name == file) {
            return Ok(vec![(String::new(), self)]);
        }
        let mut found = Vec::new();
        match &self {
            Self::Local { path, .. } => holding(path, file, "", 0, &mut found)?,
            Self::Hub(files) => {
                let ending = format!("/{file}");
                let inside = files.paths().iter().filter_map(|path| path.strip_suffix(&ending));
                let child = |path: &str| (path.into(), Folder::Hub(Box::new(files.child(path))));
                found.extend(inside.map(child));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }
}

fn holding(
    folder: &Path,
    file: &str,
    prefix: &str,
    depth: usize,
    found: &mut Vec<(String, Folder)>,
) -> Result<(), CliError> {
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let inner = format!("{prefix}{name}");
        if path.join(file).exists() {
            found.push((inner, Folder::local(&path)));
        } else if depth < MAX_DEPTH {
            holding(&path, file, &format!("{inner}/"), depth + 1, found)?;
        }
    }
    Ok(())
}

/// The paths in a folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::Read { path: folder.into(), source };
    let entries = folder.read_dir().map_err(failed)?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

/// The placeholder that a file is.
fn placeholder(path: &Path) -> Result<Option<Placeholder>, CliError> {
    let mut start = Vec::new();
    let read = File::open(path)
        .and_then(|file| file.take(Placeholder::BYTES as u64).read_to_end(&mut start));
    read.map_err(|source| CliError::Read { path: path.into(), source })?;
    Ok(Placeholder::detect(&start))
}
