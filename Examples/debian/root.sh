# A Debian 12 to install the package into; sourced after common.sh. No more than systemd and what the package depends on,
# so that nothing but the package itself has to be fetched afterwards.

debian_packages=systemd,systemd-sysv,dbus,nftables,adduser,libldns3,libmnl0,libnftnl11,libstdc++6,ca-certificates

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
