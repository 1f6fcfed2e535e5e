# A Docker engine of the example's own, inside its host namespace; sourced after common.sh.
# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with the script that sources this

engine=
docker() { command docker -H "unix://$state/docker.sock" "$@"; }

# The profile is Docker's own without AF_VSOCK and without programs of 32 bits, which get to it all the same: that family
# leads to the machine that runs a virtual one, past every firewall, and Debian's engine does not deny it.
# `nsenter` and not `ip netns exec`: that one hides the control groups, which the engine needs.
start_engine() {
  nsenter --net="/run/netns/$host" dockerd --data-root "$state/docker" --exec-root "$state/docker-run" \
    --pidfile "$state/docker.pid" -H "unix://$state/docker.sock" --bridge=none --storage-driver="${storage_driver:-vfs}" \
    --seccomp-profile "$(realpath "$(dirname "${BASH_SOURCE[0]}")")/docker/seccomp.json" \
    --containerd-namespace "$host" --containerd-plugins-namespace "$host-plugins" >"$state/dockerd.log" 2>&1 &
  engine=$!
  until_true 60 docker info || fail "the Docker engine does not start"
}

before_take_down() {
  [ -n "$engine" ] || return 0
  docker ps -aq | xargs -r command docker -H "unix://$state/docker.sock" rm -f >/dev/null 2>&1
  kill "$engine" 2>/dev/null
  wait "$engine" 2>/dev/null
  # A container on the engine's own network leaves a mount behind.
  umount "$state"/docker-run/netns/* 2>/dev/null
}

# An image of nothing but busybox, so that no registry is needed, and of a client of HTTPS made of it: `https ADDRESS NAME` prints the
# page of a site.
import_image() {
  mkdir -p "$state/root/bin" "$state/root/tmp" "$state/root/www"
  echo "hello from the container" >"$state/root/www/index.html"
  cp /bin/busybox "$state/root/bin/"
  local applet
  for applet in sh nslookup nc sleep true httpd ssl_client; do
    ln -s busybox "$state/root/bin/$applet"
  done
  cat >"$state/root/bin/https" <<'SH'
#!/bin/sh
exec 4>&1
exec nc -w 5 "$1" 443 -e https-page "$2"
SH
  # The connection is its input and its output.
  cat >"$state/root/bin/https-page" <<'SH'
#!/bin/sh
exec 3<&0
printf 'GET /index.html HTTP/1.0\r\n\r\n' | ssl_client -s 3 -n "$1" >&4 2>/dev/null
SH
  chmod 755 "$state/root/bin/https" "$state/root/bin/https-page"
  tar -C "$state/root" -c . | docker import - sluice-example/busybox >/dev/null
}
