import AuditLog
import EgressPolicy
import Settings

/// What a reload changed, as members of its event.
extension AuditMembers {
  /// Of each kind so many: what people read; how many names there are in all is in the event as well.
  static let listedChanges = 32
  /// Octets of one change at most, as a line: a list of ports may be long.
  private static let longestChange = 400

  /// Appends how many names came and went, which, what else is another value, and what of it needs a restart.
  mutating func append(_ policies: PolicyDifference, _ settings: SettingsDifference?) {
    append(.namesAdded, policies.addedCount)
    append(.namesRemoved, policies.removedCount)
    append(.entriesAdded, of: policies) { $0.added }
    append(.entriesRemoved, of: policies) { $0.removed }
    append(.changed, of: policies, and: settings?.taken ?? []) { $0.altered.map(\.description) }
    append(.needsRestart, of: nil, and: settings?.needsRestart ?? []) { _ in [] }
  }

  /// Appends nothing where there is none.
  private mutating func append(
    _ key: List, of policies: PolicyDifference?, and settings: [ChangedValue] = [],
    _ texts: (PolicyDifference.Server) -> [String]
  ) {
    var listed: [String] = []
    for server in policies?.servers ?? [] where listed.count < Self.listedChanges {
      listed += texts(server).prefix(Self.listedChanges - listed.count).map { "\(server.name): \($0)" }
    }
    listed += settings.prefix(Self.listedChanges - listed.count).map(\.description)
    guard !listed.isEmpty else { return }
    append(key, listed.map { $0.utf8.count <= Self.longestChange ? $0 : "\($0.prefix(Self.longestChange / 4)) …" })
  }
}
