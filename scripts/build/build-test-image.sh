#!/usr/bin/env bash
# Builds the images of nodes and of the relay between them, for container backends, with cargo's network alone.
#
#   scripts/build/build-test-image.sh                                  the in-tree node, on nothing
#   scripts/build/build-test-image.sh --binaries <tar> --base <image>  the programs of a tar, on an image that is here
#
# Settings: NOMOS_TESTNET_IMAGE names the image of nodes (default: logos-scenario-node:local), SCENARIO_RELAY_IMAGE
# that of the relay (default: logos-scenario-relay:local).
set -euo pipefail; cd "$(dirname "$0")/../.."
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/build/build-test-image.sh; }
case "$# ${1-} ${3-}" in
'0  ') binaries='' base=scratch ;;
'4 --binaries --base') binaries=$(realpath -e "$2") base=$4 ;;
*' -h '* | *' --help '*) usage; exit 0 ;;
*) echo "expected nothing, or --binaries <tar> --base <image>" >&2; usage >&2; exit 2 ;;
esac
# Told now, and not after minutes of compiling.
docker version >/dev/null || { echo "no container engine answers: see scripts/setup/check.sh compose" >&2; exit 1; }
context=$(mktemp -d) host=$(rustc -vV | sed -n 's/^host: //p')
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/"{node,relay}/{bin,node}

compile() { # compile <package> <program> <file> <feature>: a program that needs nothing beside it
    # A target folder of its own: other flags would make cargo build everything anew, here and there.
    CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" \
        cargo build --target "$host" --target-dir target/image -p "$1" --bin "$2" --no-default-features --features "$4"
    cp "target/image/$host/debug/$2" "$3"
}
pack() { # pack <folder> <base> <image>, in place of the one before, once no container runs that
    docker build --quiet --build-arg "BASE=$2" --file assets/image/Dockerfile --tag "$3" "$1" >/dev/null
    docker image prune --force --filter label=logos-scenario.image >/dev/null
    echo "built $3"
}
compile logos-scenario logos-scenario-relay "$context/relay/bin/logos-scenario-relay" relay
pack "$context/relay" scratch "${SCENARIO_RELAY_IMAGE:-logos-scenario-relay:local}"
if [ -n "$binaries" ]; then tar -xf "$binaries" -C "$context/node/bin"; else
    compile logos-scenario-devnode logos-scenario-devnode "$context/node/bin/devnode" program
fi
pack "$context/node" "$base" "${NOMOS_TESTNET_IMAGE:-logos-scenario-node:local}"
