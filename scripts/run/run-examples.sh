#!/usr/bin/env bash
# Runs one scenario on processes, containers or pods of this machine, with all that it needs built before.
#
#   scripts/run/run-examples.sh [-t <seconds>] [-v <validators>] [-e <executors>] host|compose|k8s
#
# `local` is `host`. Settings: NOMOS_DEMO_RUN_SECS, NOMOS_DEMO_VALIDATORS and NOMOS_DEMO_EXECUTORS give what no argument
# does. Exit codes: 0 passed, 1 failed, 2 usage, 3 backend unavailable.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/run/run-examples.sh; }
wrong() { echo "$1" >&2; usage >&2; exit 2; }
arguments=() backend=''
while [ $# -gt 0 ]; do
    case $1 in
    -t | -v | -e) [[ ${2-} =~ ^[0-9]+$ ]] || wrong "$1 needs a number"; arguments+=("$1" "$2"); shift 2 ;;
    -h | --help) usage; exit 0 ;;
    host | local) backend=local; shift ;;
    compose | k8s) backend=$1; shift ;;
    *) wrong "there is no argument \`$1\`" ;;
    esac
done
[ -n "$backend" ] || wrong "name what to run on: host, compose or k8s"

if [ "$backend" != local ]; then
    docker version >/dev/null 2>&1 || { echo "no container engine answers; see scripts/setup/check.sh" >&2; exit 3; }
    scripts/build/build-test-image.sh
    context=$(kubectl config current-context 2>/dev/null || true)
    if [ "$backend" = k8s ] && [ "${context#kind-}" != "$context" ]; then
        kind load docker-image "${NOMOS_TESTNET_IMAGE:-logos-scenario-node:local}" --name "${context#kind-}"
    fi
fi
cargo build --quiet --bins
exec cargo run --quiet --bin "${backend}_runner" -- "${arguments[@]}"
