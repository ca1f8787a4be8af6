#!/usr/bin/env bash
# Removes the containers, networks and volumes of clusters whose owner is gone, and nothing else.
#
#   scripts/ops/sweep.sh          as a test run does before its first cluster
#   scripts/ops/sweep.sh --list   only shows all that carries the project's labels
set -euo pipefail
cd "$(dirname "$0")/../.."

case ${1:-} in
'') exec cargo run --quiet -p logos-scenario-tests --bin sweep ;;
--list)
    label=label=logos-scenario.owner
    docker ps --all --filter "$label" --format 'container {{.Names}} ({{.Status}})'
    docker network ls --filter "$label" --format 'network {{.Name}}'
    docker volume ls --filter "$label" --format 'volume {{.Name}}'
    ;;
*) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" ;;
esac
