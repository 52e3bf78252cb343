#!/usr/bin/env bash
# 10,000 connections, opened over 3, then 4, then 3 backends: none that is established on a living
# backend moves or breaks.
# usage: connections.sh nat|dsr-mac 4|6 WORKERS
set -eu
mode=$1 family=$2 workers=$3
. "$(dirname "$0")/lib.sh"
bed_start connections 4
for b in b1 b2 b3 b4; do bed_nginx $b; bed_talk $b; done
bed_gateway "$workers"
{
  pool
  for n in 1 2 3; do pod web-$n $n; done
  service web "$mode" 8080 9000
} | bed_sluice apply -f - || bed_fail "apply"
bed_wait 15 bed_vip web "$family" || bed_fail "no address"
vip=$(bed_vip web "$family")
[ "$mode" = nat ] || dsr_addresses "$vip" b1 b2 b3 b4
programmed "$vip" 8080 || bed_fail "no answer from $vip"
serves() { bed_requests "$(bed_url "$vip" 8080)" 60 | grep -q "$1"; }
serves_not() { ! serves "$1"; }

hold_start c "$vip" 9000 tcp
equals "over three backends" "$(hold c open 3333)" "opened 3333 failed 0"
pod web-4 4 | bed_sluice apply -f - || bed_fail "apply web-4"
check "new connections reach the fourth" bed_wait 10 serves b4
equals "over four" "$(hold c open 3333)" "opened 3333 failed 0"
answer=$(hold c check)
contains "after 3 -> 4: $answer" "$answer" "flows 6666 same 6666 moved 0 broken 0"
check "a pod is deleted" bed_sluice delete pod web-2
check "new connections leave it" bed_wait 10 serves_not b2
equals "over three again" "$(hold c open 3334)" "opened 3334 failed 0"
answer=$(hold c check)
bed_say "after 4 -> 3: $answer"
# Those on the deleted pod may end (its process still runs here: nothing says they must).
for b in b1 b3 b4; do
  share=$(printf '%s\n' "$answer" | tr ' ' '\n' | sed -n "s/^$b://p")
  equals "$b: none moved, none broken" "${share#*/}" 0/0
done
bed_sluice stats --drops
passed
