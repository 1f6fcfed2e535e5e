# A Debian 12 to install the package into; sourced after common.sh. No more than systemd, what the package depends on, and
# iproute2, by which a stand-in for an engine makes networks: nothing but the package itself has to be fetched afterwards.
# shellcheck shell=bash disable=SC2034,SC2154  # variables are shared with the script that sources this

debian_packages=systemd,systemd-sysv,dbus,iproute2,nftables,adduser,libldns3,libmnl0,libnftnl11,libstdc++6,ca-certificates

# make_debian_root: $state/debian.tar, from a mirror, or from the file that SLUICE_DEBIAN_ROOT names and that is made then.
make_debian_root() {
  local kept="${SLUICE_DEBIAN_ROOT:-}" mirror
  if [ -z "$kept" ] || [ ! -s "$kept" ]; then
    mirror="$("$(dirname "${BASH_SOURCE[0]}")/mirror")" || fail "no mirror of Debian answers"
    debootstrap --variant=minbase --include="$debian_packages" bookworm "$state/debian" \
      "$mirror" >"$state/debootstrap.log" 2>&1 ||
      fail "debootstrap makes no Debian 12"
    # The kernel is the host's: nothing in there is to change its settings.
    local unit
    for unit in systemd-sysctl systemd-modules-load systemd-binfmt systemd-udevd systemd-udev-trigger; do
      ln -sf /dev/null "$state/debian/etc/systemd/system/$unit.service"
    done
    tar -C "$state/debian" --exclude=./var/cache/apt/archives/*.deb --exclude=./dev/* -cf "$state/debian.tar" .
    rm -rf "$state/debian"
    [ -z "$kept" ] || cp "$state/debian.tar" "$kept"
  else
    ln -s "$kept" "$state/debian.tar"
  fi
}

# Where an executable that is not static has its Swift runtime: directories to show in there.
swift_runtime() {
  [ -n "${SLUICE_EXECUTABLE:-}" ] || return 0
  ldd "$SLUICE_EXECUTABLE" | awk '/\/swift\// { print $3 }' | xargs -r -n 1 dirname | sort -u
}

# start_machine WORDS...: boots $state/debian under its systemd, on the network of the host of the containers; words are
# systemd-nspawn's. Returns when every job of the start is done.
# shellcheck disable=SC2120  # the words may be left out
start_machine() {
  # shellcheck disable=SC2046  # an option for each folder of the runtime, none of which has a blank
  systemd-nspawn --quiet --directory="$state/debian" --boot --register=no --keep-unit --link-journal=no --console=pipe \
    --machine=sluice-debian --network-namespace-path="/run/netns/$host" --capability=all "$@" \
    $(swift_runtime | sed 's/^/--bind-ro=/') >>"$state/nspawn.log" 2>&1 </dev/null &
  machine=$!
  until_true 60 boots || {
    { in_machine systemctl is-system-running; in_machine systemctl list-jobs; in_machine journalctl --no-pager -b -n 40; } \
      >"$state/machine.log" 2>&1 || true
    fail "systemd does not start"
  }
}

# The first child is not yet the one that becomes systemd.
boots() {
  leader="$(ps -o pid= --ppid "$machine" | tr -d ' ')"
  # It fails where a unit did.
  [ -n "$leader" ] && { in_machine systemctl is-system-running || true; } | grep -E 'running|degraded' >/dev/null
}

in_machine() { nsenter --all --target "$leader" "$@" </dev/null; }

# unit PROPERTY [UNIT]
unit() { in_machine systemctl show --value --property "$1" "${2:-sluice}"; }

# What the units may execute, where the executable is not static.
allow_runtime() {
  local runtime name
  for runtime in $(swift_runtime); do
    for name in sluice sluice-firewall; do
      in_machine mkdir -p "/etc/systemd/system/$name.service.d"
      in_machine sh -c "printf '[Service]\nExecPaths=%s\n' $runtime >/etc/systemd/system/$name.service.d/runtime.conf"
    done
  done
  in_machine systemctl daemon-reload
}
