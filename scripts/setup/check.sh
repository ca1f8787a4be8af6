#!/usr/bin/env bash
# Says what of all that scenarios can use is on this machine, and how to get the rest.
#
#   scripts/setup/check.sh [host|compose|k8s]   all of them, where none is named
#
# Exit codes: 0 all is there, 1 something is missing, 2 usage.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=0
# check <what> <how to get it> <command>...: whether the command succeeds
check() {
    if "${@:3}" >/dev/null 2>&1; then echo "ok       $1"; else echo "missing  $1: $2"; missing=1; fi
}
host() {
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    check "Rust $least or newer" "https://rustup.rs" \
        bash -c "printf '%s\n' $least \"\$(rustc --version | cut -d' ' -f2)\" | sort --check --version-sort"
    check "a C linker" "apt-get install gcc libc6-dev" command -v cc
}
compose() {
    check "a container engine that answers" "https://docs.docker.com/engine/install, then: usermod -aG docker \$USER" docker version
    for image in "${NOMOS_TESTNET_IMAGE:-logos-scenario-node:local}" "${SCENARIO_RELAY_IMAGE:-logos-scenario-relay:local}"; do
        check "the image $image" "scripts/build/build-test-image.sh" docker image inspect "$image"
    done
}
k8s() {
    check "a Kubernetes cluster that answers" "https://kind.sigs.k8s.io, then: kind create cluster" \
        kubectl ${SCENARIO_KUBE_CONTEXT:+--context "$SCENARIO_KUBE_CONTEXT"} version
}
case ${1-} in
'') host; compose; k8s ;;
host | compose | k8s) "$1" ;;
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/setup/check.sh ;;
*) echo "there is no argument \`$1\`; see --help" >&2; exit 2 ;;
esac
exit $missing
