package import EgressPolicy
import IPNetwork

/// What differs between the configuration that serve runs with and the one that its files hold now; policies apart.
package struct SettingsDifference: Equatable, Sendable {
  /// What a reload puts in force.
  package var taken: [ChangedValue] = []
  /// What stays as it is until serve is started anew.
  package var needsRestart: [ChangedValue] = []

  package init(from running: Settings, to read: Settings) {
    taken = Self.changes(running.reloaded, read.reloaded) + Self.trust(running, read)
    needsRestart = Self.changes(running.fixed, read.fixed)
  }

  /// What is believed of upstreams that are asked before and after.
  private static func trust(_ running: Settings, _ read: Settings) -> [ChangedValue] {
    let after = running.trusting(as: read).upstreams
    let changed = zip(running.upstreams, after).filter { $0 != $1 }
    return [
      ChangedValue(
        key: "upstreams", from: changed.map { $0.0.texts.joined(separator: " ") },
        to: changed.map { $0.1.texts.joined(separator: " ") })
    ].compactMap(\.self)
  }

  /// The keys that are compared.
  static func keys(of settings: Settings) -> [String] { (settings.reloaded + settings.fixed).map(\.key) }

  private static func changes(_ was: [Settings.Value], _ now: [Settings.Value]) -> [ChangedValue] {
    zip(was, now).compactMap { was, now in ChangedValue(key: was.key, from: was.texts, to: now.texts) }
  }
}

/// Every key with its value, in the order of the documentation.
extension Settings {
  fileprivate typealias Value = (key: String, texts: [String])

  /// The keys that a reload takes.
  fileprivate var reloaded: [Value] {
    [
      ("release", released.map(\.description)), ("permits.max", [Self.time(permits.maxSeconds)]),
      ("permits.ports", [permits.ports.rawValue]), ("private", privatePrefixes?.map(\.description) ?? []),
      ("cname", cname.map { [$0.rawValue] } ?? []), ("forward", forwards.map(\.text)),
      ("verify", [nameChecks.verification.rawValue]), ("ech", [nameChecks.hiding.rawValue]),
      ("inspect", nameChecks.inspector.map { [$0.description] } ?? []),
      ("limits", limits.texts),
      ("dnssec", dnssec.map { [$0.rawValue] } ?? []), ("lists", listFolders),
    ]
  }

  /// The keys of which serve knows what it was started with.
  fileprivate var fixed: [Value] {
    [
      ("listen", listen.map(\.description)), ("workers", ["\(workers)"]),
      ("upstreams", upstreams.map(\.description)),
      ("zones", zones.map(\.text)), ("sinkhole.answer", sinkhole.answer.texts),
      ("sinkhole.ttl", [Self.time(sinkhole.ttlSeconds)]), ("unknown-clients", [unknownClients.rawValue]),
    ] + firewall.values
      + [
        ("cache.max-entries-per-server", ["\(cache.maxEntriesPerServer)"]),
        ("cache.max-ttl", [Self.time(cache.maxTTL)]),
        ("cache.max-negative-ttl", [Self.time(cache.maxNegativeTTL)]), ("cache.prefetch", ["\(cache.prefetches)"]),
        ("serve-stale.max-stale", [Self.time(cache.maxStale)]),
      ] + audit.values
      + [
        ("control", [control.path]), ("metrics", metrics.map { [$0.description] } ?? []), ("user", [user.name]),
        ("state", [state]), ("watch", ["\(watches)"]), ("trust-anchors", trustAnchors.map(\.path)),
        ("findings", findingsUser.map { [$0.name] } ?? []),
      ]
  }

  /// As the files write a time.
  fileprivate static func time(_ seconds: Int?) -> String {
    guard let seconds, seconds > 0 else { return seconds == nil ? "off" : "0s" }
    return Quantity.duration(seconds * 1000)
  }
}

extension ByteLimits {
  fileprivate var texts: [String] {
    [("max-bytes", maxBytes), ("max-bytes-per-hour", maxBytesPerHour)].compactMap { key, bound in
      bound.map { "\(key) \(OctetCount.text($0.bytes)) \($0.excess.rawValue)" }
    }
  }
}

extension FirewallSettings {
  fileprivate var values: [Settings.Value] {
    [
      ("firewall.mode", [mode.rawValue]), ("firewall.table", ["\(family.rawValue) \(table)"]),
      ("firewall.min-lifetime", [Settings.time(minLifetime)]), ("firewall.grace", [Settings.time(grace)]),
      ("firewall.max-lifetime", [Settings.time(maxLifetime)]),
      ("firewall.deadline", [Quantity.duration(deadlineMilliseconds)]), ("firewall.input-fence", ["\(inputFence)"]),
      ("firewall.max-elements-per-server", ["\(maxElementsPerServer)"]),
      ("firewall.max-elements-per-name", ["\(maxElementsPerName)"]),
      ("firewall.keep-in-use", [Settings.time(keepInUseSeconds)]), ("firewall.cut-flows", ["\(cutFlows)"]),
      ("firewall.harvest", [Settings.time(harvestSeconds)]), ("firewall.exclusive", ["\(exclusive)"]),
      ("firewall.gate-port", ["\(gatePort)"]),
    ]
  }
}

extension AuditSettings {
  fileprivate var values: [Settings.Value] {
    [
      ("audit.path", [path]), ("audit.max-size", [Quantity.size(maxSizeOctets)]), ("audit.keep", ["\(keep)"]),
      ("audit.compress", ["\(compress)"]), ("audit.allowed", [allowed.rawValue]),
      ("audit.volume", [Settings.time(volumeSeconds)]), ("audit.drops", ["\(drops)"]),
    ]
  }
}

extension ZoneSource {
  fileprivate var text: String {
    switch self {
    case .file(let path, _): path
    case .builtIn(let name): name
    }
  }
}

extension ForwardSettings {
  /// In one line: the zone, whom it goes to, and what it admits.
  fileprivate var text: String {
    let prefixes =
      privatePrefixes.isEmpty ? "" : " private \(privatePrefixes.map(\.description).joined(separator: " "))"
    return "\(zone) to \(upstreams.flatMap(\.texts).joined(separator: " "))\(prefixes)"
  }
}

extension SinkholeSettings.Answer {
  fileprivate var texts: [String] {
    switch self {
    case .nxdomain: ["nxdomain"]
    case .nodata: ["nodata"]
    case .refused: ["refused"]
    case .addresses(let addresses): addresses.map(\.description)
    }
  }
}
