#!/usr/bin/env bash
# iperf3 through the gateway (full NAT) against testpmd in mac mode on the same af_packet wires, in
# turns; prints both and their ratio. The gateway must reach 60 % of what testpmd passes.
set -eu
. "$(dirname "$0")/lib.sh"
rounds=${1:-3}
bed_start throughput 1
bed_spawn iperf b1 iperf3 -s -p 9000
# Both forwarders poll without sleeping, each on a CPU of its own.
bed_config 1
sed -i 's/idle: back-off/idle: spin/' "$BED_DIR/gateway.yaml"
bed_redis
{
  pool
  pod web-1 1
  service web nat 80 9000
} >"$BED_DIR/all.yaml"

mac() { in_ns "$1" ip -j link show dev "$2" | jq -r '.[0].address'; }
measure() {  # ADDRESS: bits a second received by the backend
  in_ns client iperf3 -c "$1" -p 9000 -t 4 -O 1 -J >"$BED_DIR/iperf.json" || { cat "$BED_DIR/iperf.json"; bed_fail "iperf3 to $1"; }
  jq '.end.sum_received.bits_per_second | floor' "$BED_DIR/iperf.json"
}
gateway() {
  bed_dataplane
  bed_control
  bed_sluice apply -f "$BED_DIR/all.yaml" >/dev/null || bed_fail "apply"
  bed_wait 15 bed_vip web 4 >/dev/null || bed_fail "no address"
  local vip
  vip=$(bed_vip web 4)
  open_port() { in_ns client nc -z -w 1 "$vip" 9000; }
  bed_wait 20 open_port || bed_fail "no answer from $vip"
  sleep 1
  measure "$vip"
}
# testpmd stands in the same place: it gives each frame the MAC of the other side's host, and both hosts
# are told that the other is behind the wires.
reference() {
  local memory="--in-memory"
  [ "$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages)" -ge 128 ] || memory="--no-huge -m 256"
  bed_spawn testpmd gw dpdk-testpmd --lcores 0@0,1@1 $memory --no-pci --file-prefix "$BED" \
    --vdev "net_af_packet0,iface=wire-north,blocksz=65536,framesz=2048,framecnt=4096,qdisc_bypass=1" \
    --vdev "net_af_packet1,iface=wire-south,blocksz=65536,framesz=2048,framecnt=4096,qdisc_bypass=1" \
    -- --total-num-mbufs 16384 --forward-mode mac --eth-peer "0,$(mac client eth0)" --eth-peer "1,$(mac b1 eth0)" --auto-start --stats-period 30
  sleep 3
  measure 10.0.2.11
}
static() {  # add or del: routes for the time testpmd stands in
  in_ns client ip route "$1" 10.0.2.0/24 via 10.0.1.1
  in_ns b1 ip route "$1" 10.0.1.0/24 via 10.0.2.1
  if [ "$1" = add ]; then
    in_ns client ip neigh replace 10.0.1.1 lladdr "$(mac gw wire-north)" dev eth0
    in_ns b1 ip neigh replace 10.0.2.1 lladdr "$(mac gw wire-south)" dev eth0
  else
    in_ns client ip neigh del 10.0.1.1 dev eth0
    in_ns b1 ip neigh del 10.0.2.1 dev eth0
  fi
}
ours=() theirs=() ratios=()
for round in $(seq "$rounds"); do
  gateway >"$BED_DIR/rate"
  ours+=("$(tail -n 1 "$BED_DIR/rate")")
  bed_kill control
  bed_kill dataplane
  static add
  reference >"$BED_DIR/rate"
  theirs+=("$(tail -n 1 "$BED_DIR/rate")")
  bed_kill testpmd
  static del
  ratios+=($((100 * ours[-1] / theirs[-1])))
  bed_say "round $round: gateway $((ours[-1] / 1000000)) Mbit/s, testpmd mac $((theirs[-1] / 1000000)) Mbit/s, ratio ${ratios[-1]} %"
done
sorted=($(printf '%s\n' "${ratios[@]}" | sort -n))
median=${sorted[$((${#sorted[@]} / 2))]}
bed_say "ratio: minimum ${sorted[0]} %, median $median %, maximum ${sorted[-1]} %"
check "the gateway reaches 60 % of testpmd" test "$median" -ge 60
passed
