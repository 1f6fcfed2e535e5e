/// What is said of AF_VSOCK, the same wherever it stands.
enum VsockText {
  static let remedy =
    "deny it by seccomp, as Examples/docker/seccomp.json does: \"seccomp-profile\" in /etc/docker/daemon.json, or docker run "
    + "--security-opt seccomp=FILE; or take the device away from this machine"
}
