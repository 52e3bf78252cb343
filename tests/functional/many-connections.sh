#!/usr/bin/env bash
# Full NAT: short connections of two clients, whose timestamp clocks differ, to one backend. The server
# closes first, so that it holds each for a minute in TIME_WAIT; clients use their own ports again long
# before that. No connection may fail or take more than 100 ms.
# usage: many-connections.sh
# SLUICE_TEST_CONNECTIONS: of both clients together, default 20000; 200000 is the full test.
set -eu
connections=${SLUICE_TEST_CONNECTIONS:-20000}
. "$(dirname "$0")/lib.sh"
bed_start many 1
bed_namespace client2
bed_link client2 eth0 br-north
in_ns client2 ip addr add 10.0.1.3/24 dev eth0
in_ns client2 ip route add 192.0.2.0/24 via 10.0.1.1
for ns in client client2; do
  # A clock of its own for each address is Linux' way with 1.
  in_ns $ns sysctl -qw net.ipv4.tcp_timestamps=1
done
in_ns b1 sysctl -qw net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535 \
  net.ipv4.tcp_max_tw_buckets=400000
in_ns b1 ip route add 10.0.9.0/24 via 10.0.2.1
bed_spawn churn b1 "$BUILD/tests/support/churn" serve 9000
bed_config 1
# Ports for all of them, since none is used again within two minutes.
sed -i -e 's/tables: .*/tables: {flowsIPv4: 1048576, flowsIPv6: 65536, natFlows: 262144}/' \
  -e '/^  ports:/i\  nat: {addresses: [10.0.9.1, 10.0.9.2, 10.0.9.3, 10.0.9.4, 10.0.9.5, 10.0.9.6]}' "$BED_DIR/gateway.yaml"
bed_redis
bed_dataplane
bed_control
{
  pool
  pod web-1 1
  service short nat 80 9000
} >"$BED_DIR/all.yaml"
check "manifests are accepted" bed_sluice apply -f "$BED_DIR/all.yaml"
bed_wait 15 bed_vip short 4 || bed_fail "no address"
vip=$(bed_vip short 4)
open_port() { in_ns client nc -z -w 1 "$vip" 9000; }
bed_wait 20 open_port || bed_fail "no answer from $vip"

start=$(date +%s%N)
pids=
for ns in client client2; do
  in_ns $ns timeout 250 "$BUILD/tests/support/churn" run "$vip" 9000 $((connections / 2)) 8 >"$BED_DIR/$ns.txt" &
  pids="$pids $!"
done
for pid in $pids; do wait "$pid" || bed_fail "a client ended early"; done
took=$((($(date +%s%N) - start) / 1000000))
for ns in client client2; do
  answer=$(cat "$BED_DIR/$ns.txt")
  contains "$ns: $answer" "$answer" "done $((connections / 2)) failed 0 late 0 "
done
bed_say "$connections connections in $took ms; in TIME_WAIT at the server: $(in_ns b1 ss -Htan state time-wait | wc -l)"
bed_sluice stats --drops
passed
