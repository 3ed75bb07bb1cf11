//! Relative paths and the bytes that belong there.
//!
//! A [`RelativePath`] cannot leave the folder it is joined to, nor reach into git's own; a
//! [`FileTree`] is sorted, so that the same files are the same everywhere.

use anyhow::{Context, Result, ensure};
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

/// A path below some folder: segments of printable characters, separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelativePath(String);

impl RelativePath {
    /// Refuses what is absolute, empty, leaves its folder, names git's own folder on any file
    /// system, or holds characters that a path should not.
    pub fn parse(path: &str) -> Result<Self> {
        for segment in path.split('/') {
            let git = segment.trim_end_matches(['.', ' ']).eq_ignore_ascii_case(".git")
                || segment.eq_ignore_ascii_case("git~1");
            let plain = !segment.contains(['\\', ':']) && !segment.chars().any(crate::text::is_deceptive);
            ensure!(
                !matches!(segment, "" | "." | "..") && segment.len() <= 255 && !git && plain,
                "{path:?} is not a path below a folder"
            );
        }
        Ok(Self(path.to_owned()))
    }

    /// A path made of names, each of a type that keeps it one: a program's own, never a user's text.
    pub fn of_names(path: &str) -> Self {
        Self::parse(path).expect("made of names")
    }

    /// The path, with `/` between its segments.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it would be a folder that `other` is in.
    pub fn is_above(&self, other: &Self) -> bool {
        other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether a tree that holds one cannot hold the other beside it: they are the same, or one is above the other.
    pub fn excludes(&self, other: &Self) -> bool {
        self == other || self.is_above(other) || other.is_above(self)
    }

    /// Whether its name, or that of a folder that it is in, begins with a dot.
    pub fn is_hidden(&self) -> bool {
        self.0.split('/').any(|name| name.starts_with('.'))
    }

    /// Whether it is YAML by its name.
    pub fn is_yaml(&self) -> bool {
        self.0.ends_with(".yaml") || self.0.ends_with(".yml")
    }

    /// The folders that it is in, from the outermost.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }
}

impl Borrow<str> for RelativePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelativePath {
    type Error = anyhow::Error;

    fn try_from(path: String) -> Result<Self> {
        Self::parse(&path)
    }
}

impl From<RelativePath> for String {
    fn from(path: RelativePath) -> Self {
        path.0
    }
}

/// Files by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree(BTreeMap<RelativePath, Vec<u8>>);

impl FileTree {
    /// Adds a file.
    pub fn insert(&mut self, path: RelativePath, content: impl Into<Vec<u8>>) {
        self.0.insert(path, content.into());
    }

    /// Every file, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RelativePath, &[u8])> {
        self.0.iter().map(|(path, content)| (path, content.as_slice()))
    }

    /// The content of a file.
    pub fn get(&self, path: &RelativePath) -> Option<&[u8]> {
        self.0.get(path).map(Vec::as_slice)
    }

    /// The path of every file, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &RelativePath> {
        self.0.keys()
    }

    /// The paths of the files that are not the same in both, sorted.
    pub fn differing<'t>(&'t self, other: &'t Self) -> impl Iterator<Item = &'t RelativePath> {
        let paths: BTreeSet<_> = self.paths().chain(other.paths()).collect();
        paths.into_iter().filter(|path| self.get(path) != other.get(path))
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads every file below `folder`; none where there is no such folder.
    ///
    /// # Errors
    /// A file that cannot be read, a link, or a name that is no [`RelativePath`].
    pub fn read(folder: &Path) -> Result<Self> {
        let mut tree = Self::default();
        if folder.is_dir() {
            tree.read_below(folder, "")?;
        }
        Ok(tree)
    }

    fn read_below(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name();
            let name = name.to_str().with_context(|| format!("{name:?} in {} is not UTF-8", folder.display()))?;
            let path = format!("{prefix}{name}");
            let kind = entry.file_type().with_context(reading)?;
            if kind.is_dir() {
                self.read_below(&entry.path(), &format!("{path}/"))?;
            } else {
                ensure!(kind.is_file(), "{} is not a plain file", entry.path().display());
                let content =
                    fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                self.insert(RelativePath::parse(&path)?, content);
            }
        }
        Ok(())
    }

    /// Makes `folder` hold exactly these files: what else was in it is removed, the folder itself
    /// stays (Kratix mounts it).
    ///
    /// # Errors
    /// The first file or folder that could not be written or removed.
    pub fn replace(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
        for (path, content) in self.iter() {
            write_file(&folder.join(path.as_str()), content)?;
        }
        Ok(())
    }
}

/// Writes a file, whole or not at all, readable for all (Kratix reads as another user), with the
/// folders above it.
///
/// # Errors
/// The folder or file that could not be written.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let folder = path.parent().context("it has no folder")?;
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().permissions(readable_by_all()).tempfile_in(folder)?;
        file.write_all(content)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn readable_by_all() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_path_stays_below_its_folder_and_out_of_git() {
        for good in ["a", "teams/a.tf", ".goldpath/team/ns/a.yaml", "ü/x y"] {
            assert_eq!(RelativePath::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "/a",
            "a//b",
            "a/",
            ".",
            "..",
            "a/../b",
            "./a",
            ".git",
            "x/.GIT/config",
            ".git.",
            ".git ",
            "git~1",
            "a\\b",
            "C:x",
            "a\0",
            "a\nb",
            "a\u{202e}",
            &"x".repeat(256),
        ] {
            assert!(RelativePath::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn replace_leaves_exactly_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("old")).unwrap();
        fs::write(folder.path().join("old/file"), "x").unwrap();
        fs::write(folder.path().join("a"), "old").unwrap();
        let mut tree = FileTree::default();
        tree.insert(RelativePath::parse("a").unwrap(), "new");
        tree.insert(RelativePath::parse("b/c").unwrap(), "new");
        tree.replace(folder.path()).unwrap();
        assert_eq!(FileTree::read(folder.path()).unwrap(), tree);
    }

    #[test]
    fn a_link_in_a_tree_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
        assert!(FileTree::read(folder.path()).unwrap_err().to_string().contains("not a plain file"));
    }
}
