//! How files change, as git shows it.

use crate::file_tree::{FileTree, RelativePath};
use anyhow::{Context, Result};
use serde::Serialize;

/// How one file changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileDiff {
    /// Its path, below the name of where it is, as `catalog/teams/alpha.yaml`.
    pub path: String,
    /// How many lines are new.
    pub added: usize,
    /// How many lines are gone.
    pub removed: usize,
    /// The unified diff, with its header.
    pub diff: String,
}

impl FileDiff {
    /// How a file changes that is at `path` in the tree called `name`; none on either side where there is no file.
    ///
    /// # Errors
    /// None that is known: what libgit2 says.
    pub fn new(name: &str, path: &RelativePath, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<Self> {
        let path = format!("{name}/{path}");
        let (before, after) = (old.unwrap_or_default(), new.unwrap_or_default());
        let mut patch = git2::Patch::from_buffers(before, None, after, None, None)
            .with_context(|| format!("cannot compare `{path}`"))?;
        let (_, added, removed) = patch.line_stats()?;
        let text = String::from_utf8_lossy(&patch.to_buf()?).into_owned();
        // Its own header takes what is not there for an empty file.
        let hunks = text.find("@@").map_or("", |begin| &text[begin..]);
        let (kind, from, to) = match (old, new) {
            (None, _) => ("new file mode 100644\n", "/dev/null".to_owned(), format!("b/{path}")),
            (_, None) => ("deleted file mode 100644\n", format!("a/{path}"), "/dev/null".to_owned()),
            _ => ("", format!("a/{path}"), format!("b/{path}")),
        };
        let diff = format!("diff --git a/{path} b/{path}\n{kind}--- {from}\n+++ {to}\n{hunks}");
        Ok(Self { path, added, removed, diff })
    }
}

/// How a tree called `name` changes: the files that differ.
///
/// # Errors
/// As [`FileDiff::new`].
pub fn trees(name: &str, old: &FileTree, new: &FileTree) -> Result<Vec<FileDiff>> {
    old.differing(new).map(|path| FileDiff::new(name, path, old.get(path), new.get(path))).collect()
}
