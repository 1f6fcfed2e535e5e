import BridgeProcesses
import Glibc
import LinuxIO

/// What of the host stays within the bridge's reach: `nft` with its libraries, itself, and what it keeps.
enum BridgeSandbox {
  /// Confines the supervisor; the worker, `nft` and every later supervisor inherit it.
  ///
  /// - Parameter state: the descriptor of the bridge's part of the state folder, if there is one.
  /// - Parameter reads: where the configuration's files lie.
  static func enter(state: Int32?, reads: [String]) throws(SystemError) {
    let sandbox = try Sandbox(.bridge)
    for folder in reads { try sandbox.keep(folder, .read) }
    // Folders and not files: an upgrade puts others in their place.
    for folder in ["/usr/sbin", "/sbin"] { try sandbox.keep(folder, .execute) }
    try sandbox.keepOwnStart()
    // The names that nft has for numbers.
    for path in ["/etc/iproute2", "/usr/share/iproute2", "/etc/protocols", "/etc/services"] {
      try sandbox.keep(path, .read)
    }
    // `max-bytes` needs nf_conntrack_acct there; the folder is the kernel module's.
    let module = "/proc/sys/net/netfilter"
    try sandbox.keep(unsafe access(module, F_OK) == 0 ? module : "/proc/sys/net", .set)
    if let state { try sandbox.keep(descriptor: state, .fill) }
    try sandbox.enter()
  }
}
