#!/bin/sh
# Usage: flow_search_symbols.sh LIBRARY
# Fails when an object compiled for AVX2 or AVX-512 exports anything but its two functions.
set -eu
nm --extern-only --defined-only "$1" | awk '
  /\.o:$/ { object = $1; beyond_base = object ~ /flow_search_avx/ }
  beyond_base && NF == 3 {
    if ($2 == "T" && $3 ~ /^sluice_flow_search_ipv[46]_avx/) functions++
    else { print object, "exports", $3; bad = 1 }
  }
  END {
    if (functions != 4) { print "expected 4 functions, found", functions + 0; bad = 1 }
    exit bad
  }'
