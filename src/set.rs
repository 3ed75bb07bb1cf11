//! Requests that are given together, checked together, before anything of them is written: each by itself, and that no two
//! are the same object or claim the same paths, and that no Teams are each other's parents.

use crate::config::Config;
use crate::document::Node;
use crate::known::{Need, Source};
use crate::outputs::{Claim, Outputs, Unrendered};
use crate::promise::{PARENT, id_field};
use crate::request::Identity;
use crate::violation::{Refusal, Violation};
use std::collections::{BTreeMap, BTreeSet};

/// A document, and where it stands, as `teams.yaml:3`.
#[derive(Clone, Debug)]
pub struct Item<'n> {
    /// The document.
    pub document: &'n Node,
    /// Where it stands.
    pub place: String,
}

/// What is wrong with one document.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Every fault of it alone.
    pub faults: Vec<Violation>,
    /// What is wrong with it beside the others.
    pub conflicts: Vec<Violation>,
    /// What may be wrong, as far as is known here.
    pub warnings: Vec<Violation>,
}

/// What one request says of others.
struct Known {
    index: usize,
    identity: Identity,
    /// The files that it has, with the repository, and its accounts; and what one claims that is not its id.
    claims: BTreeMap<String, Option<Claim>>,
    /// What others name it by.
    own: Need,
    parent: Option<Need>,
}

/// Checks each document, with what `source` knows of those that it refers to, and all of them together.
pub fn check(items: &[Item<'_>], config: &Config, source: &dyn Source) -> Vec<Verdict> {
    let (mut verdicts, mut known) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let mut verdict = Verdict::default();
        match crate::generate_with(item.document, config, source) {
            Ok((request, mut outputs)) => {
                verdict.warnings = std::mem::take(&mut outputs.warnings);
                known.push(Known::new(index, request.identity, outputs));
            }
            Err(Unrendered::Wrong(faults)) => verdict.faults = faults,
            Err(unrendered) => {
                let why = match unrendered {
                    Unrendered::Broken(error) => format!("{error:#}: our bug"),
                    Unrendered::Unknown(error) => format!("cannot look for what it refers to: {error:#}"),
                    Unrendered::Wrong(_) => unreachable!("matched before"),
                };
                verdict.faults.push(Refusal::new("internal", why).at("", Some(item.document.span)));
            }
        }
        for warning in &mut verdict.warnings {
            warning.span = item.document.at(&warning.path).map(|node| node.span);
        }
        verdicts.push(verdict);
    }
    for (index, path, refusal) in doubles(items, &known).into_iter().chain(circles(&known, source)) {
        let span = items[index].document.at(&path).map(|node| node.span);
        verdicts[index].conflicts.push(refusal.at(path, span));
    }
    verdicts
}

impl Known {
    fn new(index: usize, identity: Identity, outputs: Outputs) -> Self {
        let Outputs {
            manifests: _,
            destinations: _,
            repositories,
            accounts,
            claims: mut shared,
            warnings: _,
            id,
            relations,
            status: _,
        } = outputs;
        let files = repositories.iter().flat_map(|(role, tree)| tree.paths().map(move |path| (role, path)));
        let claims = files
            .map(|(role, path)| (format!("{} {path}", role.as_str()), shared.remove(path)))
            .chain(accounts.made.iter().map(|name| (format!("account {}", name.as_str().to_lowercase()), None)))
            .collect();
        let own = Need::Request { kind: identity.kind.clone(), id };
        let parent = relations.into_iter().find(|relation| relation.path == PARENT).map(|parent| parent.need);
        Self { index, identity, claims, own, parent }
    }
}

/// Every request that is the same object as another, or claims what another claims.
fn doubles(items: &[Item<'_>], known: &[Known]) -> Vec<(usize, String, Refusal)> {
    let (mut objects, mut claims) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for (place, request) in known.iter().enumerate() {
        objects.entry(&request.identity).or_default().push(place);
        for claim in request.claims.keys() {
            claims.entry(claim).or_default().push(place);
        }
    }
    let mut found = Vec::new();
    for same in objects.values().filter(|same| same.len() > 1) {
        for (request, other) in each_with_another(same).map(|(a, b)| (&known[a], &known[b])) {
            let (own, place) = (&items[request.index].place, &items[other.index].place);
            let (place, help) = match own == place {
                true => ("the same file, which is given twice", "name it once"),
                false => (place.as_str(), "give one of the two another name"),
            };
            let message = format!("`{}` is {}, as in {place}", request.identity.name, request.identity);
            let refusal = Refusal::new("duplicate", message).help(help);
            found.push((request.index, "metadata.name".to_owned(), refusal));
        }
    }
    let mut told = BTreeSet::new();
    for (claim, same) in claims {
        for (a, b) in each_with_another(&same) {
            let (request, other) = (&known[a], &known[b]);
            if request.identity == other.identity || !told.insert(a) {
                continue;
            }
            let place = &items[other.index].place;
            let (field, refusal) = match &request.claims[claim] {
                Some(Claim { field, what }) => {
                    let message = format!("{what} belongs to {} too, in {place}", other.identity);
                    (field.clone(), Refusal::new("taken", message).help("use another in one of the two"))
                }
                None => {
                    let message = format!("`{}` is also that of {}, in {place}", request.own.id(), other.identity);
                    let refusal = Refusal::new("taken", message).help("give one of the two another id");
                    (id_field(&request.identity).to_owned(), refusal)
                }
            };
            found.push((request.index, field, refusal));
        }
    }
    found
}

/// The first with the second, and each other with the first.
fn each_with_another(same: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    same.iter().enumerate().filter(|_| same.len() > 1).map(|(n, a)| (*a, same[usize::from(n == 0)]))
}

/// Every request whose parents lead back to it, also over those that `source` knows.
fn circles(known: &[Known], source: &dyn Source) -> Vec<(usize, String, Refusal)> {
    let mut parents: BTreeMap<_, _> =
        known.iter().filter_map(|request| Some((request.own.clone(), request.parent.clone()?))).collect();
    let given: BTreeSet<_> = known.iter().map(|request| &request.own).collect();
    for first in known.iter().filter_map(|request| request.parent.clone()) {
        let mut next = Some(first);
        while let Some(own) = next.take().filter(|own| !given.contains(own) && !parents.contains_key(own)) {
            next = source.parent(&own);
            parents.extend(next.clone().map(|parent| (own, parent)));
        }
    }
    let (mut seen, mut circles) = (BTreeSet::new(), BTreeMap::new());
    for own in parents.keys() {
        let (mut way, mut next) = (Vec::new(), Some(own));
        while let Some(own) = next.filter(|own| seen.insert(*own)) {
            way.push(own);
            next = parents.get(own);
        }
        if let Some(begin) = next.and_then(|own| way.iter().position(|other| *other == own)) {
            let circle = &way[begin..];
            circles.extend((0..circle.len()).map(|n| (circle[n], shown(circle, n))));
        }
    }
    let closes = |request: &Known| {
        let message = format!("closes a circle: {}", circles.get(&request.own)?);
        let refusal = Refusal::new("circle", message).help("leave one of these parents out");
        Some((request.index, PARENT.to_owned(), refusal))
    };
    known.iter().filter_map(closes).collect()
}

/// A circle from one of its members back to it.
fn shown(circle: &[&Need], from: usize) -> String {
    let mut way: Vec<_> = circle.iter().cycle().skip(from).take(circle.len().min(6)).map(|need| need.id()).collect();
    way.extend((circle.len() > 6).then_some("…"));
    way.push(circle[from].id());
    way.join(" → ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;
    use crate::known::{Answer, Known as Answers, Others, Source};
    use crate::promise::need_of;
    use std::time::Instant;

    /// Who knows those that are given.
    struct Given(BTreeSet<Need>);

    impl Source for Given {
        fn look(&self, needs: &BTreeSet<Need>) -> anyhow::Result<Answers> {
            let answer = |need: &Need| match self.0.contains(need) {
                true => Answer::Found(Vec::new()),
                false => Answer::NotSeen(Others::of(need.id(), self.0.iter().map(Need::id))),
            };
            Ok(Answers(needs.iter().map(|need| (need.clone(), answer(need))).collect()))
        }
    }

    fn team(name: &str, id: &str, more: &str) -> String {
        format!(
            "apiVersion: platform.kratix.io/v1alpha1\nkind: Team\nmetadata: {{name: {name}}}\nspec: {{id: {id}, name: X{more}}}\n"
        )
    }

    /// The faults and then the warnings of each, as `path rule message`.
    fn told(teams: &[String]) -> Vec<Vec<String>> {
        let documents = crate::document::parse(teams.join("---\n").as_bytes()).unwrap();
        let items: Vec<_> =
            documents.iter().enumerate().map(|(n, document)| Item { document, place: format!("f:{n}") }).collect();
        let text = |v: &Violation| {
            assert!(v.span.is_some(), "{v:?}");
            format!("{} {} {}", v.path, v.rule, v.message)
        };
        let verdicts = check(&items, &Config::default(), &Given(documents.iter().filter_map(need_of).collect()));
        let all = |v: &Verdict| v.faults.iter().chain(&v.conflicts).chain(&v.warnings).map(text).collect();
        verdicts.iter().map(all).collect()
    }

    #[test]
    fn one_object_twice_and_one_id_twice_are_told_at_both_places() {
        assert_eq!(
            told(&[team("a", "alpha", ""), team("b", "beta", ""), team("a", "gamma", ""), team("c", "beta", "")]),
            [
                vec!["metadata.name duplicate `a` is Team default/a, as in f:2"],
                vec!["spec.id taken `beta` is also that of Team default/c, in f:3"],
                vec!["metadata.name duplicate `a` is Team default/a, as in f:0"],
                vec!["spec.id taken `beta` is also that of Team default/b, in f:1"],
            ]
        );
        assert_eq!(
            told(&[team("a", "alpha", ""), team("a", "alpha", "")]).concat(),
            [
                "metadata.name duplicate `a` is Team default/a, as in f:1",
                "metadata.name duplicate `a` is Team default/a, as in f:0"
            ]
        );
    }

    #[test]
    fn parents_in_a_circle_are_told_and_those_below_it_are_not() {
        let with = |id: &str, parent: &str| team(id, id, &format!(", parent: {parent}"));
        let teams = [
            with("a", "b"),
            with("b", "c"),
            with("c", "a"),
            with("d", "a"),
            with("e", "root"),
            team("root", "root", ""),
        ];
        assert_eq!(
            told(&teams),
            [
                vec!["spec.parent circle closes a circle: a → b → c → a"],
                vec!["spec.parent circle closes a circle: b → c → a → b"],
                vec!["spec.parent circle closes a circle: c → a → b → c"],
                vec![],
                vec![],
                vec![],
            ]
        );
    }

    #[test]
    fn who_is_not_here_may_be_elsewhere() {
        let told = told(&[team("a", "alpha", ", parent: betta, allowNetworkFrom: [beta, x1]"), team("b", "beta", "")]);
        assert_eq!(
            told[0],
            [
                "spec.parent unknown-team `betta` is none of these Teams",
                "spec.allowNetworkFrom[1] unknown-team `x1` is none of these Teams",
            ]
        );
    }

    #[test]
    fn a_long_line_of_parents_is_looked_at_once() {
        let begin = Instant::now();
        let with = |n: usize| team(&format!("t{n}"), &format!("t{n}"), &format!(", parent: t{}", n + 1));
        let teams: Vec<_> = (0..3_000).map(with).collect();
        assert_eq!(told(&teams).concat(), ["spec.parent unknown-team `t3000` is none of these Teams"]);
        assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
    }
}
