#!/usr/bin/env bash
# Builds the image that container backends run. Needs no network beyond cargo's own.
#
#   scripts/build/build-test-image.sh                                  the in-tree node, statically linked, on nothing
#   scripts/build/build-test-image.sh --binaries <tar> --base <image>  the programs of a tar, on an image that is here
#
# Settings: NOMOS_TESTNET_IMAGE names the image (default: logos-scenario-node:local).
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/build/build-test-image.sh; }
binaries='' base=''
while [ $# -gt 0 ]; do
    case $1 in
    --binaries) binaries=$(realpath -e "${2:?--binaries needs a tar file}"); shift 2 ;;
    --base) base=${2:?--base needs an image}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) echo "there is no argument \`$1\`" >&2; usage >&2; exit 2 ;;
    esac
done
[ "${binaries:+given}" = "${base:+given}" ] || { echo "--binaries and --base go together" >&2; exit 2; }

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/bin" "$context/node"
if [ -n "$binaries" ]; then
    tar -xf "$binaries" -C "$context/bin"
else
    host=$(rustc -vV | sed -n 's/^host: //p')
    # A target folder of its own: other flags would make cargo build everything anew, here and there.
    CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" \
        cargo build --quiet --target "$host" --target-dir target/image -p logos-scenario-tests --bin devnode
    cp "target/image/$host/debug/devnode" "$context/bin"
fi
image=${NOMOS_TESTNET_IMAGE:-logos-scenario-node:local}
before=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || true)
docker build --quiet --build-arg "BASE=${base:-scratch}" --file assets/image/Dockerfile --tag "$image" "$context" >/dev/null
# What it replaces is left without a name, and is of no use to anybody once no container runs it.
[ -z "$before" ] || docker image inspect --format '{{.RepoTags}}' "$before" 2>/dev/null | grep -qv '^\[\]$' ||
    docker image rm "$before" >/dev/null 2>&1 || true
echo "built $image"
