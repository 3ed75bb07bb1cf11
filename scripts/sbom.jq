# From what `cargo metadata` prints to a CycloneDX 1.6 document: what is in the image, and where it came from.
#   $linked    what `cargo tree` prints of the crates that are linked in: `name vX.Y.Z`, a line each
#   $lock      Cargo.lock
#   $image     {name, version, revision, created, digest}
#   $files     {program, certificates}, SHA-256 of each
#   $rust      the version of the standard library, or ""
#   $glibc     the version of the C library that was linked, or "" where nobody can know it

def lines: split("\n") | map(select(. != ""));
def sha256: [{alg: "SHA-256", content: .}];
def purl: "pkg:cargo/\(.name)@\(.version | gsub("[+]"; "%2B"))";
# Before 2021 crates wrote `/` for OR.
def licences: if . == null then [] else [{expression: gsub(" */ *"; " OR "), acknowledgement: "declared"}] end;

# Of a crate that carries C: `+1.9.7` in `libgit2-sys v0.18.8+1.9.7` is what its sources call themselves.
def carried:
  {"libgit2-sys": {name: "libgit2", licence: "GPL-2.0-only WITH GCC-exception-2.0", cpe: "libgit2:libgit2"}}[.name] as $it
  | if $it == null then empty else
      (.version | split("+")[1]) as $version
      | {type: "library", "bom-ref": "c:\($it.name)", name: $it.name, version: $version, scope: "required",
         licenses: ($it.licence | licences), purl: "pkg:generic/\($it.name)@\($version)",
         cpe: "cpe:2.3:a:\($it.cpe):\($version):*:*:*:*:*:*:*"}
    end;

def toolchain($name; $version; $licence; $cpe):
  if $version == "" then empty else
    {type: "library", "bom-ref": "toolchain:\($name)", name: $name, version: $version, scope: "required",
     licenses: ($licence | licences), purl: "pkg:generic/\($name)@\($version)", cpe: "cpe:2.3:a:\($cpe):\($version):*:*:*:*:*:*:*"}
  end;

($linked | lines | map({key: ., value: true}) | from_entries) as $linked
| ($lock | split("[[package]]\n")[1:] | map(
    [scan("(name|version|checksum) = \"([^\"]*)\"")] | map({key: .[0], value: .[1]}) | from_entries
    | {key: "\(.name) v\(.version)", value: .checksum}) | from_entries) as $checksums
| .resolve.root as $root
| [.packages[] | select(.id != $root and $linked["\(.name) v\(.version)"])] as $crates
| ($crates | map({key: .id, value: purl}) | from_entries) as $refs
| [$crates[] | carried] as $carried
| [toolchain("rust-std"; $rust; "MIT OR Apache-2.0"; "rust-lang:rust"),
   toolchain("glibc"; $glibc; "LGPL-2.1-or-later"; "gnu:glibc")] as $toolchain
| "goldpath" as $program
| {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    # Of the image's digest (RFC 9562, version 8), because a random one would make each build another.
    serialNumber: ($image.digest | split(":")[1] | "urn:uuid:\(.[0:8])-\(.[8:12])-8\(.[13:16])-8\(.[17:20])-\(.[20:32])"),
    version: 1,
    metadata: {
      timestamp: $image.created,
      lifecycles: [{phase: "build"}],
      tools: {components: [{type: "application", name: "scripts/build-images.sh", version: $image.revision}]},
      component: {type: "container", "bom-ref": "image", name: $image.name, version: $image.digest}
    },
    components: (
      [{type: "application", "bom-ref": $program, name: $program, version: $image.version, licenses: ("Apache-2.0" | licences), hashes: ($files.program | sha256)},
       {type: "data", "bom-ref": "ca-certificates.crt", name: "ca-certificates.crt", version: $files.certificates[0:12], hashes: ($files.certificates | sha256)}]
      + [$crates[] | {
          type: "library", "bom-ref": purl, name: .name, version: .version, scope: "required",
          hashes: ($checksums["\(.name) v\(.version)"] | sha256), licenses: (.license | licences), purl: purl,
          externalReferences: [.repository // empty | {type: "vcs", url: .}]}]
      + $carried + $toolchain),
    dependencies: (
      [{ref: "image", dependsOn: [$program, "ca-certificates.crt"]}]
      + [.resolve.nodes[] | select(.id == $root or $refs[.id] != null)
         | {ref: ($refs[.id] // $program), dependsOn: (
              [.deps[].pkg | $refs[.] // empty] + if .id == $root then [$toolchain[]["bom-ref"]] else [] end | unique)}]
      + [$crates[] | . as $crate | carried | {ref: ($crate | purl), dependsOn: [.["bom-ref"]]}]
      | group_by(.ref) | map({ref: .[0].ref, dependsOn: (map(.dependsOn) | add | unique)})),
    # The compiler's own runtime, and zlib where the machine's is taken, are not told apart.
    compositions: [{aggregate: "incomplete", assemblies: [$program]}]
  }
