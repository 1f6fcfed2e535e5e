#!/bin/sh
# What firewalld has to know: a zone whose members reach nothing on the host but the resolver, and a policy that lets
# them out. Which addresses they reach is the business of the table filter-mcp.
set -e
firewall-cmd --permanent --new-zone mcp
firewall-cmd --permanent --zone mcp --set-target REJECT
firewall-cmd --permanent --zone mcp --add-service dns
firewall-cmd --permanent --zone mcp --add-interface br-mcp-github
firewall-cmd --permanent --new-policy mcp-out
firewall-cmd --permanent --policy mcp-out --add-ingress-zone mcp
firewall-cmd --permanent --policy mcp-out --add-egress-zone ANY
firewall-cmd --permanent --policy mcp-out --set-target ACCEPT
firewall-cmd --reload
