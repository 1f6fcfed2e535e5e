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
    self.init(
      plan: FirewallPlan(settings, settings.policies),
      reaches: Dictionary(
        settings.policies.map { ($0.name.text, Reach($0, settings.forwardZones)) },
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
  fileprivate init(_ policy: ServerPolicy, _ forwards: ForwardZones) {
    let ports = policy.rules.openPorts
    self.init(
      ports: ports == .any ? nil : ports.list,
      privatePrefixes: policy.privateReach.union(forwards.privatePrefixes).sorted())
  }
}
