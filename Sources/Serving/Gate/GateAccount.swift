import EgressPolicy
import FirewallModel
import Gate
import Settings

/// Who the gate is: a user of its own, by whose number the firewall bounds what it reaches.
enum GateAccount {
  /// The one that the packages make.
  static let name = "sluice-gate"
  /// The command that makes it.
  static let creation = "useradd --system --no-create-home --shell /usr/sbin/nologin \(name)"

  /// Whether connections of any server are to go through a gate.
  static func isNeeded(_ settings: Settings, _ policies: [ServerPolicy]) -> Bool {
    settings.firewall.mode == .managed && policies.contains(where: \.checksNames)
  }

  /// What the firewall's plan says of the gate; nil where none is needed, or there is no such user. Then what would have to go
  /// through it stays closed.
  static func gate(_ settings: Settings, _ policies: [ServerPolicy]) -> FirewallPlan.Gate? {
    guard isNeeded(settings, policies), let account = account(settings) else { return nil }
    return FirewallPlan.Gate(port: settings.firewall.gatePort, user: account.user)
  }

  /// Why the gate cannot be who it has to be; nil where it can, or none is needed.
  static func fault(_ settings: Settings) -> String? {
    guard isNeeded(settings, settings.policies) else { return nil }
    guard let account = account(settings) else {
      return "verify: sni takes the user \(name); make it: \(creation)"
    }
    let serve = Privileges.known(settings.user)?.user
    return account.user == 0 || account.user == serve
      ? "verify: sni takes a user \(name) that is no other service's, and not root" : nil
  }

  static func account(_ settings: Settings) -> GateStart.Account? {
    Privileges.known(ServiceUser(name: name, location: settings.user.location))
      .map { GateStart.Account(user: $0.user, group: $0.group) }
  }
}
