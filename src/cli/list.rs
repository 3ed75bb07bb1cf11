//! `goldpath list` and `goldpath status`: how requests stand, in the workspace, or in the repositories of a configuration.

use super::run::PlaceArgs;
use super::wait::{Goal, Waited, wait};
use super::{FAILED, Output, WRONG, is_colored, one_line, print, tell};
use crate::commit;
use crate::config::Remote;
use crate::outcome::PullRequestState;
use crate::outputs::Role;
use crate::promise::{PROMISES, Promise, identify};
use crate::standing::{Standing, Standings, UNKNOWN, of_repositories, of_workspace};
use crate::text::quote;
use crate::violation::Refusal;
use anyhow::{Context, Result, bail, ensure};
use clap::builder::styling::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    place: PlaceArgs,
    /// How to print the list
    #[arg(short, long, value_enum, default_value = "text")]
    output: Columns,
}

#[derive(Args)]
pub(super) struct StatusArguments {
    /// Which requests, as `team/alpha` or, in a namespace, `team/people/alpha` [default: all]
    #[arg(value_name = "KIND/NAME")]
    requests: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Look again until all are so, or one stays as it is until a person does something, which is exit code 1
    #[arg(long, value_enum, value_name = "GOAL", num_args = 0..=1, require_equals = true, default_missing_value = "applied")]
    wait: Option<Goal>,
    /// As long at most, as `90s`, `10m` or `1h`; then the exit code is 2
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_time, requires = "wait")]
    timeout: Duration,
}

fn parse_time(text: &str) -> Result<Duration> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.context("write it as in `90s`, `10m` or `1h`")
}

/// What a list shows of each request.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Columns {
    /// A line each, as wide as the terminal
    Text,
    /// The same, whole, with the addresses of pull requests
    Wide,
    /// Only the name, as `goldpath status` takes it
    Name,
    /// Everything, for programs
    Json,
}

pub(super) fn list(arguments: &ListArguments) -> Result<ExitCode> {
    let (Standings { requests, notes }, place) = read(&arguments.place)?;
    print(&match arguments.output {
        Columns::Json => json(&requests)?,
        Columns::Name => requests.iter().map(|standing| format!("{}\n", standing.request.path())).collect(),
        Columns::Text | Columns::Wide => table(&requests, arguments.output == Columns::Wide)?,
    })?;
    Ok(end(&place, &requests, &notes))
}

pub(super) fn status(arguments: &StatusArguments) -> Result<ExitCode> {
    let wanted: Vec<String> = arguments.requests.iter().map(|text| whole(text)).collect();
    for path in &wanted {
        match identify(path) {
            Ok(_) => {}
            Err(Refusal { message, help: Some(help), .. }) => bail!("{message}; {help}"),
            Err(Refusal { message, .. }) => bail!("{}: {message}", quote(path)),
        }
    }
    let (Standings { mut requests, mut notes }, place, waited) = match arguments.wait {
        None => {
            let (standings, place) = read(&arguments.place)?;
            let is_there = |path: &&String| standings.requests.iter().any(|s| s.request.path() == **path);
            if let Some(missing) = wanted.iter().find(|path| !is_there(path)) {
                end(&place, &standings.requests, &standings.notes);
                bail!("no {} is in {place}: `goldpath list` shows what is", shown(missing));
            }
            (standings, place, Waited::Reached)
        }
        Some(goal) => {
            let has_repositories = !arguments.place.config.load()?.repositories.is_empty();
            ensure!(has_repositories, "nothing in a workspace changes by itself: name a configuration with `--config`");
            let mut place = String::new();
            let look = || {
                let (standings, read) = read(&arguments.place)?;
                place = read;
                Ok(standings)
            };
            let (standings, waited) = wait(goal, &wanted, arguments.timeout, look)?;
            (standings, place, waited)
        }
    };
    if !wanted.is_empty() {
        requests.retain(|standing| wanted.contains(&standing.request.path()));
        if waited != Waited::Late {
            // They are of others.
            notes.clear();
        }
    }
    print(&match arguments.output {
        Output::Json => json(&requests)?,
        Output::Text => {
            let now = commit::now()?;
            requests.iter().map(|standing| block(standing, now)).collect::<Vec<_>>().join("\n")
        }
    })?;
    Ok(match waited {
        Waited::Reached if arguments.wait == Some(Goal::Deleted) => ExitCode::SUCCESS,
        Waited::Reached => end(&place, &requests, &notes),
        Waited::Stopped => ExitCode::from(WRONG),
        Waited::Late => {
            end(&place, &requests, &notes);
            tell(&format!("error: it is not so after {:#}\n", jiff::SignedDuration::try_from(arguments.timeout)?));
            ExitCode::from(FAILED)
        }
    })
}

/// A request by its path, as people read it.
fn shown(path: &str) -> String {
    identify(path).map_or_else(|_| quote(path), |request| request.to_string())
}

/// Reads how requests stand, and tells where that was read.
fn read(place: &PlaceArgs) -> Result<(Standings, String)> {
    let mut config = place.config.load()?;
    if Role::ALL.iter().any(|role| !config.repositories.contains_key(role)) {
        place.check_workspace()?;
    }
    if config.repositories.is_empty() {
        let name = one_line(&format!("the workspace {}", place.workspace.display()));
        return Ok((of_workspace(&place.workspace)?, name));
    }
    // As `run` has it, what the configuration does not name is in the workspace.
    for role in Role::ALL {
        let path = place.repository(role);
        if path.join("HEAD").exists() {
            config.repositories.entry(role).or_insert_with(|| Remote::at(&path));
        }
    }
    Ok((of_repositories(&config)?, "the repositories".to_owned()))
}

/// The path of a request as people write it: the namespace may be left out, and the kind be as it is shown.
fn whole(text: &str) -> String {
    let Some((kind, rest)) = text.split_once([' ', '/']) else { return text.to_owned() };
    let namespace = if rest.contains('/') { "" } else { "default/" };
    // As kubectl takes it: `team`, `teams`, `tm`, `teams.platform.kratix.io`.
    let kind = kind.to_lowercase();
    let word = kind.split_once('.').map_or(kind.as_str(), |(word, _)| word);
    let is_it = |promise: &&Promise| [promise.name, promise.plural, promise.short_name].contains(&word);
    format!("{}/{namespace}{rest}", PROMISES.iter().find(is_it).map_or(word, |promise| promise.name))
}

/// Tells what is missing from what was printed. What could not be found out is no success.
fn end(place: &str, shown: &[Standing], notes: &[String]) -> ExitCode {
    let is_all = notes.is_empty() && shown.iter().all(|standing| standing.phase != UNKNOWN);
    for note in notes {
        tell(&format!("error: {}\n", one_line(note)));
    }
    if shown.is_empty() && is_all {
        tell(&format!("note: no request is in {place}: `goldpath run FILE` delivers one\n"));
    }
    if is_all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

fn json(standings: &[Standing]) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(standings)?))
}

/// A line for each request.
fn table(standings: &[Standing], is_wide: bool) -> Result<String> {
    if standings.is_empty() {
        return Ok(String::new());
    }
    let now = commit::now()?;
    let mut rows = vec![["REQUEST", "PHASE", "PULL REQUEST", "SINCE", "MESSAGE"].map(str::to_owned)];
    rows.extend(standings.iter().map(|standing| {
        let pull = standing.pull_request.as_ref().map(|pull| match is_wide {
            true => one_line(&pull.url),
            false => format!("#{}", pull.number),
        });
        let since = standing.since.map(|since| if is_wide { since.to_string() } else { age(since, now) });
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let phase = standing.phase.to_owned();
        [standing.request.path(), phase, or_none(pull), or_none(since), one_line(&standing.message)]
    }));
    let widths: Vec<usize> =
        (0..4).map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0)).collect();
    let before = widths.iter().map(|width| width + 2).sum::<usize>();
    let terminal = if is_wide { None } else { columns() };
    let color = is_colored(&std::io::stdout());
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (column, width_of) in widths.iter().enumerate() {
            let cell = format!("{}{}", row[column], " ".repeat(width_of + 2 - width(&row[column])));
            let style = if column == 1 && index > 0 { style_of(row[1].as_str()) } else { Style::new() };
            text += &if color { format!("{style}{cell}{style:#}") } else { cell };
        }
        text += &fit(&row[4], terminal.map(|columns| columns.saturating_sub(before).max(10)));
        text.push('\n');
    }
    Ok(text)
}

/// What a request's status says, whole.
fn block(standing: &Standing, now: Timestamp) -> String {
    let color = is_colored(&std::io::stdout());
    let paint = |style: Style, text: &str| if color { format!("{style}{text}{style:#}") } else { text.to_owned() };
    let since = standing.since.map(|since| format!(" since {since} ({})", age(since, now))).unwrap_or_default();
    let mut lines = vec![format!(
        "{}: {}{since}",
        paint(Style::new().bold(), &standing.request.to_string()),
        paint(style_of(standing.phase), standing.phase)
    )];
    let mut line = |name: &str, text: &str| lines.push(format!("  {name:<15} {}", one_line(text)));
    line("message", &standing.message);
    if let Some(pull) = &standing.pull_request {
        let state = match pull.state {
            PullRequestState::Open => "open",
            PullRequestState::Edited => "open, edited by somebody",
            PullRequestState::Closed => "closed",
            PullRequestState::Merged => "merged",
        };
        line("pull request", &format!("#{}, {state}: {}", pull.number, pull.url));
    }
    if let Some(plan) = &standing.plan {
        line("plan", &format!("{} ({})", plan.summary, plan.url));
    }
    for fault in &standing.violations {
        let help = fault.help.iter().map(|help| format!("; {help}")).collect::<String>();
        line("fault", &format!("{}: {}{help} [{}]", fault.path, fault.message, fault.rule));
    }
    standing.warnings.iter().for_each(|warning| line("warning", warning));
    standing.drift.iter().for_each(|drift| line("changed by hand", drift));
    lines.join("\n") + "\n"
}

/// Red where a person has to do something about it, green where nobody has.
fn style_of(phase: &str) -> Style {
    match phase {
        "applied" | "delivered" => AnsiColor::Green.on_default(),
        "failed" | "wrong" | "refused" | "closed" | "conflicted" | UNKNOWN => AnsiColor::BrightRed.on_default(),
        _ => AnsiColor::Yellow.on_default(),
    }
}

/// How long ago, in the largest unit that it fills, as kubectl tells it.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The beginning of a text that has room in so many columns.
fn fit(text: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if width(text) > columns => text.chars().take(columns - 1).chain(['…']).collect(),
        _ => text.to_owned(),
    }
}

/// How wide the terminal is that this is printed on.
fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn an_age_is_told_in_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let told = [-5, 0, 119, 120, 7_199, 7_200, 172_799, 172_800, 864_000]
            .map(|seconds| age(Timestamp::from_second(1_000_000 - seconds).unwrap(), now));
        assert_eq!(told, ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d", "10d"]);
    }

    #[test]
    fn what_is_too_long_is_cut_by_characters() {
        assert_eq!(
            (fit("añb", Some(3)), fit("añbc", Some(3)), fit("añbc", None)),
            ("añb".into(), "añ…".into(), "añbc".into())
        );
    }
}
