import Control
import ControlAPI
import EgressPolicy
import Glibc
import LinuxIO
import Settings

/// That what was read from the files is not what the running server goes by: a change that was not reloaded yet.
enum PolicyNotice {
  /// Seconds for which the server is waited for.
  private static let patience: Int64 = 1

  /// Tells it on standard error, beside what a command says of the files, to a person: what a service manager runs before the
  /// server must not wait for it, nor wake it by its socket.
  static func tell(_ settings: Settings) {
    guard
      let text = text(
        settings, isTerminal: isatty(STDERR_FILENO) == 1, running: { fingerprint(at: settings.control.path) })
    else { return }
    StandardError.write("sluice: \(text)")
  }

  /// - Parameter running: asks the server for the fingerprint of its policy.
  static func text(_ settings: Settings, isTerminal: Bool, running: () -> String?) -> String? {
    guard isTerminal, let running = running() else { return nil }
    return text(running: running, PolicySnapshot(settings.policies.inForceNow()).fingerprint)
  }

  static func text(running: String, _ files: String) -> String? {
    guard running != files else { return nil }
    return
      "the running sluice has another policy in force, \(running): `sluice reload` puts what the files hold in its place"
  }

  /// Of the policy in force; nil where no server answers this user, and where permits stand beside what its files hold.
  private static func fingerprint(at socket: String) -> String? {
    do {
      let response = try ControlClient(path: socket, patience: patience).call(.get, ControlAPI.Call.status.path)
      let status = try ControlAPI.decode(ControlAPI.Status.self, response.body)
      return status.permits == 0 ? status.policy.fingerprint : nil
    } catch {
      return nil
    }
  }
}
