#!/usr/bin/env bash
# Two workers between the generator's vdevs, at a rate that no machine is too busy for: no packet is
# lost, none overtakes another of its flow, and every answer reaches its own client; where the sender
# spreads flows as RSS would, no packet changes workers (full NAT included, whose ports are chosen for
# that); with one queue, half of NAT's do.
set -eu
BUILD=${BUILD:-build/release}
here=$(cd "$(dirname "$0")/../.." && pwd)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
is() {  # WHAT FILTER: FILTER is true of the results
  jq -e "$2" "$results/json" >/dev/null || { jq -c . "$results/json"; fail "$1"; }
  echo "ok: $1"
}
for mode in nat dsr-mac; do
  for steering in rss software; do
    BUILD=$BUILD "$here/scripts/line-rate" --no-reference --mode $mode --workers 2 --steering $steering \
      --flows 2000 --rate 20000 --json "$results/json" >"$results/log" 2>&1 || { tail -n 20 "$results/log"; fail "$mode, $steering"; }
    is "$mode, $steering: packets came back" '.subjects.gateway.received > 30000'
    is "$mode, $steering: none lost" '.subjects.gateway | .offered == .received'
    is "$mode, $steering: none out of order or twice" '.subjects.gateway | .reordered == 0 and .duplicated == 0'
    is "$mode, $steering: none at another client" '.subjects.gateway.misdirected == 0'
    if [ $steering = rss ]; then
      is "$mode, $steering: both workers received a third at least" '[.by_worker[].received] | length == 2 and min * 2 > max'
    fi
    if [ $mode-$steering = nat-software ]; then
      is "$mode, $steering: about half of them changed workers" \
        '[.by_worker[].received] as $r | ([.by_worker[].handed_over] | add) as $h | $h * 4 > ($r | max) and $h * 4 < 3 * ($r | max)'
    else  # Under direct return whoever receives a packet may forward it.
      is "$mode, $steering: none changed workers" '[.by_worker[].handed_over] | length == 2 and add == 0'
    fi
  done
done
