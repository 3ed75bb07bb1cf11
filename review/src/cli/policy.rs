//! `goldpath policy`: what the platform's rules find in a plan, before or while it is reviewed.
use crate::changes::Changes;
use crate::finding::{Finding, Severity};
use crate::policy::{Context, Policy};
use anyhow::{Context as _, Result, ensure};
use clap::builder::styling::AnsiColor;
use goldpath::cli::{Output, WRONG, is_colored, one_line, print, review, tell};
use goldpath::commit::now;
use goldpath::text::count;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// The longest plan that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// One finding, for programs.
#[derive(Serialize)]
struct Entry {
    file: String,
    severity: &'static str,
    rule: String,
    place: String,
    message: String,
}

pub fn run(arguments: &review::Policy) -> Result<ExitCode> {
    let settings = arguments.config.load()?.review.map(|review| review.policy).unwrap_or_default();
    let policy = Policy::new(&settings)?;
    let context = Context {
        module: &arguments.module,
        request: arguments.request.as_ref(),
        deletes: arguments.deletes,
        organizations: &BTreeMap::new(),
        stray: &[],
        now: now()?,
    };
    let color = is_colored(&std::io::stdout());
    let (mut stops, mut text, mut all) = (false, String::new(), Vec::new());
    for path in &arguments.plans {
        let (file, json) = read(path)?;
        let mut findings = match parse(&json) {
            Ok((changes, plan)) => {
                policy.check(&context, &changes, &plan).with_context(|| format!("cannot check {file}"))?
            }
            // What is not known is not harmless.
            Err(error) => vec![Finding {
                severity: Severity::Denied,
                rule: "plan".to_owned(),
                place: String::new(),
                message: format!("not a plan, as `terraform show -json PLAN_FILE` prints it: {error:#}"),
            }],
        };
        // Only the inventory knows who owns a folder.
        findings.retain(|finding| arguments.request.is_some() || finding.rule != "owner");
        for finding in findings {
            stops |= matches!(finding.severity, Severity::Denied | Severity::NeedsOwner);
            if arguments.plans.len() > 1 {
                text += &format!("{}: ", one_line(&file));
            }
            text += &line(&finding, color);
            let Finding { severity, rule, place, message } = finding;
            all.push(Entry { file: file.clone(), severity: word(severity), rule, place, message });
        }
    }
    match arguments.output {
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(&all)?))?,
        Output::Text => print(&text)?,
    }
    let found = if all.is_empty() { "no finding".to_owned() } else { count(all.len(), "finding") };
    tell(&format!("{found} in {}\n", count(arguments.plans.len(), "plan")));
    Ok(if stops { ExitCode::from(WRONG) } else { ExitCode::SUCCESS })
}

/// A plan, and what is known of it.
fn parse(json: &[u8]) -> Result<(Changes, serde_json::Value)> {
    let is_utf_16 = json.starts_with(b"\xff\xfe") || json.starts_with(b"\xfe\xff");
    ensure!(
        !is_utf_16,
        "it is UTF-16, as `>` of PowerShell writes it: use `| Out-File -Encoding utf8 plan.json` instead"
    );
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    Ok((Changes::parse(json)?, serde_json::from_slice(json)?))
}

/// A plan's name and text.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    let (name, mut reader): (_, Box<dyn Read>) = match path == Path::new("-") {
        true => ("<stdin>".to_owned(), Box::new(std::io::stdin().lock())),
        false => {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            (path.display().to_string(), Box::new(file))
        }
    };
    let mut json = Vec::new();
    reader.by_ref().take(MAX_BYTES + 1).read_to_end(&mut json).with_context(|| format!("cannot read {name}"))?;
    ensure!(json.len() as u64 <= MAX_BYTES, "{name} has more than {} MiB", MAX_BYTES >> 20);
    Ok((name, json))
}

/// As `denied[destroy] gitea_org.team: it is destroyed`.
fn line(finding: &Finding, color: bool) -> String {
    let style = match finding.severity {
        Severity::Denied | Severity::NeedsOwner => AnsiColor::BrightRed.on_default().bold(),
        Severity::Warning => AnsiColor::Yellow.on_default().bold(),
        Severity::Waived => AnsiColor::BrightCyan.on_default().bold(),
    };
    let title = one_line(&format!("{}[{}]", word(finding.severity), finding.rule));
    let title = if color { format!("{style}{title}{style:#}") } else { title };
    let place = if finding.place.is_empty() { String::new() } else { format!(" {}", one_line(&finding.place)) };
    format!("{title}{place}: {}\n", one_line(&finding.message))
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Denied => "denied",
        Severity::NeedsOwner => "needs-owner",
        Severity::Warning => "warning",
        Severity::Waived => "waived",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_is_in_it() {
        let mut finding = Finding {
            severity: Severity::Denied,
            rule: "destroy".to_owned(),
            place: "gitea_org.team".to_owned(),
            message: "a\n\u{1b}[31mb".to_owned(),
        };
        assert_eq!(line(&finding, false), "denied[destroy] gitea_org.team: a\\u{a}\\u{1b}[31mb\n");
        finding.place.clear();
        assert_eq!(line(&finding, true), "\u{1b}[1m\u{1b}[91mdenied[destroy]\u{1b}[0m: a\\u{a}\\u{1b}[31mb\n");
    }
}
