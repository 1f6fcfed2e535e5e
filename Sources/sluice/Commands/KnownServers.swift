import AuditStore
import ArgumentParser
import EgressPolicy
import LinuxIO
import Settings

/// Whether a server is one that a command can be about: a name that is mistyped is told, and never an empty table.
enum KnownServers {
  /// Prints that there is no such server, and exits with 1.
  static func refuse(_ server: String, _ known: [String]) throws -> Never {
    StandardError.write("sluice: \(UnknownServer.text(server, among: known))")
    throw ExitCode.failure
  }

  /// For commands that read the log: a server of the policy, or one that has an event.
  ///
  /// - Parameters:
  ///   - config: of the policy; nil where there is none.
  ///   - log: the log's path.
  static func check(_ server: String?, config: String?, log: String) throws {
    // The service's own events bear a name of no server.
    guard let server, server != "*" else { return }
    // What is wrong with the files is no matter here.
    let known = config.flatMap { SettingsLoader.load(path: $0).settings }?.policies.map(\.name.text) ?? []
    if known.contains(server) || isLogged(server, log) { return }
    try refuse(server, known)
  }

  private static func isLogged(_ server: String, _ log: String) -> Bool {
    var reader = AuditReader(path: log, filter: LogFilter(server: server, limit: 1))
    var isThere = false
    do throws(AuditStoreError) {
      _ = try reader.read { _ in isThere = true }
    } catch {
      // That the log cannot be read is told by what reads it next.
      return true
    }
    return isThere
  }
}
