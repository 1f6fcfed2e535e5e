import CLinux
import Glibc

/// Starts programs with nothing inherited but what is named.
package enum Subprocess {
  /// The whole environment of what is started.
  private static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]

  /// Returns the process id, or a negative error number. `descriptors[i]` becomes descriptor i.
  package static func spawn(_ path: String, _ arguments: [String], descriptors: [Int32]) -> Int32 {
    var argv = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var envp = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      unsafe argv.forEach { unsafe free($0) }
      unsafe envp.forEach { unsafe free($0) }
    }
    return unsafe sluice_spawn(path, &argv, &envp, descriptors, Int32(descriptors.count))
  }
}
