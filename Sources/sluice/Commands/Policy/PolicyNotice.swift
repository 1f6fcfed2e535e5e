import Control
import ControlAPI
import EgressPolicy
import LinuxIO
import Settings

/// That what was read from the files is not what the running server goes by: a change that was not reloaded yet.
enum PolicyNotice {
  /// Tells it on standard error, beside what a command says of the files.
  static func tell(_ settings: Settings) {
    guard let running = fingerprint(at: settings.control.path) else { return }
    guard let text = text(running: running, PolicySnapshot(settings.policies.inForceNow()).fingerprint) else { return }
    StandardError.write("sluice: \(text)")
  }

  static func text(running: String, _ files: String) -> String? {
    guard running != files else { return nil }
    return
      "the running sluice has another policy in force, \(running): `sluice reload` puts what the files hold in its place"
  }

  /// Of the policy in force; nil where no server answers this user, and where permits stand beside what its files hold.
  private static func fingerprint(at socket: String) -> String? {
    do {
      let response = try ControlClient(path: socket).call(.get, ControlAPI.Call.status.path)
      let status = try ControlAPI.decode(ControlAPI.Status.self, response.body)
      return status.permits == 0 ? status.policy.fingerprint : nil
    } catch {
      return nil
    }
  }
}
