#!/bin/sh
# The rules in DOCKER-USER, which Docker keeps when it writes its own, and the fence around the host. Run once at boot,
# after Docker.
set -e
for iptables in iptables ip6tables; do
  $iptables -N MCP-GITHUB
  $iptables -A MCP-GITHUB -m mark --mark 0x20000000/0x20000000 -j RETURN
  $iptables -A MCP-GITHUB -j REJECT
  $iptables -I DOCKER-USER -i br-mcp-github -j MCP-GITHUB

  # The server reaches nothing on the host but the resolver.
  $iptables -N MCP-HOST
  $iptables -A MCP-HOST -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
done
for protocol in udp tcp; do
  iptables -A MCP-HOST -d 10.77.1.1 -p "$protocol" --dport 53 -j ACCEPT
  ip6tables -A MCP-HOST -d fd00:77:1::1 -p "$protocol" --dport 53 -j ACCEPT
done
for type in neighbour-solicitation neighbour-advertisement router-solicitation; do
  ip6tables -A MCP-HOST -p icmpv6 --icmpv6-type "$type" -j ACCEPT
done
for iptables in iptables ip6tables; do
  $iptables -A MCP-HOST -j REJECT
  $iptables -I INPUT -i br-mcp-github -j MCP-HOST
done
