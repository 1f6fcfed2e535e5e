# What the examples share: an upstream in a namespace of its own, and everything taken down at exit.
#
# Nothing here touches the host's own interfaces, routes or ruleset: all of it lives in namespaces made for one run.
# Sourced by the `run` scripts, which set `packages` first.
# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with the script that sources this

here="$(cd "$(dirname "$0")" && pwd)"
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

# The whole run, build included, ends within half an hour whatever hangs.
if [ -z "${SLUICE_EXAMPLE_BOUNDED:-}" ]; then
  SLUICE_EXAMPLE_BOUNDED=1 exec timeout -k 30 1800 "$0" "$@"
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "run this as root: it makes network namespaces" >&2
  exit 1
fi

# Namespaces of this run: the host of the containers, the internet that it reaches, and what plays a container.
host="sluice-$$-host"
internet="sluice-$$-net"
server="sluice-$$-mcp"
namespaces=()
state=

step() { printf '\n== %s\n' "$*"; }

fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  for log in "$state"/*.log; do
    [ -s "$log" ] && { printf -- '--- %s\n' "$(basename "$log")"; tail -n 20 "$log"; } >&2
  done
  exit 1
}

# until_true SECONDS COMMAND...: polls until the command succeeds; fails when the time is over.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

in_host() { ip netns exec "$host" "$@"; }
in_server() { ip netns exec "$server" "$@"; }

# The users that serve and its gate become. What this run made goes with it.
made_users=()
make_users() {
  local user
  for user in sluice sluice-gate; do
    id -u "$user" >/dev/null 2>&1 && continue
    useradd --system --no-create-home --shell /usr/sbin/nologin "$user"
    made_users+=("$user")
  done
}

# Ends what runs in our namespaces, then the namespaces.
take_down() {
  local status=$? namespace user
  trap - EXIT INT TERM
  set +e
  type -t before_take_down >/dev/null && before_take_down
  for namespace in "${namespaces[@]}"; do
    ip netns pids "$namespace" 2>/dev/null | xargs -r kill 2>/dev/null
  done
  for namespace in "${namespaces[@]}"; do
    until_true 5 sh -c "[ -z \"\$(ip netns pids $namespace)\" ]" || ip netns pids "$namespace" | xargs -r kill -9
    ip netns delete "$namespace"
  done
  [ -n "$state" ] && rm -rf "$state"
  for user in "${made_users[@]}"; do userdel "$user"; done
  exit "$status"
}

# The release build, or the executable that SLUICE_EXECUTABLE names.
build() {
  if [ -n "${SLUICE_EXECUTABLE:-}" ]; then
    PATH="$(dirname "$SLUICE_EXECUTABLE"):$PATH"
    return
  fi
  if ! command -v swift >/dev/null; then
    echo "swift is not in PATH; install Swift 6.3: https://www.swift.org/install" >&2
    exit 1
  fi
  step "building sluice (once; some minutes the first time)"
  swift build --package-path "$repository" -c release --product sluice </dev/null
  PATH="$(swift build --package-path "$repository" -c release --show-bin-path):$PATH"
}

# Packages, the executable, and a place for this run's files.
prepare() {
  "$repository/.ci/install-packages" openssl curl "${packages[@]}"
  build
  state="$(mktemp -d /tmp/sluice-example.XXXXXX)"
  chmod 755 "$state"
  trap take_down EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

add_namespace() {
  ip netns add "$1"
  namespaces+=("$1")
  ip netns exec "$1" sysctl -q -w net.ipv6.conf.default.accept_dad=0
  ip -n "$1" link set lo up
}

# The host of the containers and, behind 192.0.2.0/24, an internet with a name server and a web server that
# listens on every address, ports 443 (TLS) and 80. 45.11.0.0/24 and 2a10:77::/64 exist only in there.
make_internet() {
  add_namespace "$host"
  add_namespace "$internet"
  in_host sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip link add uplink netns "$host" type veth peer name eth0 netns "$internet"
  ip -n "$host" address add 192.0.2.1/24 dev uplink
  ip -n "$host" address add 2001:db8:2::1/64 dev uplink nodad
  ip -n "$host" link set uplink up
  ip -n "$internet" address add 192.0.2.54/24 dev eth0
  ip -n "$internet" address add 2001:db8:2::54/64 dev eth0 nodad
  ip -n "$internet" link set eth0 up
  for address in 45.11.0.10/32 45.11.0.66/32 2a10:77::10/128 2a10:77::66/128; do
    ip -n "$internet" address add "$address" dev lo
  done
  ip -n "$host" route add 45.11.0.0/24 via 192.0.2.54
  ip -n "$host" route add 2a10:77::/64 via 2001:db8:2::54
  ip -n "$internet" route add 10.77.0.0/16 via 192.0.2.1
  ip -n "$internet" route add fd00:77::/32 via 2001:db8:2::1
  start_name_server
  start_web_server
}

# A namespace that plays the container of an MCP server: 10.77.1.2 behind 10.77.1.1.
make_server() {
  add_namespace "$server"
  ip link add br-mcp-github netns "$host" type veth peer name eth0 netns "$server"
  ip -n "$host" address add 10.77.1.1/24 dev br-mcp-github
  ip -n "$host" address add fd00:77:1::1/64 dev br-mcp-github nodad
  ip -n "$host" link set br-mcp-github up
  ip -n "$server" address add 10.77.1.2/24 dev eth0
  ip -n "$server" address add fd00:77:1::2/64 dev eth0 nodad
  ip -n "$server" link set eth0 up
  ip -n "$server" route add default via 10.77.1.1
  ip -n "$server" route add default via fd00:77:1::1
}

# Zones that know more than any server may ask for: what is denied exists.
start_name_server() {
  mkdir "$state/nsd"
  cat >"$state/nsd/github.com.zone" <<'ZONE'
$ORIGIN github.com.
$TTL 60
@       IN SOA  ns.github.com. hostmaster.github.com. 1 3600 600 86400 60
@       IN NS   ns.github.com.
ns      IN A    192.0.2.54
api     IN A    45.11.0.10
api     IN AAAA 2a10:77::10
uploads IN A    45.11.0.10
ZONE
  cat >"$state/nsd/example.com.zone" <<'ZONE'
$ORIGIN example.com.
$TTL 60
@       IN SOA  ns.example.com. hostmaster.example.com. 1 3600 600 86400 60
@       IN NS   ns.example.com.
ns      IN A    192.0.2.54
evil    IN A    45.11.0.66
ZONE
  cat >"$state/nsd/nsd.conf" <<CONFIG
server:
  ip-address: 192.0.2.54
  username: ""
  chroot: ""
  zonesdir: "$state/nsd"
  database: ""
  pidfile: "$state/nsd/nsd.pid"
  xfrdfile: "$state/nsd/xfrd.state"
  zonelistfile: "$state/nsd/zone.list"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: github.com
  zonefile: github.com.zone
zone:
  name: example.com
  zonefile: example.com.zone
CONFIG
  ip netns exec "$internet" nsd -d -c "$state/nsd/nsd.conf" >"$state/nsd.log" 2>&1 &
  until_true 10 in_host dig +short +time=1 +tries=1 @192.0.2.54 api.github.com A || fail "the upstream does not start"
}

# One certificate for every site: who asks does not look at it. busybox, which plays a client in containers, knows RSA and
# no newer way to sign.
start_web_server() {
  mkdir "$state/www"
  echo "hello from the internet" >"$state/www/index.html"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.github.com -keyout "$state/www.key" -out "$state/www.pem" \
    >"$state/openssl.txt" 2>&1 || fail "openssl makes no certificate"
  ip netns exec "$internet" busybox httpd -f -p 80 -h "$state/www" >>"$state/httpd.log" 2>&1 &
  (cd "$state/www" && exec ip netns exec "$internet" openssl s_server -quiet -WWW -accept 443 -key ../www.key -cert ../www.pem \
    -cipher ALL:@SECLEVEL=0 </dev/null >>"$state/httpsd.log" 2>&1) &
  local port
  for port in 443 80; do
    until_true 10 connects "$internet" 45.11.0.10 "$port" || fail "the web server does not start"
  done
}

# gets NAMESPACE NAME ADDRESS: whether a client that says NAME gets the page of the web server from an address by TLS.
gets() {
  local at="$3"
  [[ "$at" != *:* ]] || at="[$at]"
  ip netns exec "$1" curl -sk --max-time 8 --connect-to "$2:443:$at:443" "https://$2/index.html" 2>/dev/null |
    grep -q 'hello from the internet'
}

# connects NAMESPACE ADDRESS PORT: whether a TCP connection is accepted within three seconds.
connects() {
  ip netns exec "$1" timeout 3 bash -c "exec 3<>/dev/tcp/$2/$3" 2>/dev/null
}

# start_sluice [DIRECTORY]: with the configuration of this example, or the one in DIRECTORY, copied, so that its log, socket
# and state stay in `state`.
# shellcheck disable=SC2120  # the argument may be left out
start_sluice() {
  local source="${1:-$here}"
  cp -r "$source/sluice.yaml" "$source/policies" "$state/"
  printf '%s\n' 'audit: { path: audit.jsonl }' 'control: control.sock' 'state: state' >>"$state/sluice.yaml"
  make_users
  chown sluice: "$state"
  in_host sluice check --config "$state/sluice.yaml" || fail "the configuration is refused"
  ip netns exec "$host" sluice serve --config "$state/sluice.yaml" >"$state/sluice.log" 2>&1 &
  sluice=$!
  until_true 20 grep -q '^sluice: serving' "$state/sluice.log" || fail "sluice serve does not start"
}

# The audit line of a denied name, as soon as it is written.
show_audit_line() {
  until_true 10 grep -qs "\"destination\":\"$1\"" "$state/audit.jsonl" || fail "no audit event for $1"
  sluice log --config "$state/sluice.yaml" --decision block
  sluice log --config "$state/sluice.yaml" --decision block --json >"$state/denied.jsonl"
  grep "\"destination\":\"$1\"" "$state/denied.jsonl" || fail "sluice log does not show $1"
}
