#!/usr/bin/env bash
# Real traffic in a forwarding mode, to a backend behind a router: requests, a download and an upload
# that arrive bit for bit, in every combination of families the mode has.
# usage: modes.sh nat|nat64|dnat|dsr-mac|ipip|gue|nat-vxlan|nat-ipip
#
# The way to the backend (f1) and back takes 1,400 bytes, but neither client nor backend knows: their own
# interfaces have 1,500, the gateway's south port 1,450. So the upload needs, one after the other, the
# gateway's own "too big" (or its MSS), and the router's, which the gateway must bring to the client.
# UDP of IPv4 without DF is told nothing: the gateway splits it, and the router splits it further.
# With dsr-mac the backend is on the gateway's own network, whose packets have at most 1,400 bytes.
# SLUICE_TEST_MB: size of the upload, default 200.
set -eu
mode=${1:-}
megabytes=${SLUICE_TEST_MB:-200}
. "$(dirname "$0")/lib.sh"
node4=10.0.3.11 node6=fd00:0:0:3::11  # f1
pod4=$node4 pod6=$node6
overlay=none tunnels=0 direct=0 http=80 upload=91 datagrams=92 south_mtu=1450
added4=0 added6=0  # Bytes the gateway adds on the way to an IPv4 and to an IPv6 address.
case "$mode" in
  nat | dnat) ;;
  nat64) added4=-20 ;;
  dsr-mac) direct=1 http=8080 upload=9100 datagrams=9200 south_mtu=1400 node4=10.0.2.11 node6=fd00:0:0:2::11 ;;
  ipip) tunnels=1 direct=1 http=8080 upload=9100 datagrams=9200 added4=20 added6=40 ;;
  gue) tunnels=1 direct=1 http=8080 upload=9100 datagrams=9200 added4=32 added6=52 ;;
  nat-vxlan) overlay=vxlan pod4=10.244.1.7 pod6=fd00:244:1::7 added4=50 added6=70 ;;
  nat-ipip) overlay=ipip pod4=10.244.1.7 pod6=fd00:244:1::7 added4=20 added6=40 ;;
  *) echo "usage: modes.sh nat|nat64|dnat|dsr-mac|ipip|gue|nat-vxlan|nat-ipip" >&2; exit 2 ;;
esac
service_mode=${mode%%[-6]*}
[ "$mode" != dsr-mac ] || service_mode=dsr-mac pod4=$node4 pod6=$node6

# addresses_of NAME FAMILY ADDRESS: one backend of the Service, on the node f1.
addresses_of() {
  cat <<YAML
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $1-$2, labels: {kubernetes.io/service-name: $1}}
addressType: IPv$2
ports: [{name: http, port: 8080}, {name: upload, port: 9100}, {name: datagrams, port: 9200, protocol: UDP}]
endpoints: [{addresses: ["$3"], nodeName: f1}]
YAML
}
# web NAME FAMILIES: a Service with an address of each.
web() {
  cat <<YAML
---
apiVersion: v1
kind: Service
metadata:
  name: $1
  annotations: {sluice.dev/forwarding-mode: $service_mode, sluice.dev/overlay: $overlay}
spec:
  type: LoadBalancer
  ipFamilyPolicy: $([ "$2" = IPv6 ] && echo SingleStack || echo RequireDualStack)
  ipFamilies: [$2]
  ports:
    - {name: http, port: $http, targetPort: 8080}
    - {name: upload, port: $upload, targetPort: 9100}
    - {name: datagrams, port: $datagrams, targetPort: 9200, protocol: UDP}
YAML
}
node() {
  cat <<YAML
---
apiVersion: v1
kind: Node
metadata:
  name: f1
  annotations:
    flannel.alpha.coreos.com/public-ip: $node4
    flannel.alpha.coreos.com/backend-data: '{"VNI":1,"VtepMAC":"4e:1b:9a:00:00:04"}'
    flannel.alpha.coreos.com/public-ipv6: $node6
    flannel.alpha.coreos.com/backend-v6-data: '{"VNI":1,"VtepMAC":"4e:1b:9a:00:00:06"}'
status:
  addresses: [{type: InternalIP, address: $node4}, {type: InternalIP, address: "$node6"}]
YAML
}

# Where this kernel ends no such tunnels, a small program does.
kernel_ends_tunnels() {
  in_ns f1 ip link set tunl0 up && in_ns f1 ip link set sit0 up && in_ns f1 ip link set ip6tnl0 up &&
    { [ "$mode" != gue ] || { in_ns f1 ip fou add port 6080 gue && in_ns f1 ip -6 fou add port 6080 gue; }; }
}
end_tunnels() {
  if kernel_ends_tunnels 2>/dev/null; then
    bed_say "f1's kernel ends the tunnels"
    return
  fi
  bed_say "this kernel ends no such tunnels: tunnel_peer does"
  in_ns f1 ip link del tunl0 2>/dev/null || true
  bed_spawn peer f1 "$BUILD/tests/support/tunnel_peer" decapsulated
  bed_wait 5 in_ns f1 ip link show decapsulated || bed_fail "tunnel_peer did not start: $(cat "$BED_DIR/peer.log")"
}
end_vxlan() {
  in_ns f1 ip link add flannel type vxlan id 1 dstport 8472 local $node4 dev eth0 nolearning
  in_ns f1 ip link set flannel address 4e:1b:9a:00:00:04 up
  in_ns f1 ip link add flannel-v6 type vxlan id 1 dstport 8472 local $node6 dev eth0 nolearning
  in_ns f1 ip link set flannel-v6 address 4e:1b:9a:00:00:06 up
}

bed_start "modes-$mode" 0
bed_backend f1 1 $([ "$mode" = dsr-mac ] && echo south || echo far)
# What leaves the router by these is at most 1,400 bytes long.
in_ns net ip link set br-far mtu 1400
[ "$mode" = dsr-mac ] || in_ns net ip link set br-south mtu 1400
case "$mode" in
  dnat)  # The gateway is the way back to clients.
    in_ns net ip rule add to 10.0.1.0/24 lookup 100
    in_ns net ip route add default via 10.0.2.1 table 100
    in_ns net ip -6 rule add to fd00:0:0:1::/64 lookup 100
    in_ns net ip -6 route add default via fd00:0:0:2::1 table 100
    ;;
  ipip | gue | nat-ipip) end_tunnels ;;
  nat-vxlan) end_vxlan ;;
esac
if [ $overlay != none ]; then
  in_ns f1 ip addr add $pod4/32 dev lo
  in_ns f1 ip -6 addr add $pod6/128 dev lo nodad
  # For the router's own ICMP errors; the gateway has no such route.
  in_ns net ip route add $pod4 via $node4
  in_ns net ip -6 route add $pod6 via $node6
fi
bed_nginx f1
head -c 20000000 /dev/urandom >"$BED_DIR/www/file"
sum=$(sha256sum <"$BED_DIR/www/file")
# What is uploaded need not be stored: the small file over and over.
upload_data() { for _ in $(seq $(((megabytes + 19) / 20))); do cat "$BED_DIR/www/file"; done; }
upload_sum=$(upload_data | sha256sum)
bed_spawn sums f1 socat -b 65536 -t 100 TCP6-LISTEN:9100,fork,reuseaddr,ipv6only=0 EXEC:sha256sum

bed_spawn datagrams f1 socat -u -b 65536 UDP6-RECV:9200,ipv6only=0 "OPEN:$BED_DIR/datagrams,creat,append"

bed_config 1
sed -i '/name: south/a\      mtu: '$south_mtu "$BED_DIR/gateway.yaml"
bed_redis
bed_dataplane
bed_control
{
  pool
  node
  case "$mode" in
    ipip | gue)  # The four combinations.
      web to4 IPv4,IPv6; addresses_of to4 4 $node4
      web to6 IPv4,IPv6; addresses_of to6 6 $node6
      ;;
    nat64) web to4 IPv6; addresses_of to4 4 $node4 ;;
    *) web own IPv4,IPv6; addresses_of own 4 $pod4; addresses_of own 6 $pod6 ;;
  esac
} >"$BED_DIR/all.yaml"
check "manifests are accepted" bed_sluice apply -f "$BED_DIR/all.yaml"

counter() { bed_sluice stats --drops | awk -v name="$1" '$1 == name {print $2}'; }
# send_datagram ADDRESS BYTES
send_datagram() {
  head -c "$2" /dev/urandom | tee -a "$BED_DIR/datagrams.sent" |
    in_ns client socat -u -b 65536 - "UDP4-SENDTO:$1:$datagrams,ip-mtu-discover=0"
}
send_and_see() { send_datagram "$@" && sleep 0.2 && test -s "$BED_DIR/datagrams"; }
# datagrams_arrive SERVICE: of 1,500 bytes in one packet, and longer ones that the client splits itself: an
# af_packet port is given those put together, as long as they fit into its frames. In a tunnel over IPv6 the
# first one teaches the gateway the MTU of the path, where no router splits it.
datagrams_arrive() {
  local vip bytes before after
  vip=$(bed_vip "$1" 4)
  truncate -s 0 "$BED_DIR/datagrams"
  check "$mode $1: a datagram without DF arrives" bed_wait 3 send_and_see "$vip" 1472
  before=$(counter split)
  for bytes in 1472 1900; do
    : >"$BED_DIR/datagrams.sent"
    truncate -s 0 "$BED_DIR/datagrams"
    for _ in $(seq 10); do send_datagram "$vip" $bytes; done
    check "$mode $1: ten datagrams of $bytes bytes without DF arrive whole" \
      bed_wait 3 cmp -s "$BED_DIR/datagrams" "$BED_DIR/datagrams.sent"
  done
  after=$(counter split)
  check "$mode $1: the gateway has split packets: ${after:-0}" test "${after:-0}" -gt "${before:-0}"
}
# carries SERVICE CLIENT-FAMILY BACKEND-FAMILY
carries() {
  local vip what before after took added
  added=added$3
  what="$mode $1 from IPv$2"
  bed_wait 15 bed_vip "$1" "$2" || bed_fail "no IPv$2 address for $1"
  vip=$(bed_vip "$1" "$2")
  [ $direct = 0 ] || dsr_addresses "$vip" f1
  programmed "$vip" $http || bed_fail "no answer from $vip"
  equals "$what: 100 requests answered" "$(bed_requests "$(bed_url "$vip" $http)" 100)" "100 f1"
  before=$(counter too-big)
  took=$(date +%s%N)
  equals "$what: a $megabytes MB upload is bit-exact" \
    "$(upload_data | in_ns client socat -b 65536 -t 100 - "TCP:$([ "$2" = 4 ] && echo "$vip" || echo "[$vip]"):$upload")" "$upload_sum"
  took=$((($(date +%s%N) - took) / 1000000))
  after=$(counter too-big)
  equals "$what: the path MTU the client has learned" \
    "$(in_ns client ip route get "$vip" | sed -n 's/.* mtu \([0-9]*\).*/\1/p')" $((1400 - ${!added}))
  bed_say "$what: $((megabytes * 8000 / took)) Mbit/s; too-big ${before:-0} before, ${after:-0} after"
  # After the upload, for which the backend must not know yet what its way back takes.
  equals "$what: a 20 MB download is bit-exact" \
    "$(in_ns client curl -fsS --max-time 40 "$(bed_url "$vip" $http)/file" | sha256sum)" "$sum"
  [ $tunnels = 0 ] || check "$what: the gateway asked the client for shorter packets" test "${after:-0}" -gt "${before:-0}"
}
case "$mode" in
  ipip | gue)
    for to in 4 6; do
      carries to$to 4 $to
      carries to$to 6 $to
      datagrams_arrive to$to
    done
    ;;
  nat64) carries to4 6 4 ;;
  *)
    for family in 4 6; do carries own $family $family; done
    datagrams_arrive own
    ;;
esac
bed_sluice stats --drops
passed
