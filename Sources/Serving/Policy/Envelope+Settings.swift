package import FirewallModel
import EgressPolicy
import LinuxIO
import Settings
import Zones

/// What a configuration allows the bridge at the most.
extension Envelope {
  /// Serve asks for what lived until it asked: by then the kernel may end it this many milliseconds later.
  private static let slack = 1_000

  init(_ settings: Settings, zones: LocalZones?) {
    let permits = settings.permits
    var plan = FirewallPlan(settings, settings.policies)
    let checking = Set(settings.policies.lazy.filter(\.alwaysChecksNames).map(\.name.text))
    for index in plan.servers.indices { plan.servers[index].checksNames = checking.contains(plan.servers[index].name) }
    self.init(
      plan: plan,
      reaches: Dictionary(
        settings.policies.map {
          ($0.name.text, Reach($0, settings.forwardZones, hasPermits: permits.maxSeconds > 0))
        },
        uniquingKeysWith: { first, _ in first }),
      permitPorts: permits.maxSeconds == 0 ? .none : permits.ports == .any ? .any : .listed,
      permitDefaults: PortSet.https.list,
      maxLifetimeMilliseconds: UInt32(
        clamping: Int(FirewallOptions.longestLifetime(settings.firewall) / 1_000_000) + Self.slack),
      zoneAddresses: zones?.addresses ?? [])
  }

  /// Reads the files of a configuration.
  package static func read(_ path: String) -> Result<Envelope, EnvelopeError> {
    let loaded = SettingsLoader.load(path: path)
    guard let settings = loaded.settings else {
      let first = loaded.diagnostics.first { $0.severity == .error }
      return .failure(EnvelopeError(text: first?.description ?? "\(path) cannot be read"))
    }
    // A zone that cannot be read opens nothing, and serve tells its operator why it does not take it.
    return .success(Envelope(settings, zones: try? ZoneFiles.load(settings)))
  }
}

extension Envelope.Reach {
  fileprivate init(_ policy: ServerPolicy, _ forwards: ForwardZones, hasPermits: Bool) {
    let ports = policy.rules.openPorts
    // What is permitted for a time is checked as entries are that say nothing of it.
    let checked = policy.rules.checkedPorts.filter {
      !hasPermits || policy.nameChecks.check(of: PortSet([PortRule($0, .tcp)])) != nil
    }
    self.init(
      ports: ports == .any ? nil : ports.list,
      privatePrefixes: policy.privateReach.union(forwards.privatePrefixes).sorted(), checkedPorts: checked.sorted())
  }
}
