#!/usr/bin/env bash
# Builds the images that container backends run: of nodes, and of the relay between them. Needs no network beyond
# cargo's own.
#
#   scripts/build/build-test-image.sh                                  the in-tree node and the relay, each on nothing
#   scripts/build/build-test-image.sh --relay                          the relay alone
#   scripts/build/build-test-image.sh --binaries <tar> --base <image>  the programs of a tar, on an image that is here
#
# Settings: NOMOS_TESTNET_IMAGE names the image of nodes (default: logos-scenario-node:local), SCENARIO_RELAY_IMAGE
# that of the relay (default: logos-scenario-relay:local).
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/build/build-test-image.sh; }
binaries='' base='' node=1
while [ $# -gt 0 ]; do
    case $1 in
    --binaries) binaries=$(realpath -e "${2:?--binaries needs a tar file}"); shift 2 ;;
    --base) base=${2:?--base needs an image}; shift 2 ;;
    --relay) node=''; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "there is no argument \`$1\`" >&2; usage >&2; exit 2 ;;
    esac
done
[ "${binaries:+given}" = "${base:+given}" ] || { echo "--binaries and --base go together" >&2; exit 2; }
# Told now, and not after minutes of compiling.
docker version >/dev/null || { echo "no container engine answers: see scripts/setup/check.sh compose" >&2; exit 1; }

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/bin" "$context/node" "$context/relay/bin" "$context/relay/node"

# compile <package> <program> <file> <feature>: a program that needs nothing beside it
compile() {
    local host; host=$(rustc -vV | sed -n 's/^host: //p')
    # A target folder of its own: other flags would make cargo build everything anew, here and there.
    CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" \
        cargo build --target "$host" --target-dir target/image -p "$1" --bin "$2" --no-default-features --features "$4"
    cp "target/image/$host/debug/$2" "$3"
}

# pack <folder> <base> <image>
pack() {
    local before; before=$(docker image inspect --format '{{.Id}}' "$3" 2>/dev/null || true)
    docker build --quiet --build-arg "BASE=$2" --file assets/image/Dockerfile --tag "$3" "$1" >/dev/null
    # What it replaces is left without a name, and is of no use to anybody once no container runs it.
    [ -z "$before" ] || docker image inspect --format '{{.RepoTags}}' "$before" 2>/dev/null | grep -qv '^\[\]$' ||
        docker image rm "$before" >/dev/null 2>&1 || true
    echo "built $3"
}

if [ -n "$binaries" ]; then
    tar -xf "$binaries" -C "$context/bin"
else
    compile logos-scenario logos-scenario-relay "$context/relay/bin/logos-scenario-relay" relay
    pack "$context/relay" scratch "${SCENARIO_RELAY_IMAGE:-logos-scenario-relay:local}"
    [ -n "$node" ] || exit 0
    compile logos-scenario-devnode logos-scenario-devnode "$context/bin/devnode" program
fi
pack "$context" "${base:-scratch}" "${NOMOS_TESTNET_IMAGE:-logos-scenario-node:local}"
