#![expect(clippy::unwrap_used, reason = "a test")]

use super::alerts::{WARNING, WARNINGS};
use super::*;
use crate::changes::{OutputChange, ResourceChange};
use proptest::prelude::*;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const DIGEST: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
const COMMIT: &str = "9c1185a5c5e9fc54612808977ee8f548b2258d31";
const WHOLE: &str = "https://git.example.org/attachments/0b6c8f1e";

fn module(name: &str) -> RootModule {
    RootModule::parse(name).unwrap()
}

fn change(address: &str, action: Action) -> ResourceChange {
    let kind = address.split('.').next().unwrap_or("").to_owned();
    let provider = "registry.terraform.io/go-gitea/gitea".to_owned();
    ResourceChange { address: address.to_owned(), kind, provider, action, before: Value::Null, after: Value::Null }
}

fn changes(of: &[(&str, Action)]) -> Changes {
    Changes { resources: of.iter().map(|(a, action)| change(a, *action)).collect(), ..Changes::default() }
}

fn finding(severity: Severity, rule: &str, place: &str, message: &str) -> Finding {
    Finding { severity, rule: rule.into(), place: place.into(), message: message.into() }
}

/// What a plan is, but for its borrowed parts.
struct Sample {
    module: RootModule,
    changes: Changes,
    text: String,
    findings: Vec<Finding>,
    destroys: bool,
    versions: Vec<(String, String)>,
    fails: Option<&'static str>,
}

impl Sample {
    fn new(name: &str, of: &[(&str, Action)], text: &str) -> Self {
        Self {
            module: module(name),
            changes: changes(of),
            text: text.to_owned(),
            findings: Vec::new(),
            destroys: false,
            versions: vec![("go-gitea/gitea".to_owned(), "0.8.1".to_owned())],
            fails: None,
        }
    }

    fn with(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    fn planned(&self) -> Planned<'_> {
        let outcome = match self.fails {
            Some("refused") => Outcome::Refused(&self.findings),
            Some(what) => Outcome::Failed { what, words: &self.text },
            None => Outcome::Plan {
                changes: &self.changes,
                text: &self.text,
                digest: DIGEST,
                findings: &self.findings,
                destroys: self.destroys,
                versions: &self.versions,
                providers_changed: self.module.as_str() == "teams/provider",
            },
        };
        Planned { module: &self.module, outcome }
    }
}

fn page<'a>(modules: &'a [Planned<'a>]) -> Page<'a> {
    Page { commit: COMMIT, modules, whole: Some(WHOLE), unapprovable: None }
}

fn rendered(samples: &[Sample]) -> String {
    render(&page(&samples.iter().map(Sample::planned).collect::<Vec<_>>()))
}

const CREATE: &str = r#"
Terraform used the selected providers to generate the following execution
plan. Resource actions are indicated with the following symbols:
  + create

Terraform will perform the following actions:

  # gitea_org.team will be created
  + resource "gitea_org" "team" {
      + avatar_url  = (known after apply)
      + description = "The team that looks after payments"
      + full_name   = "Payments"
      + id          = (known after apply)
      + name        = "payments"
      + visibility  = "private"
    }

  # gitea_team.developers will be created
  + resource "gitea_team" "developers" {
      + can_create_repos         = true
      + id                       = (known after apply)
      + include_all_repositories = true
      + name                     = "developers"
      + organisation             = "payments"
      + permission               = "write"
    }

Plan: 2 to add, 0 to change, 0 to destroy.
"#;

const UPDATE: &str = r#"
Terraform used the selected providers to generate the following execution
plan. Resource actions are indicated with the following symbols:
  ~ update in-place
  - destroy
-/+ destroy and then create replacement

Terraform will perform the following actions:

  # gitea_org.team will be updated in-place
  ~ resource "gitea_org" "team" {
      ~ full_name   = "Serch" -> "Search"
        id          = "42"
        name        = "search"
        # (4 unchanged attributes hidden)
    }

  # gitea_repository.index must be replaced
-/+ resource "gitea_repository" "index" {
      ~ id       = "112" -> (known after apply)
      ~ name     = "index" -> "indexer" # forces replacement
        # (21 unchanged attributes hidden)
    }

  # gitea_team_membership.member["ada"] will be destroyed
  # (because key ["ada"] is not in for_each map)
  - resource "gitea_team_membership" "member" {
      - id       = "7:ada" -> null
      - team_id  = 7 -> null
      - username = "ada" -> null
    }

Plan: 1 to add, 1 to change, 2 to destroy.
"#;

const INIT: &str = "\nError: Failed to query available provider packages\n\nCould not retrieve the list of available versions for provider\nexample/evil: provider registry registry.terraform.io does not have a\nprovider named registry.terraform.io/example/evil\n";

const NASTY: &str = "``` `` ` </summary></details><b>b</b> <!-- --> # h\n# h\n## h\n===\n> [!NOTE]\n- a\n1. b\n| a | b |\n|---|---|\n@platform-admin #1 !1 a/b#1 :tada: www.example.org https://example.org a@example.org [a](https://example.org) ![a](https://example.org/a.png) <https://example.org> [whole]: https://evil.example.org\n```\n~~~\n    code\n\u{202e}\u{1b}[31m\0 closes #1, 9c1185a5c5e9fc54612808977ee8f548b2258d31 `#ff0000` $$x$$ &lt;b&gt;";

const HOSTILE: &str = "  # x will be created\n  + resource \"x\" \"y\" {\n      + a = <<-EOT\n            ```\n            </details>\n            # A heading\n            @admin #1 ![i](https://x/y.png) <script>alert(1)</script>\n            \u{202e}txt.exe \u{1b}[31mred\r        EOT\n    }\n";

fn create() -> Sample {
    Sample::new(
        "teams/payments",
        &[("gitea_org.team", Action::Create), ("gitea_team.developers", Action::Create)],
        CREATE,
    )
}

fn update() -> Sample {
    Sample::new(
        "teams/search",
        &[
            ("gitea_org.team", Action::Update),
            ("gitea_repository.index", Action::Replace),
            ("gitea_team_membership.member[\"ada\"]", Action::Delete),
        ],
        UPDATE,
    )
    .with(finding(
        Severity::NeedsOwner,
        "destroy",
        "gitea_repository.index",
        "the repository and all that is in it is destroyed; rename it in Gitea first, or have a platform owner approve",
    ))
}

fn failed() -> Sample {
    Sample { fails: Some("init"), ..Sample::new("teams/broken", &[], INIT) }
}

fn hostile() -> Sample {
    Sample::new("teams/hostile", &[("x.y[\"`|</details>\"]", Action::Create)], HOSTILE).with(finding(
        Severity::Denied,
        "provider",
        "x.y[\"`|</details>\"]",
        "`example/evil` is not allowed @admin #1\n\n# Approved <b>by</b> [all](https://x.org)",
    ))
}

fn provider() -> Sample {
    let mut sample = Sample::new("teams/provider", &[], "No changes.\n").with(finding(
        Severity::Waived,
        "public",
        "gitea_org.team",
        "it may be public until 2027, because it is the home of our open source",
    ));
    sample.changes.outputs.push(OutputChange { name: "url".into(), before: Value::Null, after: json!("https://x") });
    sample.changes.drift.push(change("gitea_org.team", Action::Update));
    sample
}

/// Many root modules, as a change of the golden path gives.
fn many(number: usize) -> Vec<Sample> {
    (1..=number)
        .map(|i| match i % 5 {
            0 => Sample::new(&format!("teams/team-{i:03}"), &[], "No changes."),
            _ => Sample::new(&format!("teams/team-{i:03}"), &[("gitea_org.team", Action::Update)], UPDATE),
        })
        .collect()
}

/// The pages that are kept, and that tests/contract/review/pictures.mjs shows.
fn gallery() -> Vec<(&'static str, String)> {
    let refused = Sample { fails: Some("refused"), ..Sample::new("teams/refused", &[], "") }.with(finding(
        Severity::Denied,
        "source",
        "main.tf",
        "`provisioner` runs a program where the plan is made; it is not allowed",
    ));
    let gone = Sample {
        destroys: true,
        ..Sample::new(
            "teams/old",
            &[("gitea_org.team", Action::Delete)],
            "  # gitea_org.team will be destroyed\n  - resource \"gitea_org\" \"team\" {\n      - name = \"old\" -> null\n    }\n\nPlan: 0 to add, 0 to change, 1 to destroy.\n",
        )
    };
    let outputs =
        json!({"organisation": "payments", "url": "https://git.example.org/payments", "teams": {"developers": 7}});
    let none = json!({});
    let (a, b, c, d) =
        (module("teams/payments"), module("teams/search"), module("teams/broken"), module("teams/quiet"));
    let of = |module, result| Applied { module, commit: COMMIT, result };
    let applied = [
        of(&a, AppliedResult::Done { summary: "+2 ~0 -0", outputs: outputs.as_object().unwrap() }),
        of(&d, AppliedResult::Done { summary: "no changes", outputs: none.as_object().unwrap() }),
        of(
            &b,
            AppliedResult::Refused {
                reason: "the state has changed since `ada` approved: the plan would do something else now",
                next: "read the new plan at https://git.example.org/platform/infra/pulls/7 and approve it.",
            },
        ),
        of(
            &c,
            AppliedResult::Failed {
                words: "Error: 403 Forbidden\n\n  with gitea_org.team,\n  on main.tf line 1, in resource \"gitea_org\" \"team\":\n   1: resource \"gitea_org\" \"team\" {\n",
            },
        ),
    ];
    vec![
        ("one", rendered(&[create()])),
        ("nothing", rendered(&[Sample::new("teams/quiet", &[], "No changes.\n")])),
        (
            "rich",
            rendered(&[
                failed(),
                hostile(),
                gone,
                create(),
                provider(),
                Sample::new("teams/quiet", &[], "No changes.\n"),
                refused,
                update(),
            ]),
        ),
        ("many", rendered(&many(50))),
        ("hostile", all_from(NASTY).0),
        ("applied", render_applied(&applied, COMMIT)),
    ]
}

#[test]
fn the_pages_are_as_kept() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/comments"));
    let bless = std::env::var_os("BLESS").is_some();
    for (name, page) in gallery() {
        let path = folder.join(format!("{name}.md"));
        if bless {
            fs::create_dir_all(folder).unwrap();
            fs::write(&path, &page).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == page, "{} differs; BLESS=1 writes it anew:\n{page}", path.display());
    }
}

/// Fails if a comment holds any structure that Goldpath does not make.
fn assert_ours(markdown: &str) {
    assert!(markdown.len() <= LIMIT, "{} bytes", markdown.len());
    assert!(!markdown.chars().any(|c| c != '\n' && c != '\t' && goldpath::text::is_deceptive(c)));
    let summary = regex::Regex::new(
        r"^<details( open)?><summary>(<code>[a-z0-9/-]+</code> [+~0-9 ,a-z—-]+|[0-9,]+ plans|[0-9,]+ root modules? without changes)</summary>$",
    )
    .unwrap();
    let (mut headings, mut open, mut in_block, mut depth, mut ends) = (0, 0, false, 0, 0);
    for event in Parser::new_ext(markdown, Options::all()) {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
        match event {
            Event::Html(html) => {
                for line in html.lines() {
                    match line {
                        PLAN_MARKER | APPLY_MARKER | "" => {}
                        "</details>" => open -= 1,
                        line => {
                            assert!(summary.is_match(line), "not ours: {line}");
                            open += 1;
                        }
                    }
                    assert!((0..=2).contains(&open), "`<details>` is not closed");
                }
            }
            Event::InlineHtml(html) => panic!("not ours: {html}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(WHOLE == &*dest_url, "not ours: {dest_url}");
            }
            Event::Start(Tag::Heading { level, .. }) => {
                assert_eq!(level, HeadingLevel::H3);
                headings += 1;
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                let CodeBlockKind::Fenced(info) = kind else { panic!("an indented block") };
                assert!(["diff", ""].contains(&&*info));
                in_block = true;
            }
            Event::End(TagEnd::CodeBlock) => in_block = false,
            Event::Text(text) if !in_block => {
                assert!(!text.contains(['@', '#', '<', '|', '`', '*']) && !text.contains("://"), "not ours: {text}");
                // the footer, in a paragraph of its own
                ends += usize::from(&*text == "Planned at " && depth == 1);
            }
            Event::Start(
                Tag::Paragraph | Tag::List(None) | Tag::Item | Tag::Strong | Tag::HtmlBlock | Tag::BlockQuote(_),
            )
            | Event::Start(Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::TableCell)
            | Event::End(_)
            | Event::Code(_)
            | Event::SoftBreak
            | Event::Text(_) => {}
            event => panic!("not ours: {event:?}"),
        }
    }
    assert_eq!((headings, open), (1, 0));
    assert_eq!(ends, usize::from(markdown.starts_with(PLAN_MARKER)), "the end is swallowed");
}

/// A page all of whose texts are the same.
fn all_from(text: &str) -> (String, String, String) {
    let mut sample = Sample::new("teams/alpha", &[(text, Action::Delete)], text);
    for severity in [Severity::Denied, Severity::NeedsOwner, Severity::Warning, Severity::Waived] {
        sample.findings.push(finding(severity, text, text, text));
    }
    sample.versions = vec![(text.to_owned(), text.to_owned())];
    sample.changes.drift.push(change(text, Action::Update));
    let refused = Outcome::Refused(&sample.findings);
    let failed = Outcome::Failed { what: text, words: text };
    let modules: Vec<_> =
        [sample.planned().outcome, refused, failed].map(|outcome| Planned { module: &sample.module, outcome }).into();
    let page = Page { commit: text, ..page(&modules) };
    let outputs = [(text.to_owned(), json!([text]))].into_iter().collect();
    let results = [
        AppliedResult::Done { summary: text, outputs: &outputs },
        AppliedResult::Refused { reason: text, next: "" },
        AppliedResult::Failed { words: text },
    ];
    let applied = results.map(|result| Applied { module: &sample.module, commit: text, result });
    (render(&page), whole(&page), render_applied(&applied, COMMIT))
}

fn fragment() -> impl Strategy<Value = String> {
    let marks = [
        "`",
        "```",
        "\n```\n",
        "\n````````\n",
        "\n\n</details>\n\n",
        "\n\n# h\n\n",
        "~~~",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\t",
        " ",
        "    ",
        "<b>",
        "</details>",
        "<!--",
        "-->",
        "<details>",
        "# ",
        "## x",
        "===",
        "---",
        "***",
        "* ",
        "- ",
        "+ ",
        "~ ",
        "-/+ ",
        "1. ",
        "> ",
        "> [!NOTE]",
        "|",
        "|---|",
        "\\",
        "[a](b)",
        "![a](b)",
        "[whole]",
        "[a]: b",
        "[^1]",
        "<https://a.b>",
        "https://a.b",
        "www.a.b",
        "a@b.org",
        "@ada",
        "#12",
        "!12",
        "org/repo#3",
        ":smile:",
        "&lt;",
        "&#96;",
        "$$",
        "$x$",
        "**a**",
        "_a_",
        "~~a~~",
        "\u{202e}",
        "\u{1b}[1m",
        "\0",
        "é",
        "日本",
        "😀",
        "deadbeef",
        "plain",
        "words,",
        "it's",
        "(a)",
        ":",
        "+++",
        "%%",
        "{#id}",
    ];
    let pick = proptest::sample::select(marks.to_vec()).prop_map(str::to_owned);
    proptest::collection::vec(prop_oneof![8 => pick, 1 => any::<String>()], 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_becomes_structure(text in fragment()) {
        let (plan, whole, applied) = all_from(&text);
        assert_ours(&plan);
        assert_ours(&applied);
        assert!(!whole.contains(['\u{1b}', '\r', '\0']));
    }
}

#[test]
fn a_large_text_stays_in_the_limit_and_loses_no_warning() {
    for text in ["x".repeat(2 << 20), "line\n".repeat(40_000), "`".repeat(100_000), "é`@\n".repeat(20_000)] {
        let (plan, whole, applied) = all_from(&text);
        assert_ours(&plan);
        assert_ours(&applied);
        assert!(plan.contains("[!CAUTION]") && plan.contains("[!WARNING]") && plan.contains("[!NOTE]"));
        assert!(plan.contains("[the whole plan][whole]"));
        assert!(whole.len() <= WHOLE_LIMIT);
    }
}

#[test]
fn a_huge_root_module_leaves_small_ones_whole() {
    let samples =
        [Sample::new("teams/huge", &[("a.b", Action::Create)], &"  + line\n".repeat(100_000)), create(), update()];
    let modules: Vec<_> = samples.iter().map(Sample::planned).collect();
    let shown = render(&page(&modules));
    assert_ours(&shown);
    assert!(shown.contains("Plan: 2 to add") && shown.contains("Plan: 1 to add"));
    assert!(shown.len() > LIMIT - 1_000, "{} bytes: room is wasted", shown.len());
    assert!(is_cut(&page(&modules)));
    assert!(!is_cut(&page(&modules[1..])));
    assert_eq!(shown.matches("more lines: see [the whole plan][whole]").count(), 1);
}

#[test]
fn any_number_of_root_modules_stays_in_the_limit() {
    for number in [0, 1, 50, 200, 201, 1_000] {
        let mut samples = many(number);
        for sample in &mut samples {
            let message = "Goldpath does not allow it. ".repeat(40);
            sample.findings = vec![finding(Severity::Denied, "rule", "a.b", &message); 3];
        }
        let shown = rendered(&samples);
        assert_ours(&shown);
        for line in shown.lines().filter(|l| l.starts_with("> - ")) {
            assert!(line.len() <= WARNING + 2, "{}: {line}", line.len());
        }
        assert_eq!(shown.matches("\n> - `").count(), WARNINGS.min(samples.len() * 3));
    }
    let long: Vec<Sample> = (0..300)
        .map(|i| Sample::new(&format!("{}-{i:03}", "a".repeat(190)), &[("a.b", Action::Create)], UPDATE))
        .collect();
    assert_ours(&rendered(&long));
    for text in ["", UPDATE] {
        let mut samples = many(250);
        for sample in &mut samples {
            sample.changes = with_changes(30).changes;
            sample.findings = vec![finding(Severity::Warning, "rule", "a.b", &"Goldpath warns. ".repeat(10)); 3];
            sample.text = text.to_owned();
        }
        assert_ours(&rendered(&samples));
    }
}

#[test]
fn the_whole_text_has_every_line_and_no_words_pass_for_ours() {
    let samples =
        [create(), failed(), hostile(), Sample::new("teams/forged", &[], "x\r==== teams/payments ====\n+0 ~0 -0")];
    let modules: Vec<_> = samples.iter().map(Sample::planned).collect();
    let text = whole(&page(&modules));
    let head = "==== teams/payments ====\n+2 ~0 -0\n+ create gitea_org.team\n+ create gitea_team.developers\nchanges: sha256:5f70";
    assert!(text.contains(head), "{text}");
    assert!(text.contains("failed in init\n\n|\n| Error: Failed to query"), "{text}");
    assert!(text.contains("\\u{202e}txt.exe \\u{1b}[31mred\n"), "{text}");
    assert_eq!(text.matches("\n==== teams/").count(), samples.len());
}

/// As many changes as wanted, and a text that does not fit into a comment.
fn with_changes(number: usize) -> Sample {
    let mut sample = Sample::new("teams/long", &[], &"  + line\n".repeat(20_000));
    sample.changes = Changes {
        resources: (0..number).map(|i| change(&format!("gitea_team.a[\"{i}\"]"), Action::Create)).collect(),
        outputs: vec![OutputChange { name: "url".into(), before: json!(1), after: Value::Null }],
        drift: Vec::new(),
    };
    sample
}

#[test]
fn what_is_done_to_what_is_shown_before_terraforms_words_and_never_cut() {
    let has_all = |text: &str, number: usize| {
        let lines: BTreeSet<&str> = text.lines().collect();
        (0..number).all(|i| lines.contains(&*format!("+ create gitea_team.a[\"{i}\"]")))
    };
    let sample = with_changes(1_002);
    let shown = rendered(std::slice::from_ref(&sample));
    assert_ours(&shown);
    assert!(has_all(&shown, 1_002), "{shown}");
    assert!(shown.contains("\n- delete output.url\n") && shown.contains("\n+   line\n"), "{shown}");
    assert!(shown.starts_with(&format!("{PLAN_MARKER}\n### Plan: 1 root module, +1,002 ~0 -0\n")));

    let sample = with_changes(5_000);
    let modules = [sample.planned()];
    let (shown, text) = (render(&page(&modules)), whole(&page(&modules)));
    assert_ours(&shown);
    assert!(
        shown.contains("\n… 5,001 changes: see [the whole plan][whole]\n") && !shown.contains("+ create"),
        "{shown}"
    );
    assert!(has_all(&text, 5_000));
    assert!(text.contains("\n- delete output.url\n"));

    // a line is cut before it says what is done
    let key = format!("gitea_team.a[\"{}\"]", "k".repeat(470));
    let sample = Sample::new("teams/key", &[(&key, Action::Delete)], &format!("  # {key} will be destroyed\n"));
    assert!(rendered(&[sample]).contains(&format!("\n- delete {key}\n")));
}

#[test]
fn whatever_the_comment_leaves_out_is_in_the_file() {
    let key = |n: usize| format!("gitea_team.a[\"{}{n}\"]", "k".repeat(80));
    let mut drifted = create();
    drifted.changes.drift = (0..21).map(|n| change(&format!("gitea_team.a{n}"), Action::Update)).collect();
    let mut hidden = create();
    hidden.changes.drift = vec![change(&key(1), Action::Update)];
    let mut provided = create();
    provided.versions = (0..6).map(|n| (format!("a/p{n}"), "1.0.0".to_owned())).collect();
    let warned = |place: &str, message: &str| create().with(finding(Severity::Warning, "rule", place, message));
    let long = "word ".repeat(500);
    for (sample, last) in [
        (drifted, "changed by hand: gitea_team.a20\n"),
        (hidden, &format!("changed by hand: {}\n", key(1))),
        (provided, "provider: a/p5 1.0.0\n"),
        (warned(&key(2), "x"), &format!("warning: rule: {}: x\n", key(2))),
        (warned("", &long), &format!("warning: rule: : {}\n", long.trim_end())),
        // not long, but so when it is shown
        (warned("", &"\u{202e}".repeat(300)), &format!("warning: rule: : {}\n", "\\u{202e}".repeat(300))),
    ] {
        let modules = [sample.planned()];
        assert!(is_cut(&page(&modules)), "{last} is not missed");
        assert!(whole(&page(&modules)).contains(last), "{last} is nowhere");
    }
    assert!(!is_cut(&page(&[create().planned()])));
}

#[test]
fn what_has_no_room_in_the_file_is_denied_and_the_smallest_have_it_first() {
    let of = |name: &str, bytes: usize| Sample::new(name, &[("a.b", Action::Create)], &"x".repeat(bytes));
    let mut samples = [
        of("teams/a", WHOLE_LIMIT / 2),
        of("teams/b", WHOLE_LIMIT),
        of("teams/c", 1_000),
        of("teams/d", WHOLE_LIMIT / 2),
        of("teams/e", 1_000),
    ];
    // what is denied already needs no room
    samples[4].findings.push(finding(Severity::Denied, "rule", "", "no"));
    samples[4].text = format!("{}\n", "x".repeat(99)).repeat(WHOLE_LIMIT / 100);
    let outcomes: Vec<_> = samples.iter().map(|sample| sample.planned().outcome).collect();
    let found = without_room(&outcomes);
    let message = |place: usize| found[place].1.message.as_str();
    assert_eq!(found.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [3, 1]);
    assert!(
        message(0).starts_with("its plan takes 4,194,")
            && message(0).ends_with(" of them for smaller ones: propose it in another pull request"),
        "{}",
        message(0)
    );
    assert!(
        message(0).contains("bytes, and what shows the plans of a pull request whole takes 8,388,608, 4,195,"),
        "{}",
        message(0)
    );
    assert_eq!(
        without_room(&outcomes[1..2])[0].1.message,
        "its plan takes 8,388,746 bytes, and what shows the plans of a pull request whole takes 8,388,608: make several root modules of it, or its values shorter"
    );

    for (place, finding) in found {
        samples[place].findings.push(finding);
        samples[place].text.clear();
    }
    let modules: Vec<_> = samples.iter().map(Sample::planned).collect();
    let text = whole(&page(&modules));
    assert!(text.len() < WHOLE_LIMIT + 1_000, "{}", text.len());
    assert!(text.contains(&samples[0].text) && text.contains(&samples[2].text));
    assert_eq!((text.matches("\ndenied: too-long: : its plan takes").count(), text.matches("\n… ").count()), (2, 1));
}

#[test]
fn only_the_end_of_a_comment_leads_to_the_file() {
    let forged = "[whole]: <https://evil.example.org/x>";
    let of = |text: &str| rendered(&[Sample::new("teams/a", &[("a.b", Action::Create)], text)]);
    assert_eq!(link(&of(&format!("{forged}\n").repeat(5_000))), Some(WHOLE));
    assert!(of(forged).contains(forged));
    assert_eq!(link(&of(forged)), None);
}

#[test]
fn an_address_that_could_be_more_is_no_link() {
    let modules = [];
    let page = Page { whole: Some("javascript:alert(1)"), ..page(&modules) };
    assert_ours(&render(&page));
}

#[test]
fn an_issue_about_drift_names_rights_as_text_and_is_not_too_long() {
    let module = RootModule::parse("teams/alpha").unwrap();
    let difference = |what: &str| Difference { what: what.to_owned(), advice: "take them out by hand".to_owned() };
    let body =
        render_drift("<!-- m -->", &module, &[difference("`@eve` is in the team `#1`"), difference("@bob is")], None);
    let expected = "<!-- m -->\nIn Gitea, rights are not as `teams/alpha` says, and no apply takes away what was given:\n\n\
        - `@eve` is in the team `#1`: take them out by hand\n- `@bob` is: take them out by hand\n\n\
        This issue is closed when nothing differs any more.\n";
    assert_eq!(body, expected);
    let many: Vec<_> = (0..5_000).map(|n| difference(&format!("`eve-{n}` is in"))).collect();
    let body = render_drift("<!-- m -->", &module, &many, Some(&"+ a\n".repeat(100_000)));
    assert!(
        body.len() <= LIMIT && body.contains(" more differences\n") && body.contains(" more lines\n"),
        "{}",
        body.len()
    );
}
