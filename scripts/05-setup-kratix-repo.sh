#!/usr/bin/env bash
# Stage 5 of the proof of concept: has `goldpath platform setup` make in Gitea what delivery and review need: the
# repositories and organisations that the configuration names, their users, teams, tokens, secrets and protections.
# Run it again at any time: it changes only what differs.
#
#   05-setup-kratix-repo.sh --config FILE --runner LABEL [--credentials FOLDER] [--rotate] [--dry-run] [--log-folder FOLDER]
#
#   --config          the platform's configuration, with `review` (see config.example.yaml)
#   --runner          the label of the runner that rings for the infrastructure repository
#   --credentials     where the token with which requests are delivered goes, as the file `token`; a valid one stays
#   --rotate          makes every token anew, and removes the old ones
#   --dry-run         only reads, and prints what would change
#   --log-folder      where the log goes (default: .goldpath/log)
#
# From the environment, or .goldpath/poc/gitea.env of stage 3: GITEA_ADMIN_TOKEN_FILE, with the token of an administrator
# (scopes: see `goldpath platform setup --help`). Gitea's address and certificate authority are in the configuration.
# GOLDPATH_BINARIES is a folder with `goldpath`, where it is built already.
set -euo pipefail
stage=05-setup-kratix-repo
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

config='' runner='' credentials='' rotate=''
read_options 'rotate' 'config runner credentials' "$@"
start
need_gitea
need_goldpath
"$program" platform setup --config "$config" --runner "$runner" ${credentials:+--credentials "$credentials"} \
  ${rotate:+--rotate} ${dry:+--dry-run} 2>&1 | tee -a "$log" >&2
