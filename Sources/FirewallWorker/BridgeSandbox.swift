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
    for folder in ["/usr/lib", "/usr/lib64", "/lib", "/lib64"] { try sandbox.keep(folder, .read) }
    for linker in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"] {
      if let folder = folder(ofResolved: linker) { try sandbox.keep(folder, .execute) }
    }
    try sandbox.keepLibraries()
    try sandbox.keep(BridgeStart.ownExecutable, .execute)
    // Swift finds a program's arguments there; what is secret about other processes Landlock keeps out of reach by itself.
    for folder in ["/proc", "/sys/devices/system/cpu"] { try sandbox.keep(folder, .read) }
    // The linker's cache, and the names that nft has for numbers.
    for path in ["/etc/ld.so.cache", "/etc/iproute2", "/usr/share/iproute2", "/etc/protocols", "/etc/services"] {
      try sandbox.keep(path, .read)
    }
    try sandbox.keep("/dev/null", .set)
    // `max-bytes` needs nf_conntrack_acct there; the folder is the kernel module's.
    let module = "/proc/sys/net/netfilter"
    try sandbox.keep(unsafe access(module, F_OK) == 0 ? module : "/proc/sys/net", .set)
    if let state { try sandbox.keep(descriptor: state, .fill) }
    try sandbox.enter()
  }

  /// The folder in which a file lies where its links lead.
  private static func folder(ofResolved path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved).split(separator: "/").dropLast().map { "/" + $0 }.joined()
  }
}
