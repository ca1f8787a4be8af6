#!/usr/bin/env bash
# Removes the containers, networks, volumes and namespaces of clusters whose owner is gone, and nothing else.
#
#   scripts/ops/sweep.sh          as a test run does before its first cluster
#   scripts/ops/sweep.sh --list   only shows all that carries the project's labels
set -euo pipefail
cd "$(dirname "$0")/../.."

case ${1:-} in
'') exec cargo test --quiet -p logos-scenario-tests --test scenarios -- --sweep ;;
--list)
    label=label=logos-scenario.owner
    docker ps --all --filter "$label" --format 'container {{.Names}} ({{.Status}})'
    docker network ls --filter "$label" --format 'network {{.Name}}'
    docker volume ls --filter "$label" --format 'volume {{.Name}}'
    if command -v kubectl >/dev/null; then
        kubectl get namespaces,persistentvolumes -l logos-scenario.cluster -o name 2>/dev/null || true
    fi
    ;;
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/ops/sweep.sh ;;
*) echo "there is no argument \`$1\`; see --help" >&2; exit 2 ;;
esac
