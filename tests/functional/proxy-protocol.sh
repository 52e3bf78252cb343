#!/usr/bin/env bash
# PROXY protocol v2: the server learns the client's address, both families; also when it speaks first,
# when the client's first segment is full, and when packets are lost on the way.
# usage: proxy-protocol.sh
set -eu
. "$(dirname "$0")/lib.sh"
bed_start proxy 1
cat >"$BED_DIR/nginx.conf" <<CONF
daemon off; master_process off; pid $BED_DIR/nginx.pid; error_log stderr notice;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $BED_DIR/tmp; proxy_temp_path $BED_DIR/tmp; fastcgi_temp_path $BED_DIR/tmp;
  uwsgi_temp_path $BED_DIR/tmp; scgi_temp_path $BED_DIR/tmp;
  server {
    listen 8080 proxy_protocol; listen [::]:8080 ipv6only=on proxy_protocol;
    location / { return 200 "\$proxy_protocol_addr \$proxy_protocol_port\n"; }
  }
}
CONF
bed_spawn nginx b1 nginx -c "$BED_DIR/nginx.conf" -p "$BED_DIR"
bed_spawn greet b1 "$BUILD/tests/support/greet" serve 9000
bed_gateway 1
{
  pool
  pod web-1 1
  service mail nat 80 25 | sed -e '/talk-udp/d' -e 's|sluice.dev/forwarding-mode: nat|sluice.dev/proxy-protocol: v2|'
} >"$BED_DIR/all.yaml"
check "manifests are accepted" bed_sluice apply -f "$BED_DIR/all.yaml"

for family in 4 6; do
  client=10.0.1.2
  [ $family = 4 ] || client=fd00:0:0:1::2
  bed_wait 30 bed_vip mail $family || bed_fail "no IPv$family address"
  vip=$(bed_vip mail $family)
  programmed "$vip" 80 || bed_fail "no answer from $vip"
  equals "IPv$family: nginx is told the client" \
    "$(in_ns client curl -fsS --max-time 5 --local-port 4000$family "$(bed_url "$vip" 80)/")" "$client 4000$family"
done
# asks WHAT FAMILY COUNT BYTES
asks() {
  local answer
  answer=$(in_ns client timeout 200 "$BUILD/tests/support/greet" ask "$(bed_vip mail "$2")" 25 "$3" "$4" 2>>"$BED_DIR/ask.log")
  contains "IPv$2: $1: $answer" "$answer" "greeted $3 failed 0"
}
ask_all() {
  local family
  for family in 4 6; do
    asks "the server speaks first$1" $family "$2" 0
    asks "full first segments$1" $family "$2" 14600
  done
}
ask_all "" 200
# Each packet but one in a hundred gets through, on either side of the gateway and in both directions.
# They are lost on the wire, where they come in: what the output hook drops is an error to the sender's own
# TCP, and Linux then forgets a connection whose SYN-ACK it could not repeat.
# lose NAMESPACE INTERFACE
lose() {
  in_ns "$1" nft "add table netdev loss
    add chain netdev loss $2 { type filter hook ingress device \"$2\" priority 0; }
    add rule netdev loss $2 meta l4proto tcp numgen random mod 100 == 0 counter drop"
}
lose client eth0
lose b1 eth0
lose net client-eth0
lose net b1-eth0
ask_all ", 1 % lost" "${SLUICE_TEST_CONNECTIONS:-60}"
lost=$(in_ns b1 nft list table netdev loss | awk '/counter packets/ {for (i = 1; i < NF; ++i) if ($i == "packets") n += $(i + 1)} END {print n}')
check "packets were lost at the server: $lost" test "$lost" -gt 0
bed_sluice stats --drops
passed
