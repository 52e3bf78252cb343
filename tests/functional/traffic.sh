#!/usr/bin/env bash
# Real traffic through every mode: HTTP, held flows, UDP, and a 200 MB download, both families, full
# NAT and direct return, to backends on link and behind a router.
# usage: traffic.sh WORKERS
set -eu
. "$(dirname "$0")/lib.sh"
bed_start traffic 3
bed_backend f1 1 far
for b in b1 b2 b3 f1; do bed_nginx $b; bed_talk $b; done
head -c 200000000 /dev/urandom >"$BED_DIR/www/file"
sum=$(sha256sum <"$BED_DIR/www/file")
bed_gateway "${1:-1}"
{
  pool
  for n in 1 2 3; do pod web-$n $n; done
  service nat nat 80 9000
  service direct dsr-mac 8080 9000
} >"$BED_DIR/all.yaml"
check "manifests are accepted" bed_sluice apply -f "$BED_DIR/all.yaml"

for mode in nat direct; do
  port=80
  [ $mode = direct ] && port=8080
  for family in 4 6; do
    bed_wait 15 bed_vip $mode $family || bed_fail "no IPv$family address for $mode"
    vip=$(bed_vip $mode $family)
    [ $mode = nat ] || dsr_addresses "$vip" b1 b2 b3
    programmed "$vip" $port || bed_fail "no answer from $vip"
    counts=$(bed_requests "$(bed_url "$vip" $port)" 300)
    equals "$mode IPv$family: 300 requests answered" "$(printf '%s\n' "$counts" | awk '{n += $1} END {print n}')" 300
    equals "$mode IPv$family: by three backends" "$(printf '%s\n' "$counts" | wc -l)" 3
    equals "$mode IPv$family: a 200 MB download is bit-exact" \
      "$(in_ns client curl -fsS --max-time 120 "$(bed_url "$vip" $port)/file" | sha256sum)" "$sum"
    for protocol in tcp udp; do
      hold_start $mode$family$protocol "$vip" 9000 $protocol
      equals "$mode IPv$family $protocol: 200 flows" "$(hold $mode$family$protocol open 200)" "opened 200 failed 0"
      answer=$(hold $mode$family$protocol check)
      contains "$mode IPv$family $protocol: each stays on its backend: $answer" "$answer" "same 200 moved 0 broken 0"
    done
    client=10.0.1.2
    source=10.0.2.1
    [ $family = 4 ] || { client=fd00:0:0:1::2; source=fd00:0:0:2::1; }
    [ $mode = nat ] || source=$client
    equals "$mode IPv$family: the backend sees" \
      "$(in_ns client curl -fsS --max-time 5 "$(bed_url "$vip" $port)/client")" "$source"
  done
done

# Backends behind a router: reached in full NAT; refused in direct return, with a reason.
pod far-1 1 far | sed 's/app: web/app: far/' >"$BED_DIR/far.yaml"
service far nat 81 9001 | sed 's/{app: web}/{app: far}/' >>"$BED_DIR/far.yaml"
check "a backend behind a router" bed_sluice apply -f "$BED_DIR/far.yaml"
for family in 4 6; do
  bed_wait 15 bed_vip far $family || bed_fail "no IPv$family address for far"
  vip=$(bed_vip far $family)
  programmed "$vip" 81 || bed_fail "no answer from $vip:81"
  equals "IPv$family: the backend behind the router answers" "$(in_ns client curl -fsS "$(bed_url "$vip" 81)/")" f1
done
drops=$(bed_sluice stats --drops)
bed_say "$drops"
passed
