#!/usr/bin/env bash
# Shows the metrics of scenarios on this machine: a Prometheus, what takes OTLP in, and dashboards in Grafana where that is.
#
#   eval "$(scripts/setup/observability.sh up)"   starts it, and sets the variables that lead runs to it
#   scripts/setup/observability.sh down           ends it; what was measured stays in target/observability
#
# Needs `prometheus` in PATH (apt-get install prometheus), and takes `grafana` from there, too.
set -euo pipefail; shopt -s nullglob; cd "$(dirname "$0")/../.."
here=$PWD/target/observability collector=http://127.0.0.1:4318
start() { # start <name> <where it answers> <command>...
    setsid "${@:3}" >"$here/$1.log" 2>&1 </dev/null & echo $! >"$here/$1.pid"
    curl -fsS -o /dev/null --retry 150 --retry-delay 1 --retry-max-time 60 --retry-all-errors "$2" 2>/dev/null && return
    echo "$1 does not answer at $2; see $here/$1.log" >&2; exit 1
}
up() {
    command -v prometheus >/dev/null || { echo "there is no prometheus: apt-get install prometheus" >&2; exit 1; }
    down; mkdir -p "$here"; cargo build --quiet --bin otlp_collector >&2
    start collector $collector/metrics cargo run --quiet --bin otlp_collector -- 127.0.0.1:4318
    start prometheus http://127.0.0.1:9090/-/ready prometheus --config.file=assets/prometheus.yml \
        --storage.tsdb.path="$here/data" --web.listen-address=127.0.0.1:9090
    printf "export %s=$collector\n" NOMOS_OTLP_ENDPOINT NOMOS_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT
    echo "export NOMOS_METRICS_QUERY_URL=http://127.0.0.1:9090"
    command -v grafana >/dev/null || return 0
    GF_PATHS_DATA=$here/grafana GF_PATHS_PROVISIONING=$PWD/assets/grafana/provisioning GF_AUTH_ANONYMOUS_ENABLED=true \
        start grafana http://127.0.0.1:3000/api/health grafana server --homepath "${GRAFANA_HOME:-/usr/share/grafana}"
    echo "export NOMOS_GRAFANA_URL=http://127.0.0.1:3000"
}
down() {
    for pid in "$here"/*.pid; do
        # A number that was given to another process since is left alone.
        ! grep -qs "$(basename "$pid" .pid)" "/proc/$(<"$pid")/cmdline" || kill -- "-$(<"$pid")"
        rm "$pid"
    done
}
case ${1-} in
up | down) "$1" ;;
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/setup/observability.sh ;;
*) echo "expected up or down; see --help" >&2; exit 2 ;;
esac
