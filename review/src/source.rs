//! What a root module may say, before any program reads it: planning already runs code.
//!
//! Only what is known to be harmless is let through. A pull request's author could else run a
//! program (`data "external"`, provisioners, a provider of one's own), show files of the runner in a
//! comment (`file("/proc/self/environ")`), or have a token sent elsewhere (`base_url`, `address`).
//! A root module is a flat folder of plain files; who reads it sees to that no link is one of them.
//!
//! What only the apply knows is shown as `(known after apply)`, and that could be anything. So what an
//! argument says is known when it is planned, or it is a reference to a resource that stands alone; and
//! what names an organisation, a team, a repository or a person is written as it is.

use crate::finding::{Finding, Severity};
use goldpath::config::review::PolicySettings;
use goldpath::file_tree::FileTree;
use goldpath::text::{is_deceptive, quote};
use hcl_edit::expr::{Expression, FuncCall, ObjectKey, TraversalOperator};
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use hcl_edit::template::{Element, ForTemplateExpr, StringTemplate};
use hcl_edit::visit::{self, Visit};
use hcl_edit::{Decorated, Span};
use std::collections::BTreeSet;
use std::thread;

/// More files no root module needs.
const MAX_FILES: usize = 100;
/// All files together, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The longest file, in bytes: the parser takes time with the square of an object's keys.
const MAX_FILE: usize = 128 << 10;
/// As many faults as are told; the rest is counted.
const MAX_FINDINGS: usize = 50;

/// The rule's id.
const RULE: &str = "root-module";

/// Functions that give the same for the same arguments and see nothing but those, from
/// <https://developer.hashicorp.com/terraform/language/functions>.
const FUNCTIONS: &[&str] = &[
    "abs",
    "alltrue",
    "anytrue",
    "base64decode",
    "base64encode",
    "can",
    "ceil",
    "chomp",
    "chunklist",
    "cidrhost",
    "cidrnetmask",
    "cidrsubnet",
    "cidrsubnets",
    "coalesce",
    "coalescelist",
    "compact",
    "concat",
    "contains",
    "csvdecode",
    "distinct",
    "element",
    "endswith",
    "flatten",
    "floor",
    "format",
    "formatlist",
    "indent",
    "index",
    "join",
    "jsondecode",
    "jsonencode",
    "keys",
    "length",
    "log",
    "lookup",
    "lower",
    "matchkeys",
    "max",
    "md5",
    "merge",
    "min",
    "one",
    "parseint",
    "pow",
    "range",
    "regex",
    "regexall",
    "replace",
    "reverse",
    "sensitive",
    "setintersection",
    "setproduct",
    "setsubtract",
    "setunion",
    "sha1",
    "sha256",
    "sha512",
    "signum",
    "slice",
    "sort",
    "split",
    "startswith",
    "strcontains",
    "strrev",
    "substr",
    "sum",
    "title",
    "tobool",
    "tolist",
    "tomap",
    "tonumber",
    "toset",
    "tostring",
    "transpose",
    "trim",
    "trimprefix",
    "trimspace",
    "trimsuffix",
    "try",
    "upper",
    "urlencode",
    "values",
    "yamldecode",
    "yamlencode",
    "zipmap",
];

/// The arguments that say whose a resource is or to whom it gives something, with the attributes of the root module's own
/// resources that they may be: an organisation's id is no team's, however alike they look.
const NAMING: &[(&str, &[(&str, &str)])] = &[
    ("approval_whitelist_teams", &[]),
    ("approval_whitelist_users", &[]),
    ("members", &[]),
    ("merge_whitelist_teams", &[]),
    ("merge_whitelist_users", &[]),
    ("org", OWNER),
    ("organisation", OWNER),
    ("organization", OWNER),
    ("owner", OWNER),
    ("push_whitelist_teams", &[]),
    ("push_whitelist_users", &[]),
    ("repo", REPOSITORY),
    ("repository", REPOSITORY),
    ("repository_owner", OWNER),
    ("team", TEAM),
    ("team_id", TEAM),
    ("user", OWNER),
    ("username", OWNER),
];
const OWNER: &[(&str, &str)] = &[("gitea_org", "name"), ("gitea_user", "username")];
const REPOSITORY: &[(&str, &str)] = &[("gitea_repository", "name"), ("gitea_repository", "id")];
const TEAM: &[(&str, &str)] = &[("gitea_team", "id")];

/// What the first name of a reference can be that is no resource; none of them is known only by the apply.
const OTHERS: &[&str] = &["count", "local", "path", "terraform", "var"];

/// The types whose `name` is such an argument too.
const NAMED: &[&str] = &["gitea_org", "gitea_repository"];

/// What looks like a function in the type of a variable.
const TYPES: &[&str] = &["list", "map", "object", "optional", "set", "tuple"];

/// The stack, in bytes: the parser refuses what is more than 64 deep (hcl-edit's `nesting.rs`), but
/// even that is too much for the 2 MiB that a thread usually has.
const STACK: usize = 64 << 20;

/// Everything in a root module that it may not say, sorted; nothing if a program may read it.
pub fn check(files: &FileTree, policy: &PolicySettings) -> Vec<Finding> {
    thread::scope(|scope| {
        let checking = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || check_all(files, policy));
        let unchecked = || vec![finding("", "the root module could not be checked: try again")];
        checking.map_or_else(|_| unchecked(), |checking| checking.join().unwrap_or_else(|_| unchecked()))
    })
}

fn check_all(files: &FileTree, policy: &PolicySettings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let size: usize = files.iter().map(|(_, content)| content.len()).sum();
    if files.len() > MAX_FILES || size > MAX_BYTES {
        let message = format!(
            "the root module has {} files with {size} bytes, which is more than anybody can review: \
             keep it to {MAX_FILES} files and {MAX_BYTES} bytes",
            files.len()
        );
        return vec![finding("", message)];
    }
    let mut parsed = Vec::new();
    for (path, content) in files.iter() {
        match check_name(path.as_str()) {
            Err(reason) => findings.push(finding(path.as_str(), reason)),
            Ok(Kind::Harmless) => {}
            Ok(Kind::Terraform) => match parse(path.as_str(), content) {
                Ok((text, body)) => parsed.push((path.as_str(), text, body)),
                Err(fault) => findings.push(fault),
            },
        }
    }
    let providers = parsed.iter().flat_map(|(_, _, body)| declared_providers(body)).collect();
    for (file, text, body) in &parsed {
        let mut check = Check { policy, providers: &providers, file, text, offset: 0, in_type: false, found: vec![] };
        check.check_body(body);
        findings.append(&mut check.found);
    }
    findings.sort_by_cached_key(|finding| {
        let (file, line) = finding.place.rsplit_once(':').unwrap_or((&finding.place, ""));
        (file.to_owned(), line.parse().unwrap_or(0_usize), finding.message.clone())
    });
    findings.dedup();
    if findings.len() > MAX_FINDINGS {
        let more = findings.len() - MAX_FINDINGS;
        findings.truncate(MAX_FINDINGS);
        findings.push(finding("", format!("there are {more} more faults of this kind: correct the ones above first")));
    }
    findings
}

fn finding(place: &str, message: impl Into<String>) -> Finding {
    Finding { severity: Severity::Denied, rule: RULE.to_owned(), place: place.to_owned(), message: message.into() }
}

/// What is done with a file.
#[derive(Clone, Copy)]
enum Kind {
    /// It is read by Terraform, so it is checked.
    Terraform,
    /// No program reads it.
    Harmless,
}

fn check_name(path: &str) -> Result<Kind, String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    match name {
        "README.md" => Ok(Kind::Harmless),
        _ if path.contains('/') => {
            Err("a root module has no folders, since modules cannot be used: move it up, or remove it".to_owned())
        }
        ".terraform.lock.hcl" => {
            Err("the platform has a lock file of its own, with the providers that it allows: remove this one"
                .to_owned())
        }
        "override.tf" => Err(OVERRIDE.to_owned()),
        _ if name.ends_with("_override.tf") => Err(OVERRIDE.to_owned()),
        _ if name.ends_with(".tf") && plain => Ok(Kind::Terraform),
        _ if name.ends_with(".tf.json") => {
            Err("Terraform in JSON is not checked, so it is not taken: write it as `.tf`".to_owned())
        }
        _ if name.ends_with(".tfvars") || name.ends_with(".tfvars.json") => {
            Err("nobody sets variables here: write the value as the variable's `default`".to_owned())
        }
        _ => Err("only files `*.tf` and a `README.md` belong into a root module: remove it, or rename it".to_owned()),
    }
}

const OVERRIDE: &str = "a file of this name changes what others say, behind the reviewer's back: \
                        write it where it belongs, and rename the file";

fn parse<'a>(path: &str, content: &'a [u8]) -> Result<(&'a str, Body), Finding> {
    let at = |text: &str, offset: usize| place(path, text, offset);
    if content.len() > MAX_FILE {
        let message = format!("the file has more than {MAX_FILE} bytes: split it, so that it can be reviewed");
        return Err(finding(path, message));
    }
    let text = str::from_utf8(content).map_err(|error| {
        let valid = str::from_utf8(&content[..error.valid_up_to()]).unwrap_or_default();
        finding(&at(valid, valid.len()), "this is not UTF-8: save the file in that encoding")
    })?;
    // A `\r` alone, too: parsers do not agree on whether it ends a comment.
    if let Some((offset, c)) = text.char_indices().find(|(_, c)| is_deceptive(*c) && !matches!(c, '\n' | '\t')) {
        let message = format!(
            "the character U+{:04X} is not visible, or changes how others are shown: remove it, or write it as an \
             escape in a string (line ends are `\\n` alone)",
            u32::from(c)
        );
        return Err(finding(&at(text, offset), message));
    }
    let body = hcl_edit::parser::parse_body(text).map_err(|error| {
        let place = format!("{path}:{}", error.location().line());
        finding(&place, format!("this is no HCL: {}", error.message()))
    })?;
    Ok((text, body))
}

fn place(file: &str, text: &str, offset: usize) -> String {
    let line = text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1;
    format!("{file}:{line}")
}

/// The local names of the declared providers; whether they are allowed is told where they are declared.
fn declared_providers(body: &Body) -> impl Iterator<Item = &str> {
    let terraform = body.blocks().filter(|block| block.has_ident("terraform"));
    let blocks = terraform.flat_map(|block| block.body.get_blocks("required_providers"));
    blocks.flat_map(|block| block.body.attributes()).map(|entry| entry.key.as_str())
}

fn object_entry<'a>(value: &'a Expression, name: &str) -> Option<&'a Expression> {
    let (_, value) = value.as_object()?.iter().find(|(key, _)| key_name(key) == Some(name))?;
    Some(value.expr())
}

fn key_name(key: &ObjectKey) -> Option<&str> {
    match key {
        ObjectKey::Ident(ident) => Some(ident.as_str()),
        ObjectKey::Expression(expression) => expression.as_str(),
    }
}

fn is_allowed_source(source: &str, policy: &PolicySettings) -> bool {
    let full = |source: &str| {
        match source.split('/').count() {
            1 => format!("registry.terraform.io/hashicorp/{source}"),
            2 => format!("registry.terraform.io/{source}"),
            _ => source.to_owned(),
        }
        .to_lowercase()
    };
    policy.providers.iter().any(|allowed| full(allowed) == full(source))
}

fn is_allowed_type(kind: &str, policy: &PolicySettings) -> bool {
    policy.resources.iter().any(|allowed| match allowed.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => kind == allowed,
    })
}

/// Goes through one file.
struct Check<'a> {
    policy: &'a PolicySettings,
    providers: &'a BTreeSet<&'a str>,
    file: &'a str,
    text: &'a str,
    /// Where the innermost attribute or block is that is being looked at.
    offset: usize,
    /// Whether it is the type of a variable.
    in_type: bool,
    found: Vec<Finding>,
}

impl Check<'_> {
    fn refuse(&mut self, at: &impl Span, message: impl Into<String>) {
        let offset = at.span().map_or(self.offset, |span| span.start);
        self.found.push(finding(&place(self.file, self.text, offset), message));
    }

    fn check_lines(&mut self, text: &impl Span) {
        let lines = text.span().and_then(|span| self.text.get(span)).is_none_or(|text| text.contains('\n'));
        if lines {
            self.refuse(text, "a string must end on its line: write line ends in it as `\\n`");
        }
    }

    fn check_body(&mut self, body: &Body) {
        for structure in body {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = quote(attribute.key.as_str());
                    self.refuse(attribute, format!("{name} stands outside of any block: put it into one"));
                }
                Structure::Block(block) => self.check_block(block),
            }
        }
    }

    fn check_block(&mut self, block: &Block) {
        self.offset = block.span().map_or(self.offset, |span| span.start);
        let labels: Vec<_> = block.labels.iter().map(|label| label.as_str()).collect();
        match (block.ident.as_str(), labels.as_slice()) {
            ("terraform", []) => self.check_terraform(block),
            ("provider", [name]) => self.check_provider(block, name),
            ("resource", [kind, _]) => self.check_resource(block, kind),
            ("variable", [name]) => self.check_variable(block, name),
            ("output", [_]) => self.visit_body(&block.body),
            ("locals", []) => {
                for local in block.body.attributes() {
                    if refers(&local.value, Each::Value) {
                        let message = "a local value may not refer to a resource, so that nothing hides in what only \
                                       the apply knows: write the reference where it is used";
                        self.refuse(local, message);
                    }
                }
                self.visit_body(&block.body);
            }
            (kind, _) => {
                let why = match kind {
                    "data" => "data sources are read while planning, and some run programs",
                    "module" => "a module is code from elsewhere, which nobody has checked",
                    "import" => "it takes over what somebody else may own",
                    "moved" | "removed" => "it changes the state, not what is there",
                    "check" => "it may hold data sources, which are read while planning",
                    "terraform" | "provider" | "resource" | "variable" | "output" | "locals" => {
                        "it does not have the labels that Terraform asks for"
                    }
                    _ => "it is not known to be harmless",
                };
                let what = std::iter::once(kind).chain(labels.iter().copied()).collect::<Vec<_>>().join(".");
                let message = format!(
                    "the block {} is not allowed: {why}; use `resource`, `output`, `locals`, `variable`, `provider` or \
                     `terraform`, or ask the platform's owners",
                    quote(&what)
                );
                self.refuse(block, message);
            }
        }
    }

    fn check_terraform(&mut self, block: &Block) {
        for structure in &block.body {
            match structure {
                Structure::Attribute(attribute) if attribute.has_key("required_version") => {
                    if !attribute.value.is_str() {
                        self.refuse(attribute, "`required_version` must be a plain string");
                    }
                }
                Structure::Block(inner) if inner.has_ident("required_providers") && inner.labels.is_empty() => {
                    self.check_required_providers(inner);
                }
                Structure::Block(inner) if inner.has_ident("backend") && inner.labels.len() == 1 => {
                    if !inner.body.is_empty() {
                        let message = "the backend must be empty, since the platform sets where the state is and a \
                                       token goes there: remove what is in it";
                        self.refuse(inner, message);
                    }
                }
                Structure::Attribute(Attribute { key, .. }) | Structure::Block(Block { ident: key, .. }) => {
                    let message = format!(
                        "{} is not allowed in `terraform`: only `required_version`, `required_providers` and an empty \
                         `backend` are",
                        quote(key.as_str())
                    );
                    self.refuse(structure, message);
                }
            }
        }
    }

    fn check_required_providers(&mut self, block: &Block) {
        for structure in &block.body {
            let Structure::Attribute(entry) = structure else {
                self.refuse(
                    structure,
                    "`required_providers` has no blocks: write `name = { source = …, version = … }`",
                );
                continue;
            };
            let name = quote(entry.key.as_str());
            let source = object_entry(&entry.value, "source").and_then(Expression::as_str);
            let Some(source) = source else {
                let message =
                    format!("provider {name} must be `{{ source = \"…\", version = \"…\" }}`, in plain strings");
                self.refuse(entry, message);
                continue;
            };
            if !is_allowed_source(source, self.policy) {
                let message = format!(
                    "the provider {} is a program that nobody has allowed: use {}, or ask the platform's owners",
                    quote(source),
                    one_of(&self.policy.providers)
                );
                self.refuse(entry, message);
            }
            let builtin = source.starts_with("terraform.io/builtin/");
            let version = object_entry(&entry.value, "version");
            if !version.map_or(builtin, Expression::is_str) {
                self.refuse(entry, format!("provider {name} needs a `version`, as a plain string"));
            }
            // `source` and `"source"` are two keys here, of which Terraform takes the last.
            let keys: Vec<_> = entry.value.as_object().into_iter().flatten().map(|(key, _)| key_name(key)).collect();
            let once = |name| keys.iter().filter(|key| **key == Some(name)).count() <= 1;
            let known = keys.iter().all(|key| matches!(key, Some("source" | "version")));
            if !known || !once("source") || !once("version") {
                self.refuse(
                    entry,
                    format!("provider {name} may have one `source` and one `version`, and nothing else"),
                );
            }
        }
    }

    fn check_provider(&mut self, block: &Block, name: &str) {
        self.check_declared(block, name);
        for structure in &block.body {
            match structure {
                Structure::Attribute(attribute) if attribute.has_key("alias") && attribute.value.is_str() => {}
                Structure::Attribute(Attribute { key, .. }) | Structure::Block(Block { ident: key, .. }) => {
                    let message = format!(
                        "{} is not allowed in a provider, which gets its settings from the platform so that a token \
                         goes nowhere else: remove it",
                        quote(key.as_str())
                    );
                    self.refuse(structure, message);
                }
            }
        }
    }

    /// Without a declaration, Terraform would take the provider of that name from HashiCorp's.
    fn check_declared(&mut self, at: &impl Span, name: &str) {
        if !self.providers.contains(name) {
            let message = format!(
                "the provider {} is not declared: add it to `required_providers`, with its source and version",
                quote(name)
            );
            self.refuse(at, message);
        }
    }

    fn check_resource(&mut self, block: &Block, kind: &str) {
        if !is_allowed_type(kind, self.policy) {
            let message = format!(
                "a resource {} is not allowed: use {}, or ask the platform's owners",
                quote(kind),
                one_of(&self.policy.resources)
            );
            self.refuse(block, message);
        }
        match block.body.get_attribute("provider") {
            None => self.check_declared(block, kind.split('_').next().unwrap_or(kind)),
            Some(attribute) => {
                let name = match &attribute.value {
                    Expression::Variable(name) => Some(name.as_str()),
                    Expression::Traversal(traversal) => traversal.expr.as_variable().map(|name| name.as_str()),
                    _ => None,
                };
                match name {
                    Some(name) => self.check_declared(attribute, name),
                    None => self.refuse(attribute, "`provider` must be the name of a provider, as `gitea.alias`"),
                }
            }
        }
        let is_set = |attribute: &Attribute| matches!(&attribute.value, Expression::FuncCall(call) if call.name.name.as_str() == "toset");
        let for_each = block.body.get_attribute("for_each");
        let each = match for_each {
            Some(attribute) if is_set(attribute) => Each::Key,
            Some(attribute) if refers(&attribute.value, Each::Value) => Each::Resource,
            _ => Each::Value,
        };
        self.check_arguments(kind, &block.body, each);
        self.visit_body(&block.body);
    }

    /// Whether what a resource says can be reviewed.
    fn check_arguments(&mut self, kind: &str, body: &Body, each: Each) {
        for structure in body {
            match structure {
                Structure::Block(block) if block.has_ident("lifecycle") => {}
                Structure::Block(block) => self.check_arguments(kind, &block.body, each),
                Structure::Attribute(argument) if matches!(argument.key.as_str(), "provider" | "depends_on") => {}
                Structure::Attribute(argument) => self.check_argument(kind, argument, each),
            }
        }
    }

    fn check_argument(&mut self, kind: &str, argument: &Attribute, each: Each) {
        let name = argument.key.as_str();
        let own = match name {
            "name" if NAMED.contains(&kind) => Some([].as_slice()),
            _ => NAMING.iter().find(|(naming, _)| *naming == name).map(|(_, own)| *own),
        };
        if let Some(own) = own {
            if !is_plain(&argument.value, own, each) {
                let references: Vec<_> = own.iter().map(|(kind, what)| format!("`{kind}.<name>.{what}`")).collect();
                let or =
                    if references.is_empty() { String::new() } else { format!(", or {}", references.join(" or ")) };
                let message = format!(
                    "{} says whose it is, and must be seen in the text: write a plain string, `each.key`{or}, and \
                     nothing around it",
                    quote(name)
                );
                self.refuse(argument, message);
            }
        } else if refers(&argument.value, each) && !stands_alone(&argument.value) {
            let message = format!(
                "{} is worked out from a resource, so that only the apply may know what it is: write the value, or the \
                 reference alone",
                quote(name)
            );
            self.refuse(argument, message);
        }
    }

    fn check_variable(&mut self, block: &Block, name: &str) {
        if !block.body.has_attribute("default") {
            let message = format!("variable {} needs a `default`, since nobody is asked: add one", quote(name));
            self.refuse(block, message);
        }
        for structure in &block.body {
            self.in_type = matches!(structure, Structure::Attribute(attribute) if attribute.has_key("type"));
            self.visit_structure(structure);
        }
        self.in_type = false;
    }
}

/// What `each.value` is in a resource.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Each {
    /// The same as `each.key`, of a set: Terraform knows it when it plans.
    Key,
    /// Something of a resource, by which a block is repeated.
    Resource,
    /// Anything else.
    Value,
}

/// Whether an expression refers to a resource somewhere: by any name that is not known to be something else, since a
/// resource has two (`gitea_org.team` and `resource.gitea_org.team`), and a `dynamic` block gives it a third.
fn refers(expression: &Expression, each: Each) -> bool {
    struct Find {
        each: Each,
        /// The variables of the `for`s that it is in.
        bound: Vec<String>,
        found: bool,
    }
    impl Find {
        fn within(&mut self, names: impl Iterator<Item = String>, visit: impl FnOnce(&mut Self)) {
            let before = self.bound.len();
            self.bound.extend(names);
            visit(self);
            self.bound.truncate(before);
        }
    }
    impl Visit for Find {
        fn visit_expr(&mut self, expression: &Expression) {
            match expression {
                Expression::Variable(name) => {
                    let is_bound = self.bound.iter().any(|bound| bound == name.as_str());
                    self.found |= match name.as_str() {
                        _ if is_bound => false,
                        "each" => self.each == Each::Resource,
                        name => !OTHERS.contains(&name),
                    };
                }
                Expression::ForExpr(node) => {
                    self.visit_expr(&node.intro.collection_expr);
                    let names = node.intro.key_var.iter().chain([&node.intro.value_var]);
                    self.within(names.map(|name| name.as_str().to_owned()), |find| {
                        let condition = node.cond.as_ref().map(|cond| &cond.expr);
                        let parts = node.key_expr.iter().chain([&node.value_expr]).chain(condition);
                        parts.for_each(|part| find.visit_expr(part));
                    });
                }
                _ => visit::visit_expr(self, expression),
            }
        }

        fn visit_for_template_expr(&mut self, node: &ForTemplateExpr) {
            self.visit_expr(&node.collection_expr);
            let names = node.key_var.iter().chain([&node.value_var]);
            self.within(names.map(|name| name.as_str().to_owned()), |find| find.visit_template(&node.template));
        }
    }
    let mut find = Find { each, bound: Vec::new(), found: false };
    find.visit_expr(expression);
    find.found
}

/// The parts of `type.name.attribute`, also with `[0]`, `["a"]` or `[each.key]` between them: the first, and the names
/// behind it. None for any other expression.
fn parts(expression: &Expression) -> Option<(&str, Vec<&str>)> {
    let Expression::Traversal(traversal) = expression else { return None };
    let mut names = Vec::new();
    for operator in &traversal.operators {
        match operator.value() {
            TraversalOperator::GetAttr(name) => names.push(name.as_str()),
            TraversalOperator::Index(index) if is_literal(index) || is_each(index, "key") => {}
            _ => return None,
        }
    }
    Some((traversal.expr.as_variable()?.as_str(), names))
}

fn stands_alone(expression: &Expression) -> bool {
    parts(expression).is_some()
}

/// Whether it is a text or number as it stands, the key of `for_each`, one of these references, or a list of such texts.
fn is_plain(expression: &Expression, own: &[(&str, &str)], each: Each) -> bool {
    is_literal(expression)
        || is_each(expression, "key")
        || (each == Each::Key && is_each(expression, "value"))
        || parts(expression)
            .is_some_and(|(kind, names)| matches!(names.as_slice(), [_, attribute] if own.contains(&(kind, attribute))))
        || matches!(expression, Expression::Array(items) if items.iter().all(is_literal))
}

fn is_literal(expression: &Expression) -> bool {
    matches!(expression, Expression::String(_) | Expression::Number(_))
}

/// Whether it is `each.key` or `each.value`.
fn is_each(expression: &Expression, what: &str) -> bool {
    let each = matches!(expression, Expression::Traversal(traversal) if traversal.operators.len() == 1);
    each && parts(expression).is_some_and(|(first, names)| first == "each" && names == [what])
}

fn one_of(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "),
    }
}

impl Visit for Check<'_> {
    fn visit_attr(&mut self, attribute: &Attribute) {
        self.offset = attribute.span().map_or(self.offset, |span| span.start);
        visit::visit_attr(self, attribute);
    }

    fn visit_block(&mut self, block: &Block) {
        self.offset = block.span().map_or(self.offset, |span| span.start);
        let name = match block.ident.as_str() {
            "dynamic" => block.labels.first().map_or("dynamic", |label| label.as_str()),
            name => name,
        };
        if matches!(name, "provisioner" | "connection") {
            self.refuse(block, format!("`{name}` runs programs, here or elsewhere: remove it"));
        }
        visit::visit_block(self, block);
    }

    fn visit_expr(&mut self, expression: &Expression) {
        match expression {
            // This parser and Terraform's do not agree on where one ends (`EOT # text`, or `EOT` as the first
            // line), so that one could hide code in it. Up to the first of a file they do.
            Expression::HeredocTemplate(_) => {
                let message = "a heredoc (`<<`) is not allowed, because readers do not agree on where it ends: write \
                               a string with `\\n`, or `join(\"\\n\", [...])`";
                self.refuse(expression, message);
            }
            Expression::Variable(name) if name.as_str() == "path" => {
                self.refuse(expression, "`path` shows folders of the machine that runs Terraform: remove it");
            }
            _ => {}
        }
        visit::visit_expr(self, expression);
    }

    /// Terraform takes no string that spans lines, this parser does: what one reads, the other should.
    fn visit_string(&mut self, string: &Decorated<String>) {
        self.check_lines(string);
    }

    fn visit_string_template(&mut self, template: &StringTemplate) {
        for element in template {
            if let Element::Literal(literal) = element {
                self.check_lines(literal);
            }
        }
        visit::visit_string_template(self, template);
    }

    /// The one place where hcl-edit 0.10.0 does not go on by itself is what a `%{ for }` goes through.
    fn visit_for_template_expr(&mut self, node: &ForTemplateExpr) {
        self.visit_expr(&node.collection_expr);
        visit::visit_for_template_expr(self, node);
    }

    fn visit_func_call(&mut self, call: &FuncCall) {
        let function = call.name.name.as_str();
        let allowed = match self.in_type {
            true => TYPES.contains(&function) || FUNCTIONS.contains(&function),
            false => FUNCTIONS.contains(&function),
        };
        if !call.name.namespace.is_empty() {
            let message = "functions with `::` in their name come from providers and are not checked: use a plain one";
            self.refuse(&call.name.name, message);
        } else if !allowed {
            let message = format!(
                "the function {} is not allowed: {}; remove it, or ask the platform's owners",
                quote(function),
                match function {
                    "nonsensitive" => "it unmasks secrets",
                    name if name.starts_with("file") || name.starts_with("template") => {
                        "it reads files of the machine that runs Terraform"
                    }
                    "timestamp" | "plantimestamp" | "uuid" | "bcrypt" => "it gives something else each time",
                    _ => "it is not known to be harmless",
                }
            );
            self.refuse(&call.name.name, message);
        }
        visit::visit_func_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use goldpath::file_tree::RelativePath;
    use std::path::Path;
    use std::time::{Duration, Instant};

    fn policy() -> PolicySettings {
        PolicySettings {
            providers: vec!["go-gitea/gitea".to_owned()],
            resources: ["gitea_org", "gitea_team", "gitea_team_membership"].map(str::to_owned).to_vec(),
            public: false,
            rules: Vec::new(),
            waivers: Vec::new(),
        }
    }

    fn tree(files: &[(&str, &str)]) -> FileTree {
        let mut tree = FileTree::default();
        for (path, content) in files {
            tree.insert(RelativePath::parse(path).unwrap(), *content);
        }
        tree
    }

    const PROVIDERS: &str = "terraform {\n  required_providers {\n    gitea = {\n      source = \"go-gitea/gitea\"\n      version = \">= 0.8.1\"\n    }\n  }\n}\n";

    /// What is found in `main.tf` beside a right declaration of the provider, as `line: message`.
    fn told(text: &str) -> Vec<String> {
        let findings = check(&tree(&[("providers.tf", PROVIDERS), ("main.tf", text)]), &policy());
        findings.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect()
    }

    fn assert_told(text: &str, beginnings: &[&str]) {
        let told = told(text);
        let same = told.len() == beginnings.len() && told.iter().zip(beginnings).all(|(t, b)| t.starts_with(b));
        assert!(same, "{text}\n{told:#?}");
    }

    #[test]
    fn every_golden_root_module_passes() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../promises/team/cases");
        let mut count = 0;
        for case in std::fs::read_dir(cases).unwrap() {
            let folder = case.unwrap().path().join("expected/infrastructure/teams");
            for module in std::fs::read_dir(folder).into_iter().flatten() {
                let module = module.unwrap().path();
                assert_eq!(check(&FileTree::read(&module).unwrap(), &policy()), [], "{}", module.display());
                count += 1;
            }
        }
        assert!(count > 5, "{count}");
    }

    #[test]
    fn only_flat_terraform_files_belong_to_a_root_module() {
        for name in ["main.tf", "a-b_c.1.tf", "README.md", "docs/README.md"] {
            assert_eq!(check(&tree(&[(name, "")]), &policy()), [], "{name}");
        }
        for name in [
            ".terraform.lock.hcl",
            ".terraform/providers/x.tf",
            ".terraformrc",
            ".hidden.tf",
            "a b.tf",
            "a.auto.tfvars",
            "a.tf.json",
            "a.tofu",
            "a.tftest.hcl",
            "a_override.tf",
            "main.TF",
            "override.tf",
            "script.sh",
            "sub/main.tf",
            "terraform.tfstate",
            "terraform.tfvars",
            "terraform.tfvars.json",
        ] {
            let findings = check(&tree(&[(name, "")]), &policy());
            assert_eq!(findings.iter().map(|f| f.place.as_str()).collect::<Vec<_>>(), [name]);
            assert_eq!((findings[0].severity, findings[0].rule.as_str()), (Severity::Denied, "root-module"));
        }
    }

    #[test]
    fn a_root_module_is_small_enough_to_be_reviewed() {
        let names: Vec<_> = (0..101).map(|n| format!("f{n}.tf")).collect();
        let many = tree(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
        assert!(check(&many, &policy())[0].message.starts_with("the root module has 101 files"));
        let long = tree(&[("README.md", &"x".repeat(MAX_BYTES + 1))]);
        assert_eq!(check(&long, &policy()).len(), 1);
        let text = format!("# {}", "x".repeat(MAX_FILE));
        assert_told(&text, &["main.tf: the file has more than"]);
        let many = told(&"module \"x\" {}\n".repeat(MAX_FINDINGS + 7));
        assert_eq!(many.len(), MAX_FINDINGS + 1);
        assert_eq!(many[MAX_FINDINGS], ": there are 7 more faults of this kind: correct the ones above first");
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "data \"external\" \"x\" {\n  program = [\"id\"]\n}\n\nlocals {\n  a = file(\"a\")\n  b = [\n    uuid(),\n  ]\n}\n";
        assert_told(
            text,
            &[
                "main.tf:1: the block `data.external.x` is not allowed: data sources are read while planning",
                "main.tf:6: the function `file` is not allowed: it reads files",
                "main.tf:8: the function `uuid` is not allowed: it gives something else each time",
            ],
        );
    }

    #[test]
    fn a_function_is_found_wherever_an_expression_can_hide() {
        for expression in [
            "file(\"x\")",
            "upper(file(\"x\"))",
            "lookup({}, \"a\", [file(\"x\")]...)",
            "(file(\"x\"))",
            "-file(\"x\")",
            "!file(\"x\")",
            "1 + file(\"x\")",
            "file(\"x\") == 1",
            "[1, file(\"x\")]",
            "{ a = file(\"x\") }",
            "{ (file(\"x\")) = 1 }",
            "{ \"${file(\"x\")}\" = 1 }",
            "true ? file(\"x\") : 1",
            "file(\"x\") ? 1 : 1",
            "true ? 1 : file(\"x\")",
            "[for x in file(\"x\") : x]",
            "[for x in [] : file(\"x\")]",
            "[for x in [] : x if file(\"x\")]",
            "{ for k, v in {} : file(\"x\") => v }",
            "{ for k, v in {} : k => file(\"x\")... }",
            "\"${file(\"x\")}\"",
            "\"a $$${file(1)} ${file(\"x\")}\"",
            "\"${~ upper(\"${file(\"x\")}\") ~}\"",
            "\"%{ if file(\"x\") }a%{ endif }\"",
            "\"%{ if true }${file(\"x\")}%{ endif }\"",
            "\"%{ if true }a%{ else }${file(\"x\")}%{ endif }\"",
            "\"%{ for x in file(\"x\") }a%{ endfor }\"",
            "\"%{ for x in [] }${file(\"x\")}%{ endfor }\"",
            "local.a[file(\"x\")]",
            "local.a[*][file(\"x\")]",
            "local.a.*.b[file(\"x\")]",
            "file(\"x\")[0].a",
            "file(\"x\").*.a",
            "try(file /* a */ (\"x\"))",
        ] {
            let found = ["main.tf:2: the function `file` is not allowed"];
            assert_told(&format!("locals {{\n  a = {expression}\n}}\n"), &found);
            assert_told(&format!("output \"o\" {{\n  value = {expression}\n}}\n"), &found);
            assert_told(&format!("variable \"v\" {{\n  default = {expression}\n}}\n"), &found);
            assert_told(&format!("resource \"gitea_org\" \"r\" {{\n  description = {expression}\n}}\n"), &found);
            let nested =
                format!("resource \"gitea_org\" \"r\" {{\n  lifecycle {{ ignore_changes = {expression} }}\n}}\n");
            assert_told(&nested, &found);
            let dynamic =
                format!("resource \"gitea_org\" \"r\" {{\n  dynamic \"a\" {{ for_each = {expression} }}\n}}\n");
            assert_told(&dynamic, &found);
        }
    }

    #[test]
    fn only_known_functions_are_called() {
        for function in [
            "abspath",
            "base64gzip",
            "bcrypt",
            "file",
            "filebase64",
            "filebase64sha256",
            "fileexists",
            "filemd5",
            "fileset",
            "filesha512",
            "list",
            "nonsensitive",
            "object",
            "pathexpand",
            "plantimestamp",
            "rsadecrypt",
            "templatefile",
            "templatestring",
            "timestamp",
            "type",
            "unknown",
            "uuid",
            "uuidv5",
            "Upper",
            "provider::a::b",
            "core::file",
            "core :: upper",
        ] {
            assert_eq!(told(&format!("locals {{\n  a = {function}(1)\n}}\n")).len(), 1, "{function}");
        }
        let all: Vec<_> = FUNCTIONS.iter().map(|name| format!("  {name} = {name}(1)\n")).collect();
        assert_told(&format!("locals {{\n{}}}\n", all.concat()), &[]);
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn a_heredoc_is_refused_since_its_end_is_a_matter_of_opinion() {
        let heredoc = "main.tf:2: a heredoc (`<<`) is not allowed";
        assert_told("locals {\n  a = <<EOT\n${1}\nEOT\n}\n", &[heredoc]);
        assert_told("locals {\n  a = upper(<<-EOT\n  x\n  EOT\n  )\n}\n", &[heredoc]);
        // Terraform ends the first at once, and calls the function; this parser takes it for text.
        let text = "locals {\n  a = <<EOT\nEOT\n  b = file(\"x\")\n  c = <<EOT\nEOT\n}\n";
        assert_told(text, &[heredoc]);
        // Terraform goes on to the second `EOT`, and so calls the function; this parser takes it for a comment.
        let text = "locals {\n  a = [<<EOT\nEOT # ${file(\"x\")}\n    , EOT\n  ]\n}\n";
        assert_told(text, &[heredoc, "main.tf:2: a local value may not refer to a resource"]);
        assert_told("locals {\n  a = \"<<EOT\"\n  # <<EOT\n}\n", &[]);
    }

    #[test]
    fn a_string_ends_on_its_line() {
        let refused = ["main.tf:2: a string must end on its line"];
        assert_told("locals {\n  a = \"x\ny\"\n}\n", &refused);
        assert_told("locals {\n  a = \"${1}x\ny\"\n}\n", &refused);
        assert_told("locals {\n  a = \"x\\ny ${\n  1\n  }\"\n}\n", &[]);
    }

    #[test]
    fn what_is_escaped_is_text() {
        let text = "locals {\n  a = \"$${file(1)} $$${file(1)} %%{ if file(1) } $(file(1)) \\\"${1}\\\" file(1)\"\n  b = 1 # file(1)\n}\n";
        assert_told(text, &[]);
    }

    #[test]
    fn folders_of_the_runner_are_not_shown() {
        for expression in ["path.module", "path[\"cwd\"]", "\"${path.root}\"", "path", "(path).module"] {
            assert_told(&format!("locals {{\n  a = {expression}\n}}\n"), &["main.tf:2: `path` shows folders"]);
        }
        assert_told("locals {\n  path = local.path\n  b = { path = 1 }\n  c = terraform.workspace\n}\n", &[]);
    }

    #[test]
    fn only_known_blocks_are_taken() {
        for block in [
            "data \"external\" \"a\" {}",
            "module \"a\" {}",
            "import {}",
            "moved {}",
            "removed {}",
            "check \"a\" {}",
            "ephemeral \"a\" \"b\" {}",
            "action \"a\" \"b\" {}",
            "list \"a\" \"b\" {}",
            "anything {}",
            "a = 1",
            "terraform \"a\" {}",
            "locals \"a\" {}",
            "resource \"gitea_org\" {}",
            "variable \"a\" {}",
        ] {
            assert_eq!(told(&format!("{block}\n")).len(), 1, "{block}");
        }
        assert_told("variable \"a\" {\n  type = object({ a = optional(list(string)) })\n  default = {}\n}\n", &[]);
        assert_told("variable \"a\" {\n  type = file(\"x\")\n  default = {}\n}\n", &["main.tf:2: the function"]);
    }

    #[test]
    fn terraforms_own_settings_are_those_that_we_know() {
        assert_told("terraform {\n  required_version = \"> 1\"\n  backend \"http\" {}\n}\n", &[]);
        for inner in [
            "backend \"http\" {\n    address = \"https://evil\"\n  }",
            "backend {\n  }",
            "cloud {\n  }",
            "provider_meta \"gitea\" {\n  }",
            "experiments = []",
            "required_version = \"${1}\"",
            "required_providers \"a\" {\n  }",
            "required_providers {\n    a {\n    }\n  }",
            "required_providers {\n    a = \"> 1\"\n  }",
            "required_providers {\n    a = { version = \"1\" }\n  }",
            "required_providers {\n    a = { source = \"evil/gitea\", version = \"1\" }\n  }",
            "required_providers {\n    a = { source = \"evil.example/go-gitea/gitea\", version = \"1\" }\n  }",
            "required_providers {\n    a = { source = \"${\"go-gitea/gitea\"}\", version = \"1\" }\n  }",
            "required_providers {\n    a = { source = \"go-gitea/gitea\" }\n  }",
            "required_providers {\n    a = { source = \"go-gitea/gitea\", version = \"1\", \"source\" = \"evil/gitea\" }\n  }",
            "required_providers {\n    a = { source = \"go-gitea/gitea\", version = \"1\", (\"source\") = \"evil/gitea\" }\n  }",
            "required_providers {\n    a = { source = \"go-gitea/gitea\", version = \"1\", configuration_aliases = [] }\n  }",
            "required_providers {\n    a = { source = \"go-gitea/gitea\", version = \"1\", (\"b\") = 1 }\n  }",
        ] {
            assert_eq!(told(&format!("terraform {{\n  {inner}\n}}\n")).len(), 1, "{inner}");
        }
        let full = "terraform {\n  required_providers {\n    a = { \"source\" = \"registry.terraform.io/go-gitea/Gitea\", version = \"1\" }\n  }\n}\n";
        assert_told(full, &[]);
    }

    #[test]
    fn a_provider_gets_no_settings() {
        assert_told("provider \"gitea\" {\n  alias = \"b\"\n}\n", &[]);
        let refused = "main.tf:2: `base_url` is not allowed in a provider";
        assert_told("provider \"gitea\" {\n  base_url = \"https://evil\"\n}\n", &[refused]);
        assert_told("provider \"gitea\" {\n  assume {\n  }\n}\n", &["main.tf:2: `assume` is not allowed"]);
        assert_told("provider \"aws\" {}\n", &["main.tf:1: the provider `aws` is not declared"]);
    }

    #[test]
    fn a_resource_is_of_an_allowed_type_and_an_allowed_provider() {
        assert_told("resource \"gitea_org\" \"a\" {\n  provider = gitea.b\n  timeouts {}\n}\n", &[]);
        for (text, told) in [
            ("resource \"null_resource\" \"a\" {\n  provider = gitea\n}\n", "main.tf:1: a resource `null_resource`"),
            (
                "resource \"gitea_orgs\" \"a\" {}\n",
                "main.tf:1: a resource `gitea_orgs` is not allowed: use `gitea_org` or",
            ),
            (
                "resource \"gitea_org\" \"a\" {\n  provider = evil\n}\n",
                "main.tf:2: the provider `evil` is not declared",
            ),
            ("resource \"gitea_org\" \"a\" {\n  provider = \"gitea\"\n}\n", "main.tf:2: `provider` must be"),
            ("resource \"gitea_org\" \"a\" {\n  provisioner \"local-exec\" {}\n}\n", "main.tf:2: `provisioner` runs"),
            ("resource \"gitea_org\" \"a\" {\n  connection {}\n}\n", "main.tf:2: `connection` runs"),
            ("resource \"gitea_org\" \"a\" {\n  dynamic \"provisioner\" {}\n}\n", "main.tf:2: `provisioner` runs"),
        ] {
            assert_told(text, &[told]);
        }
        let undeclared = check(&tree(&[("main.tf", "resource \"gitea_org\" \"a\" {}\n")]), &policy());
        assert!(undeclared[0].message.starts_with("the provider `gitea` is not declared"), "{undeclared:?}");
        let wide = PolicySettings { resources: vec!["gitea_*".to_owned()], ..policy() };
        let any = tree(&[("p.tf", PROVIDERS), ("main.tf", "resource \"gitea_x\" \"a\" {}\n")]);
        assert_eq!(check(&any, &wide), []);
    }

    #[test]
    fn what_names_somebody_is_seen_in_the_text() {
        let wide = PolicySettings { resources: vec!["gitea_*".to_owned()], ..policy() };
        let told = |kind: &str, lines: &str| {
            let text = format!("resource \"{kind}\" \"r\" {{\n{lines}\n}}\n");
            let found = check(&tree(&[("providers.tf", PROVIDERS), ("main.tf", &text)]), &wide);
            found.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect::<Vec<_>>()
        };
        for (kind, lines) in [
            ("gitea_team", "organisation = \"alpha\""),
            ("gitea_team", "organisation = gitea_org.team.name"),
            ("gitea_team", "organisation = gitea_org.team[\"a\"].name"),
            ("gitea_team_membership", "team_id = 7\nusername = each.key"),
            (
                "gitea_team_membership",
                "for_each = toset([\"ada\"])\nteam_id = gitea_team.a[each.key].id\nusername = each.value",
            ),
            ("gitea_team_members", "members = [\"ada\", \"bo\"]"),
            ("gitea_org", "name = \"alpha\""),
            ("gitea_repository_key", "repository = gitea_repository.x.id"),
            ("gitea_team", "name = upper(\"a\")"),
        ] {
            assert_eq!(told(kind, lines), [] as [&str; 0], "{lines}");
        }
        for (kind, argument, value) in [
            ("gitea_team_membership", "team_id", "length(gitea_org.team.id) > 0 ? \"5\" : gitea_team.a.id"),
            ("gitea_team_membership", "team_id", "gitea_org.team.id"),
            ("gitea_team_membership", "team_id", "\"${gitea_team.a.id}\""),
            ("gitea_team_membership", "team_id", "(gitea_team.a.id)"),
            ("gitea_team_membership", "team_id", "gitea_team.a[local.b].id"),
            ("gitea_team_membership", "team_id", "local.team"),
            ("gitea_team_membership", "team_id", "var.team"),
            ("gitea_team_membership", "username", "each.value"),
            ("gitea_team_membership", "username", "gitea_org.team.description"),
            ("gitea_team_members", "members", "[local.ada]"),
            ("gitea_team", "organisation", "gitea_org.team.description"),
            ("gitea_org", "name", "gitea_org.other.name"),
            ("gitea_repository", "name", "lower(\"A\")"),
        ] {
            let told = told(kind, &format!("{argument} = {value}"));
            let begins = format!("main.tf:2: `{argument}` says whose it is");
            assert!(told.len() == 1 && told[0].starts_with(&begins), "{value}: {told:?}");
        }
        let nested = told("gitea_team", "dynamic \"x\" {\ncontent {\nteam_id = local.a\n}\n}");
        assert!(nested.len() == 1 && nested[0].starts_with("main.tf:4: `team_id` says whose"), "{nested:?}");
    }

    #[test]
    fn a_reference_to_a_resource_stands_alone() {
        let told = |line: &str| told(&format!("resource \"gitea_team\" \"r\" {{\n  {line}\n}}\n"));
        for line in [
            "permission = gitea_team.a.permission",
            "for_each = gitea_team.a",
            "depends_on = [gitea_org.team]",
            "lifecycle { replace_triggered_by = [gitea_org.team.id] }",
            "description = \"${each.key} ${local.a}\"",
        ] {
            assert_eq!(told(line), [] as [&str; 0], "{line}");
        }
        for line in [
            "permission = length(gitea_org.team.id) > 0 ? \"admin\" : \"read\"",
            "permission = length(resource.gitea_org.team.id) > 0 ? \"admin\" : \"read\"",
            "units = concat([for x in [1] : \"a\"], [x.value.id])",
            "units = [for x in x.value : x.id]",
            "permission = terraform_data.x.id == \"\" ? \"admin\" : \"read\"",
            "permission = \"${gitea_org.team.id}\"",
            "units = [gitea_org.team.id]",
            "units_map = { \"repo.code\" = gitea_org.team.id }",
            "for_each = { a = gitea_org.team.id }",
            "count = length(gitea_team.a)",
            "description = \"%{ for t in gitea_team.a }${t.id}%{ endfor }\"",
            "dynamic \"x\" { for_each = [gitea_org.team.id] }",
        ] {
            let told = told(line);
            assert!(told.len() == 1 && told[0].contains("is worked out from a resource"), "{line}: {told:?}");
        }
        let carried = told("for_each = gitea_team.a\npermission = length(each.value.id) > 0 ? \"admin\" : \"read\"");
        assert!(carried.len() == 1 && carried[0].contains("`permission` is worked out"), "{carried:?}");
        let iterator = told("dynamic \"x\" {\nfor_each = gitea_team.a\ncontent {\nunits = [x.value.id]\n}\n}");
        assert!(iterator.len() == 1 && iterator[0].contains("`units` is worked out"), "{iterator:?}");
        assert_eq!(told("units = [for unit, level in var.units : \"${unit}${level}\"]"), [] as [&str; 0]);
        let locals = "main.tf:2: a local value may not refer to a resource";
        assert_told("locals {\n  a = resource.gitea_org.team.id\n}\n", &[locals]);
        assert_told("locals {\n  a = gitea_org.team.id\n}\n", &[locals]);
        assert_told("output \"o\" {\n  value = \"${gitea_org.team.id}\"\n}\n", &[]);
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for text in ["a\rb", "\u{feff}", "# \u{202e}", "locals {\n  a = \"\0\"\n}", "# \u{200b}"] {
            let told = told(text);
            assert!(told.len() == 1 && told[0].contains("the character U+"), "{told:?}");
        }
        let mut latin = tree(&[]);
        latin.insert(RelativePath::parse("a.tf").unwrap(), b"# a\n# \xfc".as_slice());
        assert_eq!(check(&latin, &policy())[0].place, "a.tf:2");
    }

    #[test]
    fn no_text_takes_the_stack_or_the_time() {
        let n = 30_000;
        for text in [
            format!("locals {{\n  a = {}1{}\n}}\n", "(".repeat(n), ")".repeat(n)),
            format!("locals {{\n  a = {}1{}\n}}\n", "[".repeat(n), "]".repeat(n)),
            format!("locals {{\n  a = {}{}\n}}\n", "{a=".repeat(n), "}".repeat(n)),
            format!("locals {{\n  a = {}1\n}}\n", "!".repeat(n)),
            format!("locals {{\n  a = {}1\n}}\n", "- ".repeat(n)),
            format!("locals {{\n  a = {}1\n}}\n", "1 + ".repeat(n)),
            format!("locals {{\n  a = {}1\n}}\n", "!/**/".repeat(n / 2)),
            format!("locals {{\n  a = {}1\n}}\n", "a?b:".repeat(n)),
            format!("locals {{\n  a = {}1{}\n}}\n", "a?".repeat(n), ":1".repeat(n)),
            format!("locals {{\n  a = {}1{}\n}}\n", "a[".repeat(n), "]".repeat(n)),
            format!("locals {{\n  a = {}1{}\n}}\n", "f(".repeat(n), ")".repeat(n)),
            format!("locals {{\n  a = {}1{}\n}}\n", "[for a in ".repeat(n / 4), ":a]".repeat(n / 4)),
            format!("locals {{\n  a = {}1{}\n}}\n", "{for a in ".repeat(n / 4), ":a=>a}".repeat(n / 4)),
            format!("locals {{\n  a = \"{}\"\n}}\n", "%{ for a in b }".repeat(n / 8)),
            format!("locals {{\n  a = \"{}{}\"\n}}\n", "%{ if a }".repeat(n / 8), "%{ endif }".repeat(n / 8)),
            format!("locals {{\n  a = {}1{}\n}}\n", "\"${".repeat(n), "}\"".repeat(n)),
            format!("locals {{\n  a = \"{}\"\n}}\n", "%{ if a }".repeat(n / 4)),
            format!("locals {{\n  a = {}1\n}}\n", "a?\n(b):".repeat(n / 4)),
            "a {\n".repeat(n),
            "a(".repeat(n),
        ] {
            let start = Instant::now();
            assert!(!told(&text).is_empty(), "{}", &text[..40]);
            assert!(start.elapsed() < Duration::from_secs(10), "{} {:?}", &text[..40], start.elapsed());
        }
        for text in [
            format!("locals {{\n  a = local.a{}\n}}\n", ".b".repeat(n)),
            format!("locals {{\n  a = local.a{}\n}}\n", "[0]".repeat(n)),
            format!("locals {{\n  a = {{\n{}}}\n}}\n", (0..9000).map(|n| format!("k{n}=1\n")).collect::<String>()),
        ] {
            let start = Instant::now();
            assert_eq!(told(&text), [] as [&str; 0]);
            assert!(start.elapsed() < Duration::from_secs(10), "{} {:?}", &text[..40], start.elapsed());
        }
    }
}
