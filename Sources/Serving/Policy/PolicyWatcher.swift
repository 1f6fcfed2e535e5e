import Foundation
import LinuxIO

/// Asks for a reload when a file of the configuration or of the policies was written (`watch: on`).
///
/// What happens in quick succession is one change: an editor writes, renames and removes; a mounted ConfigMap turns one
/// link around.
final class PolicyWatcher {
  /// Milliseconds without a further change.
  private static let quiet: UInt64 = 500

  private let watcher: FolderWatcher
  private let reactor: Reactor
  private let changed: () -> Void
  private var timer: TimerID?
  /// The last components of the folders: who turns a link around or puts another folder in place changes what is in it.
  private var folderNames: Set<String> = []
  private var refused: Set<String> = []

  init(_ folders: Set<String>, reactor: Reactor, _ changed: @escaping () -> Void) throws(SystemError) {
    watcher = try FolderWatcher()
    self.reactor = reactor
    self.changed = changed
    watch(folders)
    try reactor.register(watcher.readiness, readable: true, writable: false) { [unowned self] _ in drain() }
  }

  /// Watches the folders and those that they are in. They may be others after a reload.
  func watch(_ folders: Set<String>) {
    let paths = folders.map { URL(filePath: $0).standardizedFileURL }
    folderNames = Set(paths.map(\.lastPathComponent))
    let all = Set(paths.map(\.path) + paths.map { $0.deletingLastPathComponent().path })
    let unseen = watcher.watch(all)
    for (folder, error) in unseen where !refused.contains(folder) {
      StandardError.write("sluice: warning: changes in \(folder) are not seen: \(error)")
    }
    refused = Set(unseen.map(\.folder))
  }

  private func drain() {
    let names = watcher.drain()
    // The log and the socket may lie in the same folder.
    guard names?.contains(where: isOurs) ?? true else { return }
    if let timer { reactor.cancel(timer) }
    timer = reactor.schedule(at: reactor.time.adding(milliseconds: Self.quiet)) { [unowned self] in
      timer = nil
      changed()
    }
  }

  private func isOurs(_ name: String) -> Bool {
    name.hasSuffix(".yaml") || name.hasSuffix(".yml") || name == "..data" || folderNames.contains(name)
  }
}
