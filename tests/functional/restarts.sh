#!/usr/bin/env bash
# Control, Redis or its content dies in the middle of requests: none breaks. The dataplane dies by
# SIGKILL: the gateway's addresses and routes stay, and it serves again within 3 s of its start.
set -eu
. "$(dirname "$0")/lib.sh"
bed_start restarts 3
for b in b1 b2 b3; do bed_nginx $b; bed_talk $b; done
bed_gateway 1
{
  pool
  for n in 1 2 3; do pod web-$n $n; done
  service web nat 80 9000
  service direct dsr-mac 8080 9000
} | bed_sluice apply -f - || bed_fail "apply"
bed_wait 15 bed_vip web 4 || bed_fail "no address"
vip=$(bed_vip web 4)
vip6=$(bed_vip web 6)
programmed "$vip" 80 || bed_fail "no answer from $vip"
programmed "$vip6" 80 || bed_fail "no answer from $vip6"
before=$(bed_sluice get services -o json | jq -c '.. | .ingress? // empty')

# requests_during TEXT COMMAND...: 2,000 requests over each family, COMMAND in their middle.
requests_during() {
  local text=$1 a b
  shift
  bed_requests "$(bed_url "$vip" 80)" 2000 >"$BED_DIR/during4" &
  a=$!
  bed_requests "$(bed_url "$vip6" 80)" 2000 >"$BED_DIR/during6" &
  b=$!
  sleep 0.4
  "$@"
  kill -0 $a 2>/dev/null || bed_say "note: the requests were over before: $text"
  wait $a && wait $b || bed_fail "$text: a request failed: $(tail -n 3 "$BED_DIR/curl.log")"
  equals "$text: answered" "$(awk '{n += $1} END {print n}' "$BED_DIR/during4" "$BED_DIR/during6")" 4000
}
addresses() { bed_sluice get services -o json | jq -c '.. | .ingress? // empty'; }
same_state() { [ "$(addresses)" = "$before" ]; }

hold_start held "$vip" 9000 tcp
equals "connections held through all of it" "$(hold held open 100)" "opened 100 failed 0"

requests_during "control is killed" bed_kill control KILL
bed_control
requests_during "control starts again" sleep 0.5
check "control serves the same state" bed_wait 10 same_state

requests_during "redis-server is killed" bed_kill redis KILL
sleep 1
bed_redis
check "the state is back in an empty Redis by itself" bed_wait 30 same_state
requests_during "FLUSHALL" bed_redis_cli flushall
check "the state is back after FLUSHALL by itself" bed_wait 30 same_state
pod web-4 9 | bed_sluice apply -f - || bed_fail "apply after FLUSHALL"
check "changes are followed again" bed_wait 10 sh -c "$BUILD/control/cli/sluice --config $BED_DIR/gateway.yaml get endpoints -o wide | grep -q 10.0.2.19"
bed_sluice delete pod web-4 || bed_fail "delete"
answer=$(hold held check)
contains "held connections: $answer" "$answer" "same 100 moved 0 broken 0"

gone() { ! bed_sluice get backends | grep -q 10.0.2.19; }
bed_wait 10 gone || bed_fail "web-4 is still a backend"
# Without a dataplane the TAPs have no carrier; routes stay.
gateway_routes() { { in_ns gw ip route; in_ns gw ip -6 route | grep -v fe80; } | sed 's/ linkdown//'; }
routes=$(gateway_routes)
bed_kill dataplane KILL
equals "the gateway's routes are still there" "$(gateway_routes)" "$routes"
contains "and its addresses" "$(in_ns gw ip -br addr show dev north)" 10.0.1.1/24
start=$(date +%s%N)
bed_spawn dataplane gw "$BUILD/dataplane/dpdk/sluice-dataplane" --config "$BED_DIR/gateway.yaml"
answers() { in_ns client curl -fsS -o /dev/null --max-time 0.3 "$(bed_url "$1" 80)/"; }
check "IPv4 works again" bed_wait 10 answers "$vip"
check "IPv6 works again" bed_wait 10 answers "$vip6"
took=$((($(date +%s%N) - start) / 1000000))
bed_say "serving $took ms after the dataplane's start"
check "within 3 s" test $took -le 3000
bed_kill control TERM
check "SIGTERM ends control with nothing withdrawn" programmed "$vip" 80
bed_kill dataplane TERM
contains "after SIGTERM the TAPs are kept" "$(in_ns gw ip -br addr show dev north)" 10.0.1.1/24
passed
