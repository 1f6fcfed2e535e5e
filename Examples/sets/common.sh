# What the examples of `firewall: { mode: sets }` share: the policy, and the three outcomes. Sourced by `run` scripts.
# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with the script that sources this

# shellcheck source=Examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
sets="$here/.."

# A host, an internet, and a server that reaches all of it.
make_network() {
  step "three namespaces: an MCP server (10.77.1.2), its host (10.77.1.1), an internet (192.0.2.54, 45.11.0.0/24)"
  make_internet
  make_server
  echo "they are named ${namespaces[*]}"
  for address in 45.11.0.10 45.11.0.66 2a10:77::10 2a10:77::66; do
    until_true 10 connects "$server" "$address" 443 || fail "without rules $address should be reachable"
  done
  connects "$server" 45.11.0.10 80 || fail "without rules port 80 should be reachable"
  echo "without rules, the server reaches every address"
}

# load_rules FILE...: loads what the user wrote.
load_rules() {
  for file in "$@"; do
    cat "$file"
    in_host nft -f "$file" || fail "nft refuses $file"
  done
}

expect_closed() {
  for address in 45.11.0.10 45.11.0.66 2a10:77::10 2a10:77::66; do
    ! connects "$server" "$address" 443 || fail "$address is reachable although nothing opened it"
  done
}

# expect_outcomes [any-port]: a listed name connects, no other address does, any other name does not exist.
# shellcheck disable=SC2120  # the argument may be left out
expect_outcomes() {
  in_server dig +nocmd +nostats @10.77.1.1 api.github.com A >"$state/allowed.txt"
  { grep -q 'status: NOERROR' "$state/allowed.txt" && grep -q '45\.11\.0\.10$' "$state/allowed.txt"; } ||
    fail "api.github.com did not answer"
  connects "$server" 45.11.0.10 443 || fail "45.11.0.10 port 443 is not open after the answer"
  [ "$(in_server dig +short @fd00:77:1::1 api.github.com AAAA)" = 2a10:77::10 ] || fail "no AAAA over IPv6"
  connects "$server" 2a10:77::10 443 || fail "2a10:77::10 port 443 is not open after the answer"
  in_host nft list set inet filter-mcp github-mcp-4
  echo "ok: api.github.com answers, and 45.11.0.10 and 2a10:77::10 accept connections"

  for address in 45.11.0.66 2a10:77::66; do
    ! connects "$server" "$address" 443 || fail "$address is reachable although nothing opened it"
  done
  if [ "${1:-}" != any-port ]; then
    ! connects "$server" 45.11.0.10 80 || fail "port 80 is reachable although the policy opens 443"
  fi
  echo "ok: 45.11.0.66 and 2a10:77::66 are refused"

  in_server dig +nocmd +nostats @10.77.1.1 evil.example.com A >"$state/denied.txt"
  grep -q 'status: NXDOMAIN' "$state/denied.txt" || fail "evil.example.com is not NXDOMAIN"
  show_audit_line evil.example.com
  echo "ok: evil.example.com is NXDOMAIN, and the audit log has it"
}

stop_sluice() {
  kill "$sluice"
  wait "$sluice" || fail "sluice serve ended with an error"
}
