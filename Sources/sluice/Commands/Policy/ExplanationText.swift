import ControlAPI
import LinuxIO
import Settings

/// An explanation in words, a line for each thing that is told.
struct ExplanationText {
  private(set) var fields: [(key: String, value: String)] = []

  init(_ told: ControlAPI.Explanation) {
    for (key, value) in [
      ("client", told.client), ("name", told.name), ("type", told.type),
      ("address", told.code == .reverseName ? nil : told.address), ("port", told.port), ("server", told.server),
    ] {
      if let value { fields.append((key, value)) }
    }
    fields.append(("decision", told.decision.rawValue))
    fields.append(("reason", Self.reason(told)))
    if let rule = Self.rule(told) { fields.append(("rule", rule)) }
    if let list = told.list { fields.append(("list", list)) }
    if let answer = told.answer { fields.append(("answer", Self.answer(answer, told))) }
    if let upstreams = told.upstreams, !upstreams.isEmpty {
      let zone = told.forward.map { ", the upstreams of zone \($0) alone" } ?? ""
      fields.append(("upstreams", upstreams.joined(separator: ", ") + zone))
    }
    if told.decision == .allow || told.address != nil, let ports = told.ports { add("ports", ports) }
    if let types = told.types { add("types", types) }
    if let prefixes = told.private { add("private", prefixes) }
    if let dnssec = told.dnssec { fields.append(("dnssec", Self.dnssec(dnssec))) }
    limits(told)
    for prefix in told.prefixes ?? [] where prefix.rule != told.rule {
      fields.append(("also", "\(prefix.rule): cidr: \(prefix.prefix) on \(prefix.ports.joined(separator: ", "))"))
    }
    if let live = told.live { add(live, told) }
  }

  /// Every key that is told, with its value; of several of one key the first.
  var values: [String: String] { Dictionary(fields, uniquingKeysWith: { first, _ in first }) }

  var text: String {
    let width = fields.map(\.key.count).max() ?? 0
    return fields.map { field in
      field.key + String(repeating: " ", count: width - field.key.count + 2) + field.value
    }.joined(separator: "\n")
  }

  private mutating func add(_ key: String, _ values: [String]) {
    fields.append((key, values.joined(separator: ", ")))
  }

  private mutating func limits(_ told: ControlAPI.Explanation) {
    guard told.decision == .allow else { return }
    if let chains = told.cname {
      fields.append(("cname", chains == "strict" ? "strict: no chain" : "listed: chains of listed names alone"))
    }
    if let ports = told.verifiedPorts {
      fields.append(("verify", "sni: over \(ports.joined(separator: ", ")) a connection has to say the name"))
      fields.append(("ech", told.ech == "allow" ? Self.echAllowed : Self.echRefused))
      if let inspector = told.inspect {
        fields.append(("inspect", "\(inspector): what it says goes through this proxy"))
      }
    }
    let basis = Self.basis(told)
    if let cap = Self.cap(told.maxBytes, told.maxBytesExcess) { fields.append(("max-bytes", cap + basis)) }
    if let cap = Self.cap(told.maxBytesPerHour, told.maxBytesPerHourExcess) {
      fields.append(("max-bytes-per-hour", cap + basis))
    }
    if let until = told.until { fields.append(("until", until)) }
    if let until = told.inPartUntil { fields.append(("in part until", until)) }
  }

  private static let echAllowed =
    "allow: a hello may hide another name, of any site behind the address, and passes by the one that it shows"
  private static let echRefused =
    "refuse: a hello that may hide another name is refused; browsers send such hellos unless their policy says otherwise"

  private static func dnssec(_ mode: String) -> String {
    mode == "require" ? "require: what is not signed is refused" : "verify: what is signed wrongly is refused"
  }

  /// As the files write it: `256KiB`, `256KiB (audit)`.
  private static func cap(_ octets: UInt64?, _ excess: String?) -> String? {
    octets.map { Quantity.size(Int(clamping: $0)) + (excess == "audit" ? " (audit)" : "") }
  }

  /// Which octets a cap counts: the gate's are not the kernel's.
  private static func basis(_ told: ControlAPI.Explanation) -> String {
    guard let verified = told.verifiedPorts else { return " of IP packets" }
    let isAll = told.ports.map { Set($0).isSubset(of: verified) } ?? false
    return isAll ? " of payload" : " of payload on \(verified.joined(separator: ", ")), else of IP packets"
  }

  // MARK: - Why

  private static func reason(_ told: ControlAPI.Explanation) -> String {
    switch told.code {
    case .listed: "listed"
    case .notListed, .notAHostName, .ended: "destination not in allowlist"
    case .denied: "destination denied, whatever allows it"
    case .typeNotAllowed: "type not allowed"
    case .unknownClient: "unknown client"
    case .special: "special-use name"
    case .root: "the root"
    case .singleLabel: "single label"
    case .reverseName: "reverse name"
    case .cidr: "open without a name"
    case .granted: "open now for a name"
    case .ownNetwork: "the server's own network"
    case .otherServer: "in the network of server \(told.other ?? "?")"
    case .host: "the host itself, which takes it"
    case .hostFence: "the host itself, and not the resolver's port"
    case .wrongPort: "open, but not on this port"
    case .rawAddress: "open for no name"
    case .notEnforced: "no rule of Sluice's decides"
    }
  }

  private static func rule(_ told: ControlAPI.Explanation) -> String? {
    let layer = told.layer.map { " (layer \($0))" } ?? ""
    let place = told.rule.map { "\($0): \(told.pattern ?? "")\(layer)" }
    return switch told.code {
    case .unknownClient:
      told.address == nil
        ? "the address is in no server's network"
        : "the client is in no server's network, and its own stays closed or lies behind a server's interface"
    case .notListed: "no entry of the egress list matches"
    case .denied: "\(place ?? ""), an entry of deny"
    case .notAHostName: "only letters, digits, '-' and '_' can match"
    case .ended: "\(place ?? ""), which ended\(told.until.map { " at \($0)" } ?? "")"
    case .special: "answered from the local zones, never forwarded"
    case .root, .singleLabel: place.map { "\($0), but a single label is never forwarded" } ?? "never forwarded"
    case .reverseName: "answered from what is open for the server, never forwarded"
    case .rawAddress:
      "no entry with cidr: holds it; a name that resolves to it opens it for a time"
        + (told.live == nil ? ", and --live says whether one has" : "")
    case .notEnforced:
      told.decision == .block
        ? "firewall.mode is sets: what is open without a name, your own rules say"
        : told.server == nil
          ? "the client is in no server's network: nothing keeps it from any address, unless a server's interface does"
          : "firewall.mode is off: addresses are not filtered"
    case .hostFence: "servers reach nothing of the host but the resolver, whatever cidr: lists (firewall.input-fence)"
    case .otherServer:
      told.decision == .allow
        ? place
        : told.server == nil
          ? "`inbound:` of server \(told.other ?? "?") must list it"
          : "\(place.map { "\($0), but " } ?? "")`inbound:` of server \(told.other ?? "?") and a cidr: entry must list it"
    case .ownNetwork, .host: nil
    case .listed, .typeNotAllowed, .cidr, .granted, .wrongPort: place
    }
  }

  private static func answer(_ answer: ControlAPI.Explanation.Answer, _ told: ControlAPI.Explanation) -> String {
    let opening = told.opens == true ? "; addresses opened before the answer" : ""
    return switch answer {
    case .upstream: "asked upstream" + opening
    case .localZone: told.code == .listed ? "answered from the local zones" + opening : "local zone"
    case .openName:
      "the name that \(told.address ?? "?") is open for, else \(told.answerElse == .localZone ? "local zone" : "NXDOMAIN")"
    case .addresses: (told.addresses ?? []).joined(separator: ", ")
    case .nodata: told.code == .listed ? "NODATA: the firewall has no set for IPv6 addresses" : "NODATA"
    case .nxdomain: "NXDOMAIN"
    case .refused: "REFUSED"
    case .drop: "drop"
    }
  }

  // MARK: - What the running server knows

  private mutating func add(_ live: ControlAPI.Live, _ told: ControlAPI.Explanation) {
    fields.append(("running policy", Self.policy(live)))
    if let running = live.running { fields.append(("running decision", Self.decision(running))) }
    for permit in live.permits {
      fields.append(
        (
          "permit \(permit.id)",
          "\(permit.name) on \(permit.ports.joined(separator: ", ")) for \(Self.seconds(permit.remainingMs)) more: "
            + permit.justification
        ))
    }
    if told.name != nil {
      for entry in live.cache {
        let addresses = entry.addresses.isEmpty ? "" : ": " + entry.addresses.joined(separator: ", ")
        fields.append(
          (
            "cached \(entry.type)",
            "\(entry.rcode), \(Self.seconds(entry.remainingMs)) left, \(entry.hits) hits\(addresses)"
          ))
      }
      if live.cache.isEmpty { fields.append(("cached", "nothing")) }
    }
    let own = live.grants.filter { told.name == nil || $0.name == told.name }
    let open = own.map { grant in
      "\(told.name == nil ? "for \(grant.name) on" : grant.address) \(grant.portText) for \(Self.seconds(grant.remainingMs))"
    }
    fields.append(("open", open.isEmpty ? "nothing" : open.joined(separator: ", ")))
    for grant in live.grants where told.name != nil && grant.name != told.name {
      let caps = live.sharedCaps.first { $0.address == grant.address && $0.name == grant.name }.map(Self.text) ?? ""
      fields.append(("shared", "\(grant.address) \(grant.portText) is open for \(grant.name) too\(caps)"))
    }
    // Names of other servers open nothing here, and lie behind the address all the same.
    for grant in own where told.name != nil && grant.verify == "address" {
      let others = (grant.shared ?? []).filter { other in !live.grants.contains { $0.name == other } }
      guard !others.isEmpty else { continue }
      fields.append(
        (
          "shared",
          "\(grant.address) is that of \(others.joined(separator: ", ")) too: with verify: address it admits all"
        ))
    }
  }

  private static func text(_ cap: ControlAPI.SharedCap) -> String {
    let caps = [
      self.cap(cap.maxBytes, cap.maxBytesExcess).map { "max-bytes \($0)" },
      self.cap(cap.maxBytesPerHour, cap.maxBytesPerHourExcess).map { "max-bytes-per-hour \($0)" },
    ].compactMap(\.self)
    return caps.isEmpty
      ? "" : ", whose \(caps.joined(separator: " and ")) \(caps.count == 1 ? "holds" : "hold") here as well"
  }

  private static func policy(_ live: ControlAPI.Live) -> String {
    if live.asInFiles { return "the same" }
    return live.permits.isEmpty
      ? "another one, \(live.policy), or permits beside it: see `sluice reload` and `sluice allow list`"
      : "with \(counted(live.permits.count, "permit")) beside it, or another one: see `sluice allow list`"
  }

  private static func decision(_ running: ControlAPI.Running) -> String {
    let place = running.rule.map { ": \($0)\(running.pattern.map { ": \($0)" } ?? "")" } ?? ""
    return "\(running.decision.rawValue), \(running.code.rawValue)\(place)"
  }

  /// Whole seconds, the one that has begun as well.
  static func seconds(_ milliseconds: UInt64) -> String { "\((milliseconds + 999) / 1000) s" }
}

extension ControlAPI.Grant {
  /// `443/tcp`, or `any`.
  var portText: String { port.map { "\($0)/\(`protocol`)" } ?? "any" }
}
