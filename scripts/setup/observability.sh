#!/usr/bin/env bash
# Starts what shows the metrics of scenarios on this machine, for a person who looks: a Prometheus, what takes OTLP in, and
# a Grafana with the dashboards of assets/grafana where there is one.
#
#   eval "$(scripts/setup/observability.sh up)"   starts it, and sets the variables that lead runs to it
#   scripts/setup/observability.sh env            says those variables
#   scripts/setup/observability.sh down           ends it; what was measured stays in target/observability
#
# Needs `prometheus` in PATH (apt-get install prometheus). Grafana is taken from PATH, too: `grafana` or `grafana-server`.
# Spans stay in the collector's memory: give NOMOS_OTLP_ENDPOINT another one to look at them.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=target/observability

start() { # start <name> <command>...
    setsid "${@:2}" >"$here/$1.log" 2>&1 </dev/null & echo $! >"$here/$1.pid"
}
answers() { # answers <name> <url>
    for _ in {1..150}; do curl -fsS -o /dev/null "$2" 2>/dev/null && return; sleep 0.2; done
    echo "$1 does not answer at $2; see $here/$1.log" >&2; exit 1
}
up() {
    command -v prometheus >/dev/null || { echo "there is no prometheus: apt-get install prometheus" >&2; exit 1; }
    down; mkdir -p "$here/grafana/provisioning/"{datasources,dashboards}
    cargo build --quiet --workspace --bin otlp_collector >&2
    start collector target/debug/otlp_collector 127.0.0.1:4318; answers collector http://127.0.0.1:4318/metrics
    printf '%s\n' 'global: { scrape_interval: 1s }' 'scrape_configs:' \
        '  - { job_name: scenario, static_configs: [{ targets: ["127.0.0.1:4318"] }] }' >"$here/prometheus.yml"
    start prometheus prometheus --config.file="$here/prometheus.yml" --storage.tsdb.path="$here/data" \
        --web.listen-address=127.0.0.1:9090; answers prometheus http://127.0.0.1:9090/-/ready
    if command -v grafana >/dev/null; then grafana=(grafana server)
    elif command -v grafana-server >/dev/null; then grafana=(grafana-server)
    else env; return; fi
    echo '{"apiVersion":1,"datasources":[{"name":"Prometheus","type":"prometheus","url":"http://127.0.0.1:9090","isDefault":true}]}' \
        >"$here/grafana/provisioning/datasources/prometheus.yaml"
    echo "{\"apiVersion\":1,\"providers\":[{\"name\":\"scenario\",\"options\":{\"path\":\"$PWD/assets/grafana\"}}]}" \
        >"$here/grafana/provisioning/dashboards/scenario.yaml"
    GF_PATHS_DATA=$PWD/$here/grafana GF_PATHS_PROVISIONING=$PWD/$here/grafana/provisioning GF_AUTH_ANONYMOUS_ENABLED=true \
        start grafana "${grafana[@]}" --homepath "${GRAFANA_HOME:-/usr/share/grafana}"
    answers grafana http://127.0.0.1:3000/api/health; env
}
down() {
    for pid in "$here"/*.pid; do
        [ -e "$pid" ] || continue
        # A number that was given to another process since is left alone.
        name=$(basename "$pid" .pid)
        if grep -q "$name" "/proc/$(<"$pid")/cmdline" 2>/dev/null; then kill "$(<"$pid")"; fi
        rm "$pid"
    done
}
env() {
    for name in NOMOS_OTLP_ENDPOINT NOMOS_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT; do
        echo "export $name=http://127.0.0.1:4318"
    done
    echo "export NOMOS_METRICS_QUERY_URL=http://127.0.0.1:9090"
    [ ! -e "$here/grafana.pid" ] || echo "export NOMOS_GRAFANA_URL=http://127.0.0.1:3000"
}
case ${1-} in
up | down | env) "$1" ;;
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/setup/observability.sh ;;
*) echo "expected up, down or env; see --help" >&2; exit 2 ;;
esac
