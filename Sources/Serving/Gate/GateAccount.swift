import EgressPolicy
import FirewallModel
import Gate
import Settings

/// Who the gate is: a user of its own, by whose number the firewall bounds what it reaches.
enum GateAccount {
  /// The one that the packages make.
  static let name = "sluice-gate"
  /// The command that makes one, but for its name.
  private static let creation = "useradd --system --no-create-home --shell /usr/sbin/nologin"

  /// Whether connections of any server are to go through a gate.
  static func isNeeded(_ settings: Settings, _ policies: [ServerPolicy]) -> Bool {
    settings.firewall.mode == .managed && policies.contains(where: \.checksNames)
  }

  /// Whether they may be after a reload, as long as `verify: address` does not stand for all: a gate is started with serve or not
  /// at all.
  static func isWanted(_ settings: Settings) -> Bool {
    settings.firewall.mode == .managed
      && (settings.nameChecks.verification == .sni
        || settings.policies.contains { $0.checksNames || $0.nameChecks.verification == .sni })
  }

  /// What the firewall's plan says of the gate; nil where there can be none. Then what would have to go through it stays closed.
  static func gate(_ settings: Settings) -> FirewallPlan.Gate? {
    guard settings.firewall.mode == .managed, case .success(let account) = find(settings) else { return nil }
    return FirewallPlan.Gate(port: settings.firewall.gatePort, user: account.user)
  }

  /// Why the gate cannot be who it has to be; nil where it can, or none is needed.
  static func fault(_ settings: Settings, named name: String = name) -> String? {
    guard isNeeded(settings, settings.policies), case .failure(let error) = find(settings, named: name) else {
      return nil
    }
    return error.text
  }

  /// Why the gate cannot be who it has to be, as a sentence.
  struct AccountError: Error {
    var text: String
  }

  static func find(_ settings: Settings, named name: String = name) -> Result<GateStart.Account, AccountError> {
    guard let found = Privileges.known(ServiceUser(name: name, location: settings.user.location)) else {
      return .failure(
        AccountError(
          text:
            "connections to names go through the gate (`verify: sni`, the default for 443/tcp), which takes the user \(name); "
            + "make it: \(creation) \(name); with `verify: address` none is needed, and an open address admits every site behind it"
        ))
    }
    guard found.user != 0, found.user != Privileges.known(settings.user)?.user else {
      return .failure(AccountError(text: "the gate takes a user \(name) that is no other service's, and not root"))
    }
    return .success(GateStart.Account(user: found.user, group: found.group))
  }
}
