import AuditLog
import AuditStore
import DNSWire
import EgressPolicy
import LinuxIO

/// What a server was denied, as lines of YAML that a reader can vouch for one by one; what no line should admit is a remark.
struct PolicySuggestion {
  /// An answer that was refused for its addresses.
  private struct RefusedAnswer {
    var evidence = DenialEvidence()
    var addresses: Set<String> = []
    /// Words of `ForbiddenAddresses.Reason`; none for what is just not public.
    var refusals: Set<String> = []
  }

  /// Names side by side from which on a wildcard is suggested.
  private static let siblings = 10
  /// Names under one suffix of shared hosting, each asked for in one hour alone, from which on they are one remark.
  private static let singleUseNames = 5
  private static let singleUseMilliseconds: Int64 = 3_600_000
  /// Types that a rule admits without a word.
  private static let ordinaryTypes: Set<String> = ["A", "AAAA"]
  /// What `private:` admits; the others no line does.
  private static let admitted: Set<String> = [ForbiddenAddresses.Reason.onLink.rawValue]

  private let server: String
  /// The server's policy, where the configuration has it.
  private let policy: PolicySnapshot?
  private var allowed: Set<String> = []
  private var names: [String: DenialEvidence] = [:]
  private var services: [String: DenialEvidence] = [:]
  private var types: [String: DenialEvidence] = [:]
  private var ports: [String: DenialEvidence] = [:]
  private var answers: [String: RefusedAnswer] = [:]
  /// What no line can be suggested for.
  private var others: [String: DenialEvidence] = [:]

  init(server: String, policy: ServerPolicy? = nil) {
    self.server = server
    self.policy = policy.map { PolicySnapshot([$0]) }
  }

  var isEmpty: Bool {
    [names, services, types, ports, others].allSatisfy(\.isEmpty) && answers.isEmpty
  }

  /// Takes an event of the server.
  mutating func add(_ line: LogLine) {
    guard !line.isByOperator, let code = line.code else { return }
    let destination = line.text(.destination)
    let name = destination.lowercased()
    switch code.decision {
    case .allow: allowed.insert(name)
    case .block: add(line, code, destination, name)
    case .observe, .error: break
    }
  }

  private mutating func add(_ line: LogLine, _ code: AuditCode, _ destination: String, _ name: String) {
    switch (code, DeniedName(name)) {
    case (.notListed, let denied?), (.typeNotAllowed, let denied?):
      if denied.isOfService {
        services[name, default: DenialEvidence()].add(line)
      } else if code == .notListed {
        names[name, default: DenialEvidence()].add(line)
      } else {
        types[name, default: DenialEvidence()].add(line)
      }
    case (.answerNotPublic, .some):
      guard let members = line.event?.members, let addresses = members[.addresses], !addresses.isEmpty else {
        return addOther(line, code, destination)
      }
      var answer = answers[name] ?? RefusedAnswer()
      answer.evidence.add(line)
      answer.addresses.formUnion(addresses)
      if let refusal = members[.refusedAs] { answer.refusals.insert(refusal) }
      answers[name] = answer
    // Denied on purpose: what lists it would not open it.
    case (.denied, _), (.deniedAddress, _): break
    case (.wrongPort, _): ports["\(destination) \(line.typeOrPort)", default: DenialEvidence()].add(line)
    default: addOther(line, code, destination)
    }
  }

  private mutating func addOther(_ line: LogLine, _ code: AuditCode, _ destination: String) {
    let port = code.isConnection && line[.port] != nil ? " \(line.typeOrPort)" : ""
    others["\(line.codeText): \(destination)\(port)", default: DenialEvidence()].add(line)
  }

  func lines() -> [String] {
    guard !isEmpty else { return [] }
    var rest = names
    let remarks = searchRemarks(&rest) + serviceRemark + hostingRemarks(&rest)
    var lines = [
      "# What \(server) was denied. Every line opens a way out of its container: keep only what you know it needs.",
      "server: \(server)", "egress:",
    ]
    for (parent, members) in groups(rest) {
      let evidence = Self.taken(members, of: &rest)
      lines.append("  # \(Self.some(members, "name")): \(evidence.text)")
      lines += Self.rule("\"*.\(parent)\"", evidence)
    }
    for (name, evidence) in Self.sorted(rest) {
      lines.append("  # \(evidence.text)")
      lines += Self.rule(name, evidence)
    }
    for (name, evidence) in Self.sorted(types) {
      lines.append("  # listed, but not for these types: \(evidence.text)")
      lines += Self.rule(name, evidence)
    }
    lines += answers.sorted { $0.key < $1.key }.flatMap { answer($0.key, $0.value) }
    return lines + Self.comments("listed, but not for this port", ports) + remarks.map { "  # not suggested: \($0)" }
      + Self.comments("not suggested", others)
  }

  private static func rule(_ pattern: String, _ evidence: DenialEvidence) -> [String] {
    guard !evidence.types.isSubset(of: ordinaryTypes) else { return ["  - \(pattern)"] }
    let types = evidence.types.union(ordinaryTypes).sorted().joined(separator: ", ")
    return ["  - host: \(pattern)", "    types: [ \(types) ]"]
  }

  private static func comments(_ heading: String, _ evidence: [String: DenialEvidence]) -> [String] {
    sorted(evidence).map { "  # \(heading): \($0.key), \($0.value.text)" }
  }

  private static func sorted(_ evidence: [String: DenialEvidence]) -> [(key: String, value: DenialEvidence)] {
    evidence.sorted { $0.key < $1.key }
  }

  /// `12 names, such as a.example.com, b.example.com, c.example.com`.
  private static func some(_ names: [String], _ noun: String) -> String {
    "\(counted(names.count, noun)), such as \(names.prefix(3).joined(separator: ", "))"
  }

  /// Takes names out, and gives the evidence of all of them.
  private static func taken(_ members: [String], of names: inout [String: DenialEvidence]) -> DenialEvidence {
    members.reduce(into: DenialEvidence()) { sum, member in
      if let one = names.removeValue(forKey: member) { sum.add(one) }
    }
  }

  /// Parents of many names, under which no other owner can have one.
  private func groups(_ names: [String: DenialEvidence]) -> [(String, [String])] {
    let byParent = Dictionary(grouping: names.keys) { $0.split(separator: ".").dropFirst().joined(separator: ".") }
    return byParent.filter { parent, members in
      guard members.count >= Self.siblings, let suffix = Name(written: parent) else { return false }
      return PublicSuffix.coverage(ofWildcardOver: suffix, deep: false) == .none
    }.map { ($0.key, $0.value.sorted()) }.sorted { $0.0 < $1.0 }
  }
}

// MARK: - Answers

extension PolicySuggestion {
  /// What would admit addresses that are not public: an entry with the ports that the name has already, or a remark where
  /// the policy is not known, or nothing would.
  private func answer(_ name: String, _ answer: RefusedAnswer) -> [String] {
    let addresses = answer.addresses.sorted().joined(separator: ", ")
    guard answer.refusals.isSubset(of: Self.admitted) else {
      let words = answer.refusals.subtracting(Self.admitted).sorted().joined(separator: ", ")
      return [
        "  # not suggested: \(name) answers \(addresses) (\(words)), which no line admits, \(answer.evidence.text)"
      ]
    }
    let prefixes = answer.addresses.sorted().map { $0.contains(":") ? "\"\($0)/128\"" : "\($0)/32" }
    let line = "    private: [ \(prefixes.joined(separator: ", ")) ]"
    guard let rule = rule(of: name) else {
      return [
        "  # listed, but it answers \(addresses), which is not public: \(answer.evidence.text); its entry would need",
        "  # \(line)",
      ]
    }
    return [
      "  # listed, but it answers \(addresses), which is not public: \(answer.evidence.text)",
      "  - host: \(name)", "    ports: [ \(rule.ports) ]", line,
    ]
  }

  /// The rule by which the server may ask for the name now.
  private func rule(of name: String) -> EgressRule? {
    guard let policy, let name = Name(written: name) else { return nil }
    switch policy.decide(server: 0, name: name.wire.span, type: .A) {
    case .allowed(let rule), .typeNotAllowed(let rule): return policy.rule(server: 0, index: rule)
    case .notListed, .denied: return nil
    }
  }
}

// MARK: - Remarks

extension PolicySuggestion {
  private var serviceRemark: [String] {
    guard !services.isEmpty else { return [] }
    var all = services
    let names = all.keys.sorted()
    return [
      "\(Self.some(names, "name")) of services: \(Self.taken(names, of: &all).text); "
        + "where they are denied, clients go on with the host's name"
    ]
  }

  /// Takes names out that a search list made, and tells of them, a remark for each suffix.
  private func searchRemarks(_ names: inout [String: DenialEvidence]) -> [String] {
    let asked = Set(names.keys)
    let found = asked.reduce(into: [String: [String]]()) { found, name in
      let searched = DeniedName(name)?.searched { start in
        let text = start.description
        return allowed.contains(text) || asked.contains(text) || rule(of: text) != nil
      }
      if let searched { found[searched.suffix.description, default: []].append(name) }
    }
    return found.sorted { $0.key < $1.key }.map { suffix, members in
      let members = members.sorted()
      return "\(Self.some(members, "name")), with the search suffix \(suffix) behind a name that is asked for itself: "
        + Self.taken(members, of: &names).text
    }
  }

  /// Takes names out that tenants of shared hosting had for an hour at most, and tells of them, a remark for each suffix.
  private func hostingRemarks(_ names: inout [String: DenialEvidence]) -> [String] {
    let brief = names.filter { $0.value.span < Self.singleUseMilliseconds }.keys
    let bySuffix = brief.reduce(into: [String: [String]]()) { found, name in
      if let suffix = DeniedName(name)?.sharedHosting { found[suffix.description, default: []].append(name) }
    }
    return bySuffix.filter { $0.value.count >= Self.singleUseNames }.sorted { $0.key < $1.key }.map { suffix, members in
      let members = members.sorted()
      return "\(Self.some(members, "single-use name")) under shared hosting \(suffix), where others have names too: "
        + Self.taken(members, of: &names).text
    }
  }
}
