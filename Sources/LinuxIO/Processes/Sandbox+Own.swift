import Glibc

extension Sandbox {
  /// Where a process finds its own executable.
  package static let ownExecutable = "/proc/self/exe"

  /// Keeps what this executable needs to be started again: itself, the linker, libraries, and what Swift reads at a start.
  package func keepOwnStart() throws(SystemError) {
    for folder in ["/usr/lib", "/usr/lib64", "/lib", "/lib64"] { try keep(folder, .read) }
    for linker in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"] {
      if let folder = Self.folder(ofResolved: linker) { try keep(folder, .execute) }
    }
    try keepLibraries()
    try keep(Self.ownExecutable, .execute)
    // Swift finds a program's arguments there; what is secret about other processes Landlock keeps out of reach by itself.
    for path in ["/proc", "/sys/devices/system/cpu", "/etc/ld.so.cache"] { try keep(path, .read) }
    try keep("/dev/null", .set)
  }

  /// The folder in which a file lies where its links lead.
  private static func folder(ofResolved path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved).split(separator: "/").dropLast().map { "/" + $0 }.joined()
  }
}
