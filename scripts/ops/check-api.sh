#!/usr/bin/env bash
# Tells which changes of the public API since a release break users' code and are not in the version's number.
#
#   scripts/ops/check-api.sh              since the last tag `v…`; there is nothing to tell before the first
#   scripts/ops/check-api.sh <revision>   since any other
#
# It needs `cargo install --locked cargo-semver-checks`. Exit codes: 0 nothing, 100 something, 2 usage, 3 no such program.
set -euo pipefail
cd "$(dirname "$0")/../.."

case ${1:-} in
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/ops/check-api.sh; exit 0 ;;
-*) echo "there is no argument \`$1\`; see --help" >&2; exit 2 ;;
'') revision=$(git describe --tags --match 'v*' --abbrev=0 2>/dev/null) || { echo "nothing was released yet"; exit 0; } ;;
*) revision=$(git rev-parse --verify --quiet "$1^{commit}") || { echo "there is no revision \`$1\`" >&2; exit 2; } ;;
esac
cargo semver-checks --version >/dev/null 2>&1 ||
    { echo "cargo-semver-checks is missing: cargo install --locked cargo-semver-checks" >&2; exit 3; }
packages=(-p logos-scenario -p logos-scenario-runtime)
cargo semver-checks "${packages[@]}" --all-features --baseline-rev "$revision"
