//! What stays of a root module that is removed.

use goldpath::file_tree::{FileTree, RelativePath};
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};

/// What the file begins with that lets go of what stays.
const KEPT: &str = "goldpath_kept";

/// What is planned instead of the files of a root module that is removed, where resources of it have `prevent_destroy`: these
/// leave the state, and stay as they are; all else is destroyed. (To destroy them all would be an error to Terraform, so that
/// nobody could ever remove such a root module.) None where no resource has it.
pub fn without_kept(files: &FileTree) -> Option<FileTree> {
    let (mut left, mut kept) = (FileTree::default(), Vec::new());
    for (path, content) in files.iter().filter(|(path, _)| path.as_str().ends_with(".tf")) {
        let mut body: Body = str::from_utf8(content).ok()?.parse().ok()?;
        let names = |block: &Block| block.labels.iter().map(|l| l.as_str()).collect::<Vec<_>>().join(".");
        kept.extend(body.remove_blocks("resource").iter().filter(|block| is_kept(block)).map(names));
        body.remove_blocks("output");
        left.insert(path.clone(), body.to_string());
    }
    let removed =
        |name: &String| format!("removed {{\n  from = {name}\n\n  lifecycle {{\n    destroy = false\n  }}\n}}\n");
    let mut file = RelativePath::parse(&format!("{KEPT}.tf")).ok()?;
    while left.get(&file).is_some() {
        file = RelativePath::parse(&file.as_str().replace(".tf", "_.tf")).ok()?;
    }
    left.insert(file, kept.iter().map(removed).collect::<String>());
    (!kept.is_empty()).then_some(left)
}

fn is_kept(resource: &Block) -> bool {
    let lifecycle = resource.body.get_blocks("lifecycle").find_map(|block| block.body.get_attribute("prevent_destroy"));
    // Terraform takes `"true"` and `(true)` too.
    lifecycle.is_some_and(|attribute| !matches!(&attribute.value, Expression::Bool(kept) if !*kept.value()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    fn tree(files: &[(&str, &str)]) -> FileTree {
        let mut tree = FileTree::default();
        files.iter().for_each(|(path, text)| tree.insert(RelativePath::parse(path).unwrap(), *text));
        tree
    }

    #[test]
    fn what_may_not_be_destroyed_leaves_the_state_and_nothing_else_of_it_stays() {
        let kept = "resource \"a\" \"b\" {\n  lifecycle {\n    prevent_destroy = true\n  }\n}\n";
        let other = "resource \"a\" \"c\" {\n  lifecycle {\n    prevent_destroy = false\n  }\n}\n";
        let provider = "provider \"a\" {}\n";
        let files = [("README.md", "# A"), ("b.tf", kept), ("main.tf", other), ("p.tf", provider)];
        let output = ("o.tf", "output \"x\" {\n  value = a.b.id\n}\n");
        let left = without_kept(&tree(&[files.as_slice(), &[output]].concat())).unwrap();
        let let_go = "removed {\n  from = a.b\n\n  lifecycle {\n    destroy = false\n  }\n}\n";
        let expected =
            tree(&[("b.tf", ""), ("goldpath_kept.tf", let_go), ("main.tf", ""), ("o.tf", ""), ("p.tf", provider)]);
        assert_eq!(left, expected);
        assert_eq!(without_kept(&tree(&[files[0], files[2], files[3]])), None);
        for spelled in ["\"true\"", "(true)"] {
            assert!(without_kept(&tree(&[("b.tf", &kept.replace("true", spelled))])).is_some(), "{spelled}");
        }
        // A file of the name that ours has stays what it is.
        let left = without_kept(&tree(&[("b.tf", kept), ("goldpath_kept.tf", provider)])).unwrap();
        assert_eq!(left, tree(&[("b.tf", ""), ("goldpath_kept.tf", provider), ("goldpath_kept_.tf", let_go)]));
    }
}
