import DNSWire
import EgressPolicy

extension ImportDraft {
  /// Refuses what is allowed within what is denied, for tools in which the more specific line decides: here a denial wins wherever
  /// it stands.
  mutating func refuseExceptions(of server: Int) {
    var denied: [Name: [(pattern: NamePattern, location: SourceLocation)]] = [:]
    for item in servers[server].items where item.isDenied {
      for case .host(let pattern) in item.entries.map(\.target) where pattern.kind != .exact {
        denied[pattern.literalSuffix, default: []].append((pattern, item.location))
      }
    }
    guard !denied.isEmpty else { return }
    refuse(of: server) { item in
      for case .host(let pattern) in item.entries.map(\.target) where !item.isDenied {
        var name: Name? = pattern.literalSuffix
        while let suffix = name {
          if let found = denied[suffix]?.first(where: { $0.pattern.covers(pattern) }) {
            return "denied by \(found.location), and a denial wins here"
          }
          name = suffix.parent
        }
      }
      return nil
    }
  }
}
