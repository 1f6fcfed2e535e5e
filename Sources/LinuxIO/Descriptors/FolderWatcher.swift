import Glibc

/// Tells which files of some folders were written, moved or removed (inotify(7)).
package final class FolderWatcher {
  private static let room = 4096
  /// Octets of an `inotify_event` before its name.
  private static let header = 16
  private static let mask = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE

  private let descriptor: FileDescriptor
  private var watched: [String: Int32] = [:]

  /// - Throws: where the process may open no more descriptors.
  package init() throws(SystemError) {
    let raw = inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))
    guard raw >= 0 else { throw SystemError(call: "inotify_init1", errno: errno) }
    descriptor = FileDescriptor(raw)
  }

  /// Becomes readable when something happened.
  package var readiness: Int32 { descriptor.raw }

  /// Watches these folders, and no others any more. One that was replaced by another of its name is watched anew.
  ///
  /// - Returns: those that cannot be watched, and why.
  package func watch(_ folders: Set<String>) -> [(folder: String, error: SystemError)] {
    var current: [String: Int32] = [:]
    var refused: [(folder: String, error: SystemError)] = []
    for folder in folders.sorted() {
      // For what is watched already the kernel names the same watch.
      let watch = unsafe inotify_add_watch(descriptor.raw, folder, UInt32(Self.mask))
      if watch >= 0 {
        current[folder] = watch
      } else {
        refused.append((folder, SystemError(call: "inotify_add_watch", errno: errno)))
      }
    }
    let kept = Set(current.values)
    for watch in Set(watched.values) where !kept.contains(watch) { inotify_rm_watch(descriptor.raw, watch) }
    watched = current
    return refused
  }

  /// The names of files to which something happened since the last call; nil when some were lost.
  package func drain() -> Set<String>? {
    var names: Set<String> = []
    var isWhole = true
    var octets = [UInt8](repeating: 0, count: Self.room)
    while true {
      let count = unsafe octets.withUnsafeMutableBytes { buffer in
        unsafe read(descriptor.raw, buffer.baseAddress, buffer.count)
      }
      guard count > 0 else { return isWhole ? names : nil }
      var at = 0
      while at + Self.header <= count {
        let mask = Self.number(octets, at + 4)
        let length = Int(Self.number(octets, at + 12))
        let end = min(at + Self.header + length, count)
        if mask & UInt32(IN_Q_OVERFLOW) != 0 { isWhole = false }
        names.insert(String(decoding: octets[(at + Self.header)..<end].prefix { $0 != 0 }, as: UTF8.self))
        at = end
      }
    }
  }

  /// In the order of this machine's octets.
  private static func number(_ octets: [UInt8], _ at: Int) -> UInt32 {
    unsafe octets.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
  }
}
