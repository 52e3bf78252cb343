# The bed: a gateway between clients and backends, all in network namespaces of this machine.
# Sourced by scripts/demo and by the tests in tests/functional.
#
#   client ── north switch ── gw (sluice) ── south switch ── b1 b2 b3 ...
#                    └────────── router ──────────┘
#
# The namespace `net` holds both switches (bridges) and is the router between them: backends answer
# clients through it in direct server return, and `far` backends are behind it.
#   north 10.0.1.0/24 fd00:0:0:1::/64   gw .1, client .2, router .254 (::1 ::2 ::fe)
#   south 10.0.2.0/24 fd00:0:0:2::/64   gw .1, backends .11 and on, router .254
#   far   10.0.3.0/24 fd00:0:0:3::/64   router .254, far backends .11 and on
#   VIPs  192.0.2.0/24 2001:db8:1::/64  routed by client and router to gw
#
# bed_start NAME makes the folder $BED_DIR and the namespaces; everything is taken down on exit,
# also on failure, and then the function named by $BED_AT_EXIT is called. Needs root. BUILD: where the programs are (default build/release).

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$SOURCE/build/release}
BED_WORKERS=${BED_WORKERS:-1}

bed_say() { printf '%s\n' "$*"; }
bed_fail() { printf 'FAILED: %s\n' "$*"; exit 1; }

# in_ns NAMESPACE COMMAND...
# By nsenter: `ip netns exec` wants to mount, which a container or chroot may refuse.
in_ns() {
  local ns=$1
  shift
  nsenter --net="/run/netns/$BED-$ns" -- "$@"
}

# bed_wait SECONDS COMMAND...: until COMMAND succeeds, or fails when the time is over.
bed_wait() {
  local until
  until=$(($(date +%s%N) + $1 * 1000000000))
  shift
  while ! "$@" >/dev/null 2>&1; do
    [ "$(date +%s%N)" -lt "$until" ] || return 1
    sleep 0.05
  done
}

# bed_spawn NAME NAMESPACE COMMAND...: a background process with its log in $BED_DIR/NAME.log.
declare -A BED_PIDS=()
bed_spawn() {
  local name=$1 ns=$2
  shift 2
  if [ "$ns" = - ]; then
    "$@" >>"$BED_DIR/$name.log" 2>&1 </dev/null &
  else
    nsenter --net="/run/netns/$BED-$ns" -- "$@" >>"$BED_DIR/$name.log" 2>&1 </dev/null &
  fi
  BED_PIDS[$name]=$!
}

# bed_kill NAME [SIGNAL]: ends a process of bed_spawn and waits for it.
bed_kill() {
  local pid=${BED_PIDS[$1]:-}
  [ -n "$pid" ] || return 0
  kill -"${2:-TERM}" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  unset "BED_PIDS[$1]"
}

bed_stop() {
  local code=$? name ns
  set +e
  trap - EXIT
  trap "" INT TERM
  for name in "${!BED_PIDS[@]}"; do kill "${BED_PIDS[$name]}" 2>/dev/null; done
  for name in "${!BED_PIDS[@]}"; do
    for _ in $(seq 60); do kill -0 "${BED_PIDS[$name]}" 2>/dev/null || break; sleep 0.05; done
    kill -KILL "${BED_PIDS[$name]}" 2>/dev/null
    wait "${BED_PIDS[$name]}" 2>/dev/null
  done
  for ns in $(ip netns list 2>/dev/null | awk '{print $1}'); do
    case "$ns" in
      "$BED"-*)
        # Whatever is still in there was started from here (a download, an iperf3).
        ip netns pids "$ns" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
        ip netns del "$ns"
        ;;
    esac
  done
  if [ "$code" != 0 ] && [ -n "${BED_KEEP_LOGS:-}" ]; then
    mkdir -p "$BED_KEEP_LOGS" && cp -r "$BED_DIR"/. "$BED_KEEP_LOGS"/ 2>/dev/null
  fi
  rm -rf "$BED_DIR"
  [ -z "${BED_AT_EXIT:-}" ] || "$BED_AT_EXIT"
  exit "$code"
}

# bed_link NAMESPACE INTERFACE BRIDGE: a veth from NAMESPACE to a switch of `net`, offloads off: an
# af_packet port would otherwise be handed packets whose checksum was never computed.
bed_link() {
  local ns=$1 interface=$2 bridge=$3 peer=$1-$2
  in_ns "$ns" ip link add "$interface" type veth peer name "${peer:0:15}" netns "$BED-net"
  in_ns net ip link set "${peer:0:15}" master "$bridge" up
  in_ns "$ns" ethtool -K "$interface" tx off rx off gro off gso off tso off sg off >/dev/null 2>&1 || true
  in_ns net ethtool -K "${peer:0:15}" tx off rx off gro off gso off tso off sg off >/dev/null 2>&1 || true
  in_ns "$ns" ip link set "$interface" up
}

bed_namespace() {
  ip netns add "$BED-$1"
  in_ns "$1" ip link set lo up
  in_ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv6.conf.default.accept_ra=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
}

# bed_backend NAME NUMBER [NETWORK]: a host .1NUMBER on the south (or far) network, with a default route
# by the router.
bed_backend() {
  local name=$1 number=$2 network=${3:-south} third=2
  [ "$network" = far ] && third=3
  bed_namespace "$name"
  bed_link "$name" eth0 "br-$network"
  in_ns "$name" ip addr add "10.0.$third.1$number/24" dev eth0
  in_ns "$name" ip -6 addr add "fd00:0:0:$third::1$number/64" dev eth0 nodad
  in_ns "$name" ip route add default via "10.0.$third.254"
  in_ns "$name" ip -6 route add default via "fd00:0:0:$third::fe"
}

# bed_begin NAME: the folder $BED_DIR, and what takes everything down on exit; no namespace yet.
bed_begin() {
  [ "$(id -u)" = 0 ] || { echo "$1: needs root (network namespaces)" >&2; exit 1; }
  BED=sluice-$1-$$
  BED_DIR=$(mktemp -d "${TMPDIR:-/tmp}/$BED.XXXXXX")
  trap bed_stop EXIT
  trap 'trap "" INT TERM; exit 130' INT  # A second signal must not stop the cleaning up.
  trap 'trap "" INT TERM; exit 143' TERM
}

# bed_start NAME [BACKENDS]: namespaces client, net, gw and b1 to bN; nothing runs in them yet.
bed_start() {
  local network third n
  bed_begin "$1"
  for n in net client gw; do bed_namespace $n; done
  third=1
  for network in north south far; do
    in_ns net ip link add br-$network type bridge mcast_snooping 0
    in_ns net ip link set br-$network up
    in_ns net ip addr add 10.0.$third.254/24 dev br-$network
    in_ns net ip -6 addr add fd00:0:0:$third::fe/64 dev br-$network nodad
    third=$((third + 1))
  done
  in_ns net sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
    net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0 \
    net.ipv4.conf.br-north.send_redirects=0 net.ipv4.conf.br-south.send_redirects=0
  in_ns net ip route add 192.0.2.0/24 via 10.0.1.1
  in_ns net ip -6 route add 2001:db8:1::/64 via fd00:0:0:1::1
  bed_link client eth0 br-north
  in_ns client ip addr add 10.0.1.2/24 dev eth0
  in_ns client ip -6 addr add fd00:0:0:1::2/64 dev eth0 nodad
  in_ns client ip route add default via 10.0.1.254
  in_ns client ip -6 route add default via fd00:0:0:1::fe
  in_ns client ip route add 192.0.2.0/24 via 10.0.1.1
  in_ns client ip -6 route add 2001:db8:1::/64 via fd00:0:0:1::1
  # The gateway's wires. The kernel must not see what arrives on them a second time: the port's own
  # copy is Sluice's. A NIC bound to DPDK has no such twin.
  in_ns gw sysctl -qw net.ipv6.conf.default.disable_ipv6=1
  bed_link gw wire-north br-north
  bed_link gw wire-south br-south
  in_ns gw sysctl -qw net.ipv6.conf.default.disable_ipv6=0
  in_ns gw nft 'add table netdev wires
    add chain netdev wires north { type filter hook ingress device "wire-north" priority 0; policy drop; }
    add chain netdev wires south { type filter hook ingress device "wire-south" priority 0; policy drop; }'
  for n in $(seq "${2:-3}"); do bed_backend "b$n" "$n"; done
}

# bed_config [WORKERS]: writes $BED_DIR/gateway.yaml. $BED_EXTRA_DATAPLANE: further lines below dataplane:.
bed_config() {
  local workers=${1:-$BED_WORKERS} queues=""
  [ "$workers" = 1 ] || queues=",qpairs=$workers"
  cat >"$BED_DIR/gateway.yaml" <<YAML
gateway:
  name: $BED
redis:
  address: unix:$BED_DIR/redis.sock
control:
  stateDirectory: $BED_DIR/state
dataplane:
  socket: $BED_DIR/dataplane.sock
  workers: $workers
  idle: back-off
  memory:
    packetBuffers: 16384
  tables: {flowsIPv4: 131072, flowsIPv6: 65536, natFlows: 65536}
  ports:
    - name: north
      device: net_af_packet0,iface=wire-north,blocksz=65536,framesz=2048,framecnt=4096,qdisc_bypass=1$queues
    - name: south
      device: net_af_packet1,iface=wire-south,blocksz=65536,framesz=2048,framecnt=4096,qdisc_bypass=1$queues
${BED_EXTRA_DATAPLANE:-}
YAML
}

bed_redis() {
  bed_spawn redis - redis-server --port 0 --unixsocket "$BED_DIR/redis.sock" --dir "$BED_DIR" \
    --save '' --appendonly no
  bed_wait 10 redis-cli -s "$BED_DIR/redis.sock" ping || bed_fail "redis-server did not start"
}
bed_redis_cli() { redis-cli -s "$BED_DIR/redis.sock" "$@"; }

# Starts the dataplane; the first time also gives the gateway its addresses and routes.
bed_dataplane() {
  bed_spawn dataplane gw "$BUILD/dataplane/dpdk/sluice-dataplane" --config "$BED_DIR/gateway.yaml"
  bed_wait "${1:-30}" bed_sluice get ports || { tail -n 20 "$BED_DIR/dataplane.log"; bed_fail "sluice-dataplane did not start"; }
  in_ns gw ip -br addr show dev north | grep -q 10.0.1.1 && return 0
  in_ns gw ip addr add 10.0.1.1/24 dev north
  in_ns gw ip addr add 10.0.2.1/24 dev south
  in_ns gw ip -6 addr add fd00:0:0:1::1/64 dev north nodad
  in_ns gw ip -6 addr add fd00:0:0:2::1/64 dev south nodad
  in_ns gw ip route add 10.0.3.0/24 via 10.0.2.254
  in_ns gw ip -6 route add fd00:0:0:3::/64 via fd00:0:0:2::fe
}

bed_control() {
  bed_spawn control gw "$BUILD/control/daemon/sluice-control" --config "$BED_DIR/gateway.yaml"
}

bed_sluice() { in_ns gw "$BUILD/control/cli/sluice" --config "$BED_DIR/gateway.yaml" "$@"; }

# bed_gateway: everything a gateway is.
bed_gateway() {
  bed_config "$@"
  bed_redis
  bed_dataplane
  bed_control
}

# bed_nginx NAME: nginx on port 8080, both families; answers its name, and serves $BED_DIR/www.
bed_nginx() {
  mkdir -p "$BED_DIR/www"
  cat >"$BED_DIR/nginx-$1.conf" <<CONF
daemon off; master_process off; pid $BED_DIR/nginx-$1.pid; error_log stderr notice;
events { worker_connections 4096; }
http {
  access_log off; default_type text/plain; sendfile on;
  client_body_temp_path $BED_DIR/tmp-$1; proxy_temp_path $BED_DIR/tmp-$1; fastcgi_temp_path $BED_DIR/tmp-$1;
  uwsgi_temp_path $BED_DIR/tmp-$1; scgi_temp_path $BED_DIR/tmp-$1;
  server {
    listen 8080 backlog=4096; listen [::]:8080 ipv6only=on backlog=4096;
    keepalive_timeout 0; add_header X-Backend $1;
    location = / { return 200 "$1\n"; }
    location = /client { return 200 "\$remote_addr\n"; }
    location /slow/ { alias $BED_DIR/www/; limit_rate ${BED_SLOW_RATE:-4m}; }
    location / { root $BED_DIR/www; }
  }
}
CONF
  bed_spawn "nginx-$1" "$1" nginx -c "$BED_DIR/nginx-$1.conf" -p "$BED_DIR"
  bed_wait 10 in_ns "$1" curl -fsS -o /dev/null http://127.0.0.1:8080/ || bed_fail "nginx in $1 did not start"
}

# bed_vip SERVICE FAMILY (4 or 6): the address the Service was given; fails while there is none.
bed_vip() {
  local pattern=:
  [ "$2" = 4 ] && pattern='[.]'
  bed_sluice get services "$1" -o json |
    jq -er '[.status.loadBalancer.ingress[]?.ip | select(test("'$pattern'"))][0]'
}

# bed_url ADDRESS PORT: http://ADDRESS:PORT with brackets where needed.
bed_url() {
  case "$1" in
    *:*) echo "http://[$1]:$2" ;;
    *) echo "http://$1:$2" ;;
  esac
}

# bed_requests URL COUNT: COUNT requests, each on a connection of its own; prints how often each backend
# answered, as "COUNT NAME" lines.
bed_requests() {
  in_ns client curl -sS --max-time 60 "$1/?[1-$2]" 2>>"$BED_DIR/curl.log" | sort | uniq -c | awk '{print $1, $2}'
}
