import LinuxIO
import Settings

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

  init(_ settings: Settings, reactor: Reactor, _ changed: @escaping () -> Void) throws(SystemError) {
    watcher = try FolderWatcher()
    self.reactor = reactor
    self.changed = changed
    watch(settings)
    try reactor.register(watcher.readiness, readable: true, writable: false) { [unowned self] _ in drain() }
  }

  /// The files may be others after a reload.
  func watch(_ settings: Settings) {
    for (folder, error) in watcher.watch(settings.folders) {
      StandardError.write("sluice: warning: changes in \(folder) are not seen: \(error)")
    }
  }

  private func drain() {
    let names = watcher.drain()
    // The log and the socket may lie in the same folder.
    guard names?.contains(where: Self.isOurs) ?? true else { return }
    if let timer { reactor.cancel(timer) }
    timer = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.quiet)) { [unowned self] in
      timer = nil
      changed()
    }
  }

  private static func isOurs(_ name: String) -> Bool {
    name.hasSuffix(".yaml") || name.hasSuffix(".yml") || name == "..data"
  }
}
