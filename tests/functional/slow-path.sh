#!/usr/bin/env bash
# The gateway as a host: it answers ping and ARP/ND for itself and its VIPs; ports of a VIP that no
# Service has are answered or dropped by policy and never reach the gateway's own sockets.
set -eu
. "$(dirname "$0")/lib.sh"
bed_start slowpath 2
for b in b1 b2; do bed_nginx $b; done
bed_gateway 2
{
  pool
  cat <<'YAML'
---
apiVersion: sluice.dev/v1
kind: AddressPool
metadata: {name: silent}
spec: {addresses: [192.0.2.32/28, "2001:db8:1::1:0/112"], autoAssign: false, unservedPorts: drop}
YAML
  for n in 1 2; do pod web-$n $n; done
  service web nat 80 9000
  service quiet nat 80 9000 | sed 's/annotations: {/annotations: {sluice.dev\/address-pool: silent, /'
} | bed_sluice apply -f - || bed_fail "apply"
for s in web quiet; do for f in 4 6; do bed_wait 15 bed_vip $s $f || bed_fail "no IPv$f address for $s"; done; done
vip4=$(bed_vip web 4) vip6=$(bed_vip web 6) quiet4=$(bed_vip quiet 4) quiet6=$(bed_vip quiet 6)
programmed "$vip4" 80 || bed_fail "no answer from $vip4"
programmed "$vip6" 80 || bed_fail "no answer from $vip6"

for address in 10.0.1.1 fd00:0:0:1::1 10.0.2.1 "$vip4" "$vip6"; do
  check "ping $address" in_ns client ping -q -c 3 -i 0.2 -W 2 "$address"
done
# VIPs on the client's own link: found by ARP and ND alone.
in_ns client ip route del 192.0.2.0/24
in_ns client ip -6 route del 2001:db8:1::/64
in_ns client ip route add 192.0.2.0/24 dev eth0
in_ns client ip -6 route add 2001:db8:1::/64 dev eth0
check "ARP for a VIP" in_ns client ping -q -c 2 -i 0.2 -W 3 "$vip4"
check "ND for a VIP" in_ns client ping -q -c 2 -i 0.2 -W 3 "$vip6"
check "requests over a VIP found by ARP" programmed "$vip4" 80
check "requests over a VIP found by ND" programmed "$vip6" 80

# Sockets of the gateway's own that listen on every address: reachable at its address, not at a VIP.
bed_spawn listener gw "$BUILD/tests/support/talk" serve gateway 7777
reaches() { [ "$(printf '?\n' | in_ns client timeout 3 nc -w 1 "$@" 2>/dev/null | head -n 1)" = gateway ]; }
check "the gateway's own socket at its own address" bed_wait 10 reaches 10.0.1.1 7777
for address in "$vip4" "$vip6" "$quiet4" "$quiet6"; do
  if reaches "$address" 7777; then bed_fail "the gateway's socket answered at the VIP $address"; fi
  if reaches -u "$address" 7777; then bed_fail "the gateway's UDP socket answered at the VIP $address"; fi
done
# curl: 7 is connection refused, 28 is a time-out.
result() { in_ns client curl -s -o /dev/null --max-time 1 "$(bed_url "$1" "$2")/" && echo 0 || echo $?; }
for address in "$vip4" "$vip6"; do
  equals "an unserved port of $address is refused" "$(result "$address" 81)" 7
done
for address in "$quiet4" "$quiet6"; do
  equals "an unserved port of $address is dropped silently" "$(result "$address" 81)" 28
done
# UDP to an unserved port: talk's connected socket gets ICMP port unreachable, so the answer is quick.
for address in "$vip4" "$vip6"; do
  start=$(date +%s%N)
  equals "UDP to an unserved port of $address" \
    "$(echo 'open 1' | in_ns client "$BUILD/tests/support/talk" hold udp "$address" 81)" "opened 0 failed 1"
  check "is answered by ICMP, not by silence" test $((($(date +%s%N) - start) / 1000000)) -lt 3000
done
drops=$(bed_sluice stats --drops --all)
bed_say "$drops"
contains "the dropped ones are counted by name" "$drops" unserved

# A Service whose backends are all gone refuses at once.
bed_sluice delete pod web-1 && bed_sluice delete pod web-2 || bed_fail "delete"
refused() { [ "$(result "$1" 80)" = 7 ]; }
check "no backend left: refused over IPv4" bed_wait 10 refused "$vip4"
check "no backend left: refused over IPv6" bed_wait 10 refused "$vip6"

# Deleting the Service takes its address off the gateway.
bed_sluice delete service web || bed_fail "delete service"
held() { in_ns gw ip addr show dev sluice-vips | grep -qw "$1"; }
not_held() { ! held "$1"; }
check "the address leaves the VIP interface" bed_wait 10 not_held "$vip4"
check "the other Service's stays" held "$quiet4"

# The configuration: what can change without a restart does.
sed -i 's/^dataplane:/logging: {level: debug}\ndataplane:/; s/idle: back-off/idle: spin/; s/packetBuffers: 16384/packetBuffers: 32768/' "$BED_DIR/gateway.yaml"
kill -HUP "${BED_PIDS[dataplane]}"
check "SIGHUP: what needs a restart is said" bed_wait 5 grep -q packetBuffers "$BED_DIR/dataplane.log"
passed
