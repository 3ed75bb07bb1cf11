//! The container contract of Kratix: folders, environment, status, workflow control.
//!
//! The only module that knows Kratix's paths. What it writes is whole or absent.

use crate::document::{self, Node};
use crate::file_tree::{FileTree, RelativePath, write_file};
use crate::outputs::{Accounts, Claims, Outputs, Role};
use crate::status::Status;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a step finds and leaves its files.
#[derive(Args, Clone, Debug)]
pub struct Folders {
    /// The folder that holds object.yaml
    #[arg(long, env = "KRATIX_INPUT", default_value = "/kratix/input")]
    pub input: PathBuf,
    /// The folder for manifests
    #[arg(long, env = "KRATIX_OUTPUT", default_value = "/kratix/output")]
    pub output: PathBuf,
    /// The folder for the status and for the steps that follow
    #[arg(long, env = "KRATIX_METADATA", default_value = "/kratix/metadata")]
    pub metadata: PathBuf,
}

const STATUS: &str = "status.yaml";
const CONTROL: &str = "workflow-control.yaml";
/// Which Destination gets which folder of the manifests.
const DESTINATIONS: &str = "destination-selectors.yaml";
/// Our own folder for what passes from `render` to `commit`: one folder a repository, and a file.
const HANDOVER: &str = "goldpath";
/// The accounts in Gitea that the request is about, as JSON.
const ACCOUNTS: &str = "accounts.json";
/// What its files claim beside its id, as JSON.
const CLAIMS: &str = "claims.json";
/// What may be wrong with it wherever it is, as a list of sentences in JSON.
const WARNINGS: &str = "warnings.json";

impl Folders {
    /// The folders of one request below `folder`.
    pub fn below(folder: &Path) -> Self {
        Self { input: folder.join("input"), output: folder.join("output"), metadata: folder.join("metadata") }
    }

    /// Reads the request.
    ///
    /// # Errors
    /// An object.yaml that is not there, or is not one YAML document: the contract is broken.
    pub fn read_object(&self) -> Result<Node> {
        let path = self.input.join("object.yaml");
        let read = || -> Result<Node> {
            let source = document::read_limited(File::open(&path)?)?;
            let mut documents = document::parse(&source)?;
            match (documents.pop(), documents.is_empty()) {
                (Some(object), true) => Ok(object),
                (None, _) => bail!("it is empty"),
                (Some(_), false) => bail!("it holds {} documents instead of one", documents.len() + 1),
            }
        };
        read().with_context(|| format!("cannot read the request {}", path.display()))
    }

    /// Writes the request, as Kratix does.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_object(&self, source: &[u8]) -> Result<()> {
        write_file(&self.input.join("object.yaml"), source)
    }

    /// Forgets what an earlier run of this step left behind: Kratix restarts a failed container
    /// in the same Pod. Manifests stay until there are new ones.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear_verdict(&self) -> Result<()> {
        [STATUS, CONTROL, DESTINATIONS].into_iter().try_for_each(|name| self.remove(name))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.metadata.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes manifests for Kratix, and the repositories' files for `commit`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_outputs(&self, outputs: &Outputs) -> Result<()> {
        outputs.manifests.replace(&self.output)?;
        self.write_destinations(&outputs.destinations)?;
        self.write_repositories(outputs)
    }

    /// Says which Destination gets which folder. Only folders that hold files may stand there: Kratix's writer fails for
    /// ever at one that is empty.
    fn write_destinations(&self, destinations: &BTreeMap<String, BTreeMap<String, String>>) -> Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Selector<'a> {
            directory: &'a str,
            match_labels: &'a BTreeMap<String, String>,
        }
        if destinations.is_empty() {
            return self.remove(DESTINATIONS);
        }
        let selectors: Vec<_> =
            destinations.iter().map(|(directory, match_labels)| Selector { directory, match_labels }).collect();
        write_file(&self.metadata.join(DESTINATIONS), serde_yaml::to_string(&selectors)?.as_bytes())
    }

    /// Writes the repositories' files, the accounts and the warnings, for `commit`, and no manifests.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_repositories(&self, outputs: &Outputs) -> Result<()> {
        // Taken apart whole, so that a new kind of output is not forgotten.
        let Outputs {
            manifests: _,
            destinations: _,
            repositories,
            accounts,
            claims,
            warnings: _,
            id: _,
            relations: _,
            status: _,
        } = outputs;
        let mut handover = FileTree::default();
        for (role, tree) in repositories {
            for (path, content) in tree.iter() {
                handover.insert(RelativePath::parse(&format!("{}/{path}", role.as_str()))?, content);
            }
        }
        handover.insert(RelativePath::parse(ACCOUNTS)?, serde_json::to_vec(accounts)?);
        handover.insert(RelativePath::parse(CLAIMS)?, serde_json::to_vec(claims)?);
        handover.insert(RelativePath::parse(WARNINGS)?, serde_json::to_vec(&outputs.lasting_warnings())?);
        handover.replace(&self.metadata.join(HANDOVER))
    }

    /// Takes away everything that a configure run left, once the request is gone.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear_outputs(&self) -> Result<()> {
        self.write_outputs(&Outputs::default())
    }

    /// Reads what `render` left for each repository.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read_repositories(&self) -> Result<BTreeMap<Role, FileTree>> {
        Role::ALL
            .into_iter()
            .map(|role| Ok((role, FileTree::read(&self.metadata.join(HANDOVER).join(role.as_str()))?)))
            .collect()
    }

    /// Reads which accounts in Gitea the request is about, as `render` left it.
    ///
    /// # Errors
    /// A file that is not there or cannot be read.
    pub fn read_accounts(&self) -> Result<Accounts> {
        self.read_handover(ACCOUNTS)
    }

    /// Reads what its files claim beside its id, as `render` left it.
    ///
    /// # Errors
    /// As [`Self::read_accounts`].
    pub fn read_claims(&self) -> Result<Claims> {
        self.read_handover(CLAIMS)
    }

    /// Reads what may be wrong with the request, as `render` left it.
    ///
    /// # Errors
    /// As [`Self::read_accounts`].
    pub fn read_warnings(&self) -> Result<Vec<String>> {
        self.read_handover(WARNINGS)
    }

    fn read_handover<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.metadata.join(HANDOVER).join(name);
        let reading = || format!("cannot read {}", path.display());
        serde_json::from_slice(&fs::read(&path).with_context(reading)?).with_context(reading)
    }

    /// Whether an earlier step of this Pipeline has asked for an end: Kratix still runs the rest.
    pub fn is_stopped(&self) -> bool {
        self.metadata.join(CONTROL).exists()
    }

    /// Whether an earlier step of this Pipeline has written a status.
    pub fn has_status(&self) -> bool {
        self.metadata.join(STATUS).exists()
    }

    /// Reads what an earlier step of this Pipeline wrote as the status.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn read_status(&self) -> Result<Status> {
        let path = self.metadata.join(STATUS);
        if !path.exists() {
            return Ok(Status::default());
        }
        let reading = || format!("cannot read {}", path.display());
        serde_yaml::from_slice(&fs::read(&path).with_context(reading)?).with_context(reading)
    }

    /// Writes the status; Kratix merges it into the request's, at the top level only.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_status(&self, status: &Status) -> Result<()> {
        write_file(&self.metadata.join(STATUS), serde_yaml::to_string(status)?.as_bytes())
    }

    /// Asks Kratix to run the Pipeline again after a time, and to leave as it is what is live.
    /// Not `suspend`: with that, Kratix can lose an edit.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_retry(&self, after: Duration, message: &str) -> Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Control<'a> {
            retry_after: String,
            message: &'a str,
        }
        let control = Control { retry_after: format!("{}s", after.as_secs()), message };
        write_file(&self.metadata.join(CONTROL), serde_yaml::to_string(&control)?.as_bytes())
    }
}
