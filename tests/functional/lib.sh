# What the functional tests share besides the bed: manifests made from parameters, and checks.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/bed.sh"

checks=0
# check TEXT COMMAND...: counts, and ends the test when COMMAND fails.
check() {
  local text=$1
  shift
  "$@" || bed_fail "$text ($*)"
  checks=$((checks + 1))
  bed_say "ok: $text"
}
# equals WHAT GOT WANTED
equals() {
  [ "$2" = "$3" ] || bed_fail "$1: got '$2', wanted '$3'"
  checks=$((checks + 1))
  bed_say "ok: $1: $2"
}
# contains WHAT TEXT PART
contains() {
  case "$2" in
    *"$3"*) ;;
    *) bed_fail "$1: '$3' is not in: $2" ;;
  esac
  checks=$((checks + 1))
  bed_say "ok: $1"
}
passed() { bed_say "$checks checks passed"; }

# pod NAME NUMBER [NETWORK]: a ready Pod with label app=web at the address of backend NUMBER.
pod() {
  local third=2
  [ "${3:-south}" = far ] && third=3
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: web}}
spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}, {name: talk, containerPort: 9000}]}]}
status:
  phase: Running
  podIP: 10.0.$third.1$2
  podIPs: [{ip: 10.0.$third.1$2}, {ip: "fd00:0:0:$third::1$2"}]
  conditions: [{type: Ready, status: "True"}]
YAML
}
pool() {
  cat <<'YAML'
---
apiVersion: sluice.dev/v1
kind: AddressPool
metadata: {name: test}
spec: {addresses: [192.0.2.0/28, "2001:db8:1::/120"]}
YAML
}
# service NAME MODE HTTP-PORT TALK-PORT: dual stack, TCP and UDP, over app=web.
service() {
  cat <<YAML
---
apiVersion: v1
kind: Service
metadata: {name: $1, annotations: {sluice.dev/forwarding-mode: $2}}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: web}
  ports:
    - {name: http, port: $3, targetPort: http}
    - {name: talk, port: $4, targetPort: talk}
    - {name: talk-udp, port: $4, targetPort: 9000, protocol: UDP}
YAML
}
# bed_talk NAME: a talk server on port 9000 of that backend.
bed_talk() { bed_spawn "talk-$1" "$1" "$BUILD/tests/support/talk" serve "$1" 9000; }

# hold_start ID FAMILY-ADDRESS PORT tcp|udp: a client that holds flows; hold ID COMMAND asks it.
hold_start() {
  local id=$1
  mkfifo "$BED_DIR/$id.in" "$BED_DIR/$id.out"
  nsenter --net="/run/netns/$BED-client" -- "$BUILD/tests/support/talk" hold "$4" "$2" "$3" \
    <"$BED_DIR/$id.in" >"$BED_DIR/$id.out" 2>>"$BED_DIR/$id.log" &
  BED_PIDS[$id]=$!
  eval "exec {hold_in_$id}>\"\$BED_DIR/\$id.in\" {hold_out_$id}<\"\$BED_DIR/\$id.out\""
}
hold() {
  local id=$1 answer in out
  shift
  in=hold_in_$id
  out=hold_out_$id
  printf '%s\n' "$*" >&"${!in}"
  IFS= read -r -t 120 answer <&"${!out}" || bed_fail "the client holding flows did not answer"
  printf '%s\n' "$answer"
}

# dsr_addresses ADDRESS BACKEND...: the backends hold the VIP and do not announce it.
dsr_addresses() {
  local vip=$1 ns
  shift
  for ns in "$@"; do
    in_ns "$ns" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
    case "$vip" in
      *:*) in_ns "$ns" ip -6 addr add "$vip/128" dev lo nodad ;;
      *) in_ns "$ns" ip addr add "$vip/32" dev lo ;;
    esac
  done
}
# programmed ADDRESS PORT: a request gets through.
programmed() { bed_wait 20 in_ns client curl -fsS -o /dev/null --max-time 1 "$(bed_url "$1" "$2")/"; }
