#!/bin/sh
# Reads lines "NAME PORT", and prints what busybox wget says; a shell of busybox.
while read -r name port; do
  if message="$(busybox wget -q -O /dev/null "http://$name:$port/" 2>&1)"; then
    message=connected
  fi
  echo "$message" | head -n 1
done
