#!/usr/bin/env bash
# Bad input of every kind: each gets a clear error where the user sees it, and what already serves is
# not touched.
set -eu
. "$(dirname "$0")/lib.sh"
bed_start badinput 2
for b in b1 b2; do bed_nginx $b; done
bed_gateway 1
{
  pool
  for n in 1 2; do pod web-$n $n; done
  service web nat 80 9000
} | bed_sluice apply -f - || bed_fail "apply"
bed_wait 15 bed_vip web 4 || bed_fail "no address"
vip=$(bed_vip web 4)
programmed "$vip" 80 || bed_fail "no answer from $vip"
still_serves() { [ "$(bed_requests "$(bed_url "$vip" 80)" 20 | awk '{n += $1} END {print n}')" = 20 ]; }

# refused TEXT PART...: the manifest on standard input is refused and the error has every PART; nothing
# of it is written.
refused() {
  local text=$1 output part
  shift
  cat >"$BED_DIR/bad.yaml"
  if output=$(bed_sluice apply -f "$BED_DIR/bad.yaml" 2>&1); then bed_fail "$text: was accepted: $output"; fi
  for part in "$@"; do contains "$text ($part)" "$output" "$part"; done
  bed_say "    $(printf '%s' "$output" | head -n 2)"
}
simple() {  # NAME SPEC
  printf 'apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: %s\n' "$1" "$2"
}
refused "not YAML" bad.yaml <<<'{ this: [is not'
refused "a Service with no ports" bad.yaml spec.ports < <(simple empty '{type: LoadBalancer, selector: {app: web}}')
refused "port 0" bad.yaml spec.ports "65535" < <(simple zero '{type: LoadBalancer, ports: [{port: 0}]}')
refused "port 70000" 70000 65535 < <(simple high '{type: LoadBalancer, ports: [{port: 70000}]}')
refused "an empty pool" addresses < <(printf 'apiVersion: sluice.dev/v1\nkind: AddressPool\nmetadata: {name: none}\nspec: {addresses: []}\n')
refused "an address that is none" 300.1.1.1 < <(simple odd '{type: LoadBalancer, loadBalancerIP: 300.1.1.1, ports: [{port: 80}]}')
refused "a good and a bad document: neither is written" 70000 < <(
  simple good '{type: LoadBalancer, ports: [{port: 85}]}'
  echo ---
  simple high '{type: LoadBalancer, ports: [{port: 70000}]}'
)
if bed_sluice get services good >/dev/null 2>&1; then bed_fail "half of a refused file was written"; fi
output=$(printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n' | bed_sluice apply -f - 2>&1 || true)
contains "an unknown kind is named" "$output" Deployment
if output=$(bed_sluice apply -f "$BED_DIR/missing.yaml" 2>&1); then bed_fail "a missing file was accepted"; fi
contains "a missing file" "$output" missing.yaml

# told SERVICE PART: describe says it.
says() { bed_sluice describe service "default/$1" | grep -qi -- "$2"; }
told() { check "describe $1 says: $2" bed_wait 10 says "$1" "$2"; }
simple outside '{type: LoadBalancer, loadBalancerIP: 203.0.113.9, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}' |
  bed_sluice apply -f - || bed_fail apply
told outside 203.0.113.9
simple taken "{type: LoadBalancer, loadBalancerIP: $vip, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}" |
  bed_sluice apply -f - || bed_fail apply
told taken default/web
{
  simple family '{type: LoadBalancer, ipFamilies: [IPv4], ports: [{port: 80}]}'
  printf -- '---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: family}\nsubsets: [{addresses: [{ip: "fd00:0:0:2::11"}], ports: [{port: 8080}]}]\n'
} | bed_sluice apply -f - || bed_fail apply
told family "IPv6"
service unequal dsr-mac 82 9002 | bed_sluice apply -f - || bed_fail apply
told unequal "port"
check "requests go on" still_serves

# Redis: what does not parse, another major version, somebody else's keys.
key=$(bed_redis_cli --scan --pattern 'sluice:1:object:manual:*web-2*' | head -n 1)
check "the Pod's key is in Redis" test -n "$key"
bed_redis_cli -x set "$key" <<<'this is no protobuf' >/dev/null
bed_redis_cli set "sluice:1:object:manual:nonsense" x >/dev/null
bed_redis_cli lpush "somebody:elses" 1 2 3 >/dev/null
bed_redis_cli lpush "sluice:1:object:manual:1:default/list" 1 >/dev/null
bed_kill control TERM
bed_control
check "an unreadable object is named in the log" bed_wait 15 grep -Eq "web-2" "$BED_DIR/control.log"
check "requests go on" still_serves

# The socket: oversized, cut and random messages.
for message in '\xff\xff\xff\xff' '\x00\x00\x00\x10abc' '\x00\x00\x00\x04\xde\xad\xbe\xef' 'GET / HTTP/1.0\r\n\r\n'; do
  printf "$message" | timeout 2 nc -N -U "$BED_DIR/dataplane.sock" >/dev/null 2>&1 || true
done
check "the dataplane still answers" bed_sluice get ports
check "requests go on" still_serves

# A second dataplane on the same ports and socket; a second control.
if output=$(in_ns gw timeout 20 "$BUILD/dataplane/dpdk/sluice-dataplane" --config "$BED_DIR/gateway.yaml" 2>&1); then
  bed_fail "a second dataplane started"
fi
contains "a second dataplane is refused" "$output" "$BED_DIR/dataplane.sock"
sed "s#dataplane.sock#other.sock#" "$BED_DIR/gateway.yaml" >"$BED_DIR/other.yaml"
if output=$(in_ns gw timeout 20 "$BUILD/dataplane/dpdk/sluice-dataplane" --config "$BED_DIR/other.yaml" 2>&1); then
  bed_fail "a second dataplane on the same ports started"
fi
bed_say "    $(printf '%s' "$output" | tail -n 1)"
check "requests go on" still_serves

# The configuration: file, line, value and what would be right.
wrong() {  # TEXT SED-EXPRESSION PART...
  local text=$1 output part
  sed "$2" "$BED_DIR/gateway.yaml" >"$BED_DIR/wrong.yaml"
  shift 2
  if output=$("$BUILD/control/cli/sluice" check config "$BED_DIR/wrong.yaml" 2>&1); then bed_fail "$text: accepted"; fi
  for part in "$@"; do contains "$text ($part)" "$output" "$part"; done
  bed_say "    $(printf '%s' "$output" | head -n 1)"
  if in_ns gw timeout 20 "$BUILD/dataplane/dpdk/sluice-dataplane" --config "$BED_DIR/wrong.yaml" >/dev/null 2>&1; then
    bed_fail "$text: the dataplane started"
  fi
}
check "a good configuration" "$BUILD/control/cli/sluice" check config "$BED_DIR/gateway.yaml"
wrong "workers: 0" 's/workers: .*/workers: 0/' wrong.yaml:9 workers 64
wrong "idle: sleepy" 's/idle: .*/idle: sleepy/' wrong.yaml:10 sleepy spin back-off
wrong "an unknown field" 's/idle: /ideal: /' wrong.yaml:10 ideal
wrong "text for a number" 's/packetBuffers: .*/packetBuffers: many/' wrong.yaml:12 many
check "requests go on" still_serves
passed
