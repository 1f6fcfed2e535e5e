import Glibc
import LinuxIO

/// Whether the kernel counts what passes in each connection (nf_conntrack_acct).
enum ConnectionAccounting {
  private static let setting = "/proc/sys/net/netfilter/nf_conntrack_acct"

  /// Makes it count from now on.
  ///
  /// - Throws: where it cannot be set and does not count already.
  static func turnOn() throws(SystemError) {
    var one = UInt8(ascii: "1")
    // A sandbox may let it be read and not written, with the host's own setting as it should be.
    let present = unsafe open(setting, O_RDONLY | O_CLOEXEC)
    defer { if present >= 0 { close(present) } }
    var found = UInt8(0)
    if present >= 0, unsafe read(present, &found, 1) == 1, found == one { return }
    let file = unsafe open(setting, O_WRONLY | O_CLOEXEC)
    defer { if file >= 0 { close(file) } }
    let written = file < 0 ? -1 : unsafe write(file, &one, 1)
    guard written == 1 else { throw SystemError(call: "write nf_conntrack_acct", errno: errno) }
  }
}
