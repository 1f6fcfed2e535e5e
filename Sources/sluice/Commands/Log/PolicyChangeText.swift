import AuditLog
import AuditStore
import LinuxIO

/// An event that changed what servers may reach, for people.
struct PolicyChangeText {
  /// An event with what it says.
  struct Change {
    let line: LogLine
    let event: AuditEvent
    /// The fingerprint of the policy that was in force before, where the event tells of another one.
    let former: String?

    /// Whether what came, went or changed is of this server.
    func lists(_ server: String) -> Bool {
      AuditMembers.List.allCases.contains { key in
        PolicyChangeText.sign(of: key) != nil
          && (event.members[key] ?? []).contains { PolicyChangeText.isItem($0, of: server) }
      }
    }
  }

  static let codes: [AuditCode] = [
    .policyReloaded, .policyRefused, .revoked, .grantsRevoked, .cacheFlushed, .allowedForTime, .allowanceEnded,
    .started,
  ]

  static let heading = ["TIME", "CODE", "SERVER", "BY", "WHAT"]

  /// Numbers that are worth a word where they are not 0.
  private static let counts: [(key: AuditMembers.Number, noun: String, verb: String)] = [
    (.namesAdded, "name", "added"), (.namesRemoved, "name", "removed"), (.serversChanged, "server", "changed"),
    (.errors, "error", "found"), (.names, "question", "ended"), (.entries, "answer", "forgotten"),
    (.addressesClosed, "address", "closed"), (.addressCount, "address", "closed"), (.flowsCut, "connection", "cut"),
  ]

  let columns: [String]
  /// A line for each of what the event lists.
  let details: [String]

  /// What changed something, of events in the order of their time: of starts only those with another policy than what was
  /// in force before. What this version cannot read is left out.
  static func changes(_ lines: [LogLine]) -> [Change] {
    var inForce: String?
    return lines.compactMap { line in
      guard let event = line.event else { return nil }
      guard [.policyReloaded, .started].contains(event.fields.code), let policy = event.members[.policy] else {
        return event.fields.code == .started ? nil : Change(line: line, event: event, former: nil)
      }
      let former = event.members[.former] ?? inForce
      inForce = policy
      let isOther = former.map { $0 != policy } ?? false
      if event.fields.code == .started, !isOther { return nil }
      return Change(line: line, event: event, former: isOther ? former : nil)
    }
  }

  /// - Parameter server: of lists only what is about it; nil for all.
  init(_ change: Change, of server: String?, _ times: TimeOption) {
    let (line, members) = (change.line, change.event.members)
    columns = [
      line.time.map { times.text(milliseconds: $0) } ?? "-", line.codeText, line.text(.server), Self.author(members),
      Self.what(change, times),
    ]
    details = Self.details(members, of: server)
  }

  private static func author(_ members: AuditMembers) -> String {
    // Of a start the process is Sluice's own.
    let user = members[.uid].map { "uid \($0)" + (members[.pid].map { ", pid \($0)" } ?? "") }
    return user ?? members[.cause] ?? "-"
  }

  private static func what(_ change: Change, _ times: TimeOption) -> String {
    let members = change.event.members
    var parts: [String] = []
    if change.line[.destination]?.isEmpty == false { parts.append(change.line.text(.destination)) }
    if let until = members[.until] { parts.append("until \(times.text(until))") }
    if let permit = members[.permit] { parts.append("permit \(permit)") }
    if let why = members[.justification] { parts.append("reason: \(safe(why))") }
    parts += counts.compactMap { count in
      members[count.key].flatMap { $0 == 0 ? nil : "\(counted($0, count.noun)) \(count.verb)" }
    }
    if change.event.fields.code == .policyRefused { parts.append("the old policy stays") }
    if let policy = members[.policy], let former = change.former {
      parts.append("policy \(safe(policy)), was \(safe(former))")
    }
    return parts.isEmpty ? "nothing that servers may reach" : parts.joined(separator: "; ")
  }

  private static func details(_ members: AuditMembers, of server: String?) -> [String] {
    AuditMembers.List.allCases.flatMap { key -> [String] in
      let items = members[key] ?? []
      if let sign = sign(of: key) {
        return items.filter { item in server.map { isItem(item, of: $0) } ?? true }.map { "\(sign) \(safe($0))" }
      }
      let name = key.rawValue.replacing("_", with: " ")
      return items.isEmpty ? [] : ["\(name): \(items.map(safe).joined(separator: ", "))"]
    }
  }

  /// What stands before the items of a list whose items are each of a server; nil for other lists.
  private static func sign(of list: AuditMembers.List) -> String? {
    switch list.rawValue {
    case "entries_added": "+"
    case "entries_removed": "-"
    case "changed": "~"
    default: nil
    }
  }

  private static func isItem(_ item: String, of server: String) -> Bool { item.hasPrefix("\(server): ") }

  /// On one line, and without what a terminal would obey.
  private static func safe(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }))
  }
}
