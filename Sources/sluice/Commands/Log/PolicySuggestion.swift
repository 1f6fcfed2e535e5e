import AuditLog
import AuditStore
import DNSWire
import EgressPolicy
import LinuxIO

/// What a server was denied, as lines of YAML.
struct PolicySuggestion {
  private struct Evidence {
    var count: UInt64 = 0
    var types: Set<String> = []
    var clients: Set<String> = []
    var first = ""
    var last = ""

    mutating func add(_ line: LogLine) {
      count &+= line.count
      if line[.type] != nil { types.insert(line.text(.type)) }
      if clients.count < 4 { clients.insert(line.text(.client)) }
      if first.isEmpty { first = line.text(.ts) }
      last = line.text(.ts)
    }

    var text: String {
      let types = types.isEmpty ? "" : " (\(types.sorted().joined(separator: ", ")))"
      let clients = clients.count > 3 ? "several clients" : clients.sorted().joined(separator: ", ")
      return "\(count) \(count == 1 ? "query" : "queries")\(types) of \(clients), \(first) to \(last)"
    }
  }

  /// Names side by side from which on a wildcard is suggested.
  private static let siblings = 10
  /// Types that a rule admits without a word.
  private static let ordinaryTypes: Set<String> = ["A", "AAAA"]

  private let server: String
  private var names: [String: Evidence] = [:]
  private var types: [String: Evidence] = [:]
  private var ports: [String: Evidence] = [:]
  /// What no line can be suggested for.
  private var others: [String: Evidence] = [:]

  init(server: String) { self.server = server }

  var isEmpty: Bool { names.isEmpty && types.isEmpty && ports.isEmpty && others.isEmpty }

  mutating func add(_ line: LogLine) {
    guard !line.isByOperator else { return }
    let destination = line.text(.destination)
    switch line.code {
    case .notListed where isHost(destination): names[destination.lowercased(), default: Evidence()].add(line)
    case .typeNotAllowed where isHost(destination): types[destination.lowercased(), default: Evidence()].add(line)
    case .wrongPort: ports["\(destination) \(line.typeOrPort)", default: Evidence()].add(line)
    default: others["\(line.codeText): \(destination)", default: Evidence()].add(line)
    }
  }

  private func isHost(_ text: String) -> Bool {
    guard text.contains("."), !text.contains("*") else { return false }
    do throws(NamePatternError) {
      return try NamePattern(text).kind == .exact
    } catch {
      return false
    }
  }

  func lines() -> [String] {
    guard !isEmpty else { return [] }
    var lines = [
      "# What \(server) was denied. Every line opens a way out of its container: keep only what you know it needs.",
      "server: \(server)", "egress:",
    ]
    var rest = names
    for (parent, members) in groups() {
      var evidence = Evidence()
      for member in members {
        guard let one = rest.removeValue(forKey: member) else { continue }
        evidence.count &+= one.count
        evidence.types.formUnion(one.types)
        evidence.clients.formUnion(one.clients)
        evidence.first = evidence.first.isEmpty ? one.first : min(evidence.first, one.first)
        evidence.last = max(evidence.last, one.last)
      }
      lines.append(
        "  # \(counted(members.count, "name")), such as \(members.prefix(3).joined(separator: ", ")): \(evidence.text)")
      lines += rule("\"*.\(parent)\"", evidence)
    }
    for (name, evidence) in rest.sorted(by: { $0.key < $1.key }) {
      lines.append("  # \(evidence.text)")
      lines += rule(name, evidence)
    }
    for (name, evidence) in types.sorted(by: { $0.key < $1.key }) {
      lines.append("  # listed, but not for these types: \(evidence.text)")
      lines += rule(name, evidence)
    }
    return lines + comments("listed, but not for this port", ports) + comments("not suggested", others)
  }

  private func rule(_ pattern: String, _ evidence: Evidence) -> [String] {
    guard !evidence.types.isSubset(of: Self.ordinaryTypes) else { return ["  - \(pattern)"] }
    let types = evidence.types.union(Self.ordinaryTypes).sorted().joined(separator: ", ")
    return ["  - host: \(pattern)", "    types: [ \(types) ]"]
  }

  private func comments(_ heading: String, _ evidence: [String: Evidence]) -> [String] {
    evidence.sorted { $0.key < $1.key }.map { "  # \(heading): \($0.key), \($0.value.text)" }
  }

  /// Parents of many names, under which no other owner can have one.
  private func groups() -> [(String, [String])] {
    let byParent = Dictionary(grouping: names.keys) { $0.split(separator: ".").dropFirst().joined(separator: ".") }
    return byParent.filter { parent, members in
      guard members.count >= Self.siblings, let suffix = Name(written: parent) else { return false }
      return PublicSuffix.coverage(ofWildcardOver: suffix, deep: false) == .none
    }.map { ($0.key, $0.value.sorted()) }.sorted { $0.0 < $1.0 }
  }
}
