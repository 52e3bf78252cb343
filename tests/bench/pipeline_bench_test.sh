#!/usr/bin/env bash
# A tiny run of pipeline_bench: every benchmark of every mode is measured, keeps its flows, and stands
# in the JSON with cycles and ratio; table and plot are written. Figures are not judged here.
# usage: pipeline_bench_test.sh PIPELINE_BENCH
set -eu
bench=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

"$bench" --flows 1k,2k --repetitions 2 --tiny --json "$dir/all.json" --report "$dir" >"$dir/out" 2>&1 ||
  { cat "$dir/out"; fail "pipeline_bench failed"; }

for mode in $("$bench" --modes); do
  events="hit miss new flood"
  case $mode in nat | dnat) events="$events reply" ;; esac
  for family in ipv4 ipv6; do
    for event in $events; do
      for flows in 1k 2k; do
        name=pipeline/$mode/$family/$event/$flows
        jq -e --arg name "$name" '[.[] | select(.name == $name)] | length == 1 and (.[0] |
            (.cycles.min <= .cycles.median and .cycles.median <= .cycles.max)
            and (.ratio.min <= .ratio.median and .ratio.median <= .ratio.max)
            and .cycles.median > 0 and .bytes_per_flow > 16)' "$dir/all.json" >"$dir/verdict" ||
          { jq --arg name "$name" '.[] | select(.name == $name)' "$dir/all.json"; fail "$name"; }
      done
    done
  done
done
# Whatever else it costs: established packets find their flows, and every SYN makes one.
jq -e 'all(.[] | select(.name | test("/(hit|reply|flood)/")); .hits == 1)' "$dir/all.json" >/dev/null ||
  { cat "$dir/out"; fail "established packets did not find their flows"; }
jq -e 'all(.[] | select(.name | test("/new/")); .new == 1)' "$dir/all.json" >/dev/null ||
  { cat "$dir/out"; fail "SYNs made no flows"; }
jq -e 'all(.[] | select(.name | test("/flood/")); .lost == 0)' "$dir/all.json" >/dev/null ||
  { cat "$dir/out"; fail "a flood cost established flows"; }
grep -q '^| pipeline/' "$dir/pipeline.md" || fail "no table"
grep -q '<polyline' "$dir/pipeline.svg" || fail "no plot"

# What is wrong with the command line is said.
if "$bench" --flows 7 >"$dir/out" 2>&1; then fail "--flows 7 was taken"; fi
grep -q 'flows 7: 1k to 16M are possible' "$dir/out" || fail "--flows 7: $(cat "$dir/out")"
if "$bench" --filter '(' >"$dir/out" 2>&1; then fail "--filter ( was taken"; fi
grep -q 'no regular expression' "$dir/out" || fail "--filter (: $(cat "$dir/out")"
echo "all benchmarks are there"
