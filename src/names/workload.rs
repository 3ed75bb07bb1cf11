//! Names of what runs: environments, clusters, components, images, hosts. Each is a pattern and a length, which the API server
//! holds too.

use super::{length, quote};
use crate::api::{self, Api, WORDS};
use crate::document::Node;
use crate::fields;
use crate::violation::{Refusal, Violation};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::sync::LazyLock;

/// Declares a name that a pattern and a length decide.
macro_rules! pattern {
    ($(#[$doc:meta])* $name:ident, $max:literal, $pattern:expr, $what:literal, $help:literal) => {
        name!(
            $(#[$doc])*
            $name,
            json!({"type": "string", WORDS: concat!($help, "; at most ", $max), "minLength": 1, "maxLength": $max, "pattern": $pattern})
        );

        impl $name {
            /// The longest, in characters.
            pub const MAX: usize = $max;

            /// Refuses what is longer, and what the pattern does not take.
            pub fn parse(text: &str) -> Result<Self, Refusal> {
                static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("a constant"));
                length(text, 1, $max)?;
                match PATTERN.is_match(text) {
                    true => Ok(Self(text.to_owned())),
                    false => Err(Refusal::new("pattern", format!("{} is not {}", quote(text), $what)).help(concat!("use ", $help))),
                }
            }
        }
    };
}

/// A DNS label without two hyphens in a row, so that several can be joined by two.
const DASHED: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";

pattern!(
    /// The name of an environment. `platform` is the label of the platform's own Destination.
    EnvironmentName,
    20,
    DASHED,
    "the name of an environment",
    "`a-z`, `0-9` and single hyphens between them"
);
pattern!(
    /// The name of a cluster, which one environment has.
    ClusterName,
    42,
    DASHED,
    "the name of a cluster",
    "`a-z`, `0-9` and single hyphens between them"
);
pattern!(
    /// The name of an Application.
    ApplicationName,
    30,
    DASHED,
    "the name of an Application",
    "`a-z`, `0-9` and single hyphens between them"
);
pattern!(
    /// The name of a component, which is that of its Service too (RFC 1035).
    ComponentName,
    30,
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
    "the name of a component",
    "`a-z`, `0-9` and single hyphens between them, beginning with a letter"
);
pattern!(
    /// The name of a port, as containers and Services have it (RFC 6335).
    PortName,
    15,
    "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
    "the name of a port",
    "`a-z`, `0-9` and single hyphens between them, beginning with a letter"
);
pattern!(
    /// The name of a container beside the component's own, and of a volume.
    PartName,
    30,
    DASHED,
    "a name",
    "`a-z`, `0-9` and single hyphens between them"
);
pattern!(
    /// The name of a Kubernetes object that a request names: a DNS subdomain (RFC 1123).
    SubdomainName,
    253,
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "an object's name",
    "`a-z`, `0-9`, `-` and `.`, beginning and ending with a letter or digit"
);
pattern!(
    /// The name of a role of the cluster.
    ClusterRoleName,
    253,
    "^[A-Za-z0-9]([-A-Za-z0-9_.:]*[A-Za-z0-9])?$",
    "the name of a ClusterRole",
    "letters, digits, `-`, `_`, `.` and `:`, beginning and ending with a letter or digit"
);
pattern!(
    /// The name of an environment variable.
    VariableName,
    100,
    "^[A-Za-z_][A-Za-z0-9_.-]*$",
    "the name of a variable",
    "letters, digits, `_`, `.` and `-`, beginning with a letter or `_`"
);
pattern!(
    /// A key of a Secret or ConfigMap.
    DataKey,
    253,
    "^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
    "a key of a Secret",
    "letters, digits, `-`, `_` and `.`, not beginning with `.`"
);
pattern!(
    /// A host, in lower case, and no address.
    HostName,
    253,
    r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
    "the name of a host",
    "a whole name in DNS, in lower case, as in `api.example.com`"
);
pattern!(
    /// The path of a URL, or what it begins with: `/`, or segments without a `/` at their end.
    UrlPath,
    120,
    r"^/$|^(/([A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*|\.[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*))+$",
    "the path of a URL",
    "`/`, or names behind a `/` each, as in `/api/v1`, without one at the end"
);
pattern!(
    /// The absolute path of a file or folder in a container.
    FilePath,
    255,
    r"^(/([A-Za-z0-9_@%+=~ -][A-Za-z0-9._@%+=~ -]*|\.[A-Za-z0-9_@%+=~ -][A-Za-z0-9._@%+=~ -]*))+$",
    "an absolute path",
    "names of letters, digits, `.`, `_`, `-` and the like behind a `/` each, as in `/etc/app/settings.yaml`"
);
pattern!(
    /// An image without its version: registry and repository.
    ImageName,
    255,
    concat!(
        r"^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?/)?",
        r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$"
    ),
    "the name of an image",
    "registry and repository in lower case, as in `registry.example.com/shop/api`; `version` and `digest` stand beside it"
);
pattern!(
    /// The digest of an image.
    ImageDigest,
    71,
    "^sha256:[0-9a-f]{64}$",
    "the digest of an image",
    "`sha256:` and 64 digits of `0-9a-f`"
);
pattern!(
    /// A capability of Linux's, without `CAP_`.
    Capability,
    40,
    "^[A-Z]+(_[A-Z]+)*$",
    "a capability",
    "capital letters and `_`, without `CAP_` before them, as in `NET_BIND_SERVICE`"
);
pattern!(
    /// A key of a store of secrets.
    StoreKey,
    500,
    r"^[^\x00-\x20\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}\x{fdd0}-\x{fdef}]+$",
    "a key of a store of secrets",
    "a path without blanks, as in `my-api/stripe`"
);

name!(
    /// The version of an image, its tag: not `latest`, which says nothing.
    ImageVersion,
    json!({
        "type": "string",
        WORDS: "letters, digits, `.`, `_` and `-`, as in `2.1.0`; at most 128; not `latest`",
        "minLength": 1,
        "maxLength": ImageVersion::MAX,
        // Any but `latest`: RE2 has no other words for it.
        "pattern": ImageVersion::PATTERN,
    })
);

impl ImageVersion {
    const MAX: usize = 128;
    const PATTERN: &str = concat!(
        "^([A-Za-km-z0-9_][A-Za-z0-9_.-]*|l|l[B-Zb-z0-9_.-][A-Za-z0-9_.-]*|lA[A-Za-z0-9_.-]*|la|la[A-Za-su-z0-9_.-][A-Za-z0-9_.-]*|lat|",
        "lat[A-Za-df-z0-9_.-][A-Za-z0-9_.-]*|late|late[A-Za-rt-z0-9_.-][A-Za-z0-9_.-]*|lates|lates[A-Za-su-z0-9_.-][A-Za-z0-9_.-]*|",
        "latest[A-Za-z0-9_.-]+)$"
    );

    /// Refuses what is no tag, and `latest`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(ImageVersion::PATTERN).expect("a constant"));
        length(text, 1, Self::MAX)?;
        match PATTERN.is_match(text) {
            true => Ok(Self(text.to_owned())),
            false if text == "latest" => {
                Err(Refusal::new("latest", "`latest` says nothing of what runs, and changes by itself")
                    .help("name the version that is to run, as `2.1.0`, or a digest"))
            }
            false => Err(Refusal::new("pattern", format!("{} is not the version of an image", quote(text)))
                .help("use letters, digits, `.`, `_` and `-`, as in `2.1.0`")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn each_pattern_takes_what_is_meant_and_no_more() {
        let long = "x".repeat(31);
        for (name, is_good) in
            [("a", true), ("a-1", true), ("1a", false), ("a--b", false), ("a-", false), (&long, false)]
        {
            assert_eq!(ComponentName::parse(name).is_ok(), is_good, "{name}");
        }
        for (host, is_good) in
            [("a.example.com", true), ("localhost", false), ("A.com", false), ("1.2.3.4", false), ("*.a.b", false)]
        {
            assert_eq!(HostName::parse(host).is_ok(), is_good, "{host}");
        }
        for (path, is_good) in [
            ("/", true),
            ("/api/v1", true),
            ("/.well-known", true),
            ("/a/", false),
            ("//", false),
            ("/..", false),
            ("/a/./b", false),
            ("/%2f", false),
            ("api", false),
            ("/a\n", false),
        ] {
            assert_eq!(UrlPath::parse(path).is_ok(), is_good, "{path}");
        }
        for (path, is_good) in
            [("/etc/a.yaml", true), ("/a/.b", true), ("/", false), ("/a/../b", false), ("a", false), ("/a:b", false)]
        {
            assert_eq!(FilePath::parse(path).is_ok(), is_good, "{path}");
        }
        for (image, is_good) in [
            ("registry.example.com/my-api", true),
            ("localhost:5000/a/b", true),
            ("nginx", true),
            ("nginx:1", false),
            ("a@sha256:1", false),
            ("A/b", true),
            ("a/B", false),
        ] {
            assert_eq!(ImageName::parse(image).is_ok(), is_good, "{image}");
        }
    }

    #[test]
    fn only_latest_is_no_version() {
        let near = [
            "l", "la", "lat", "late", "lates", "latest1", "latest.", "Latest", "1latest", "latesT", "lx", "LATEST",
            "2.1.0", "lAtest",
        ];
        for version in near {
            assert_eq!(ImageVersion::parse(version).unwrap().as_str(), version);
        }
        assert_eq!(ImageVersion::parse("latest").unwrap_err().rule, "latest");
        assert_eq!(ImageVersion::parse("-1").unwrap_err().rule, "pattern");
    }
}
