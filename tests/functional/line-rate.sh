#!/usr/bin/env bash
# scripts/line-rate finds a rate for the gateway and for testpmd, and says so in its JSON. Trials are
# too short for the figures to mean anything.
set -eu
export BUILD=${BUILD:-build/release}
here=$(cd "$(dirname "$0")/../.." && pwd)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
"$here/scripts/line-rate" --quick --seconds 0.05 --flows 1000 --json "$results/json" >"$results/log" 2>&1 ||
  { tail -n 20 "$results/log"; fail "line-rate"; }
is() {
  jq -e "$2" "$results/json" >/dev/null || { jq -c . "$results/json"; fail "$1"; }
  echo "ok: $1"
}
is "a rate" '.rate > 0'
is "a reference" '.reference > 0'
is "their ratio" '.ratio > 0 and (.ratio - .rate / .reference | fabs) < 0.001'
is "the gateway forwards less than everything" '.rate <= .subjects.gateway.flood_pps * 1.3'
is "latency in order" '.latency | .min > 0 and .min <= .median and .median <= .p99 and .p99 <= .p99_9 and .p99_9 <= .max'
is "strict zero below the rate" '.strict_zero <= .rate'
is "what was asked" '.mode == "dsr-mac" and .family == "ipv4" and .kind == "tcp" and .size == "64" and .flows == 1000 and .workers == 1'
is "nothing out of order or at another client" '[.subjects[] | .reordered + .misdirected] | add == 0'
if "$here/scripts/line-rate" --size 63 --rate 1000 --no-reference >"$results/log" 2>&1; then fail "a frame of 63 bytes is not refused"; fi
grep -q '64 to 1518' "$results/log" || { cat "$results/log"; fail "the refusal does not say what is right"; }
echo "ok: a frame of 63 bytes is refused"
