import DNSWire
import EgressPolicy

/// Where several lines of a source match a name, it may do in most tools what any of them allows; here the most specific decides
/// alone.
extension ServerDraft {
  /// Gives each entry the ports, and private networks, of those that match all of its names.
  mutating func joinOverlaps() {
    let wide = wideEntries()
    guard !wide.isEmpty else { return }
    for item in items.indices where !items[item].isDenied {
      for index in items[item].entries.indices {
        guard case .host(let pattern) = items[item].entries[index].target else { continue }
        var name: Name? = pattern.literalSuffix
        while let suffix = name {
          for (other, entry) in wide[suffix] ?? [:] where other.covers(pattern) {
            items[item].entries[index].join(entry)
          }
          name = suffix.parent
        }
      }
    }
  }

  /// Refuses patterns with `*` elsewhere than in front beyond what a policy may have below one suffix.
  mutating func limitInnerWildcards() {
    var patterns: [Name: Set<NamePattern>] = [:]
    for index in items.indices {
      for case .host(let pattern) in items[index].entries.map(\.target) where pattern.hasInnerWildcard {
        let suffix = pattern.literalSuffix
        guard patterns[suffix, default: []].count >= PolicyLinter.maximumInnerWildcards,
          patterns[suffix]?.contains(pattern) != true
        else {
          patterns[suffix, default: []].insert(pattern)
          continue
        }
        items[index].entries = []
        let text =
          "one pattern too many with * elsewhere than in front that ends with \(suffix), expected at most "
          + "\(PolicyLinter.maximumInnerWildcards)"
        items[index].remarks = [ImportRemark(kind: .refused, text: text)]
        break
      }
    }
  }

  /// Entries with a wildcard, by what follows their last one, those of one pattern as one; none where all entries open the same.
  private func wideEntries() -> [Name: [NamePattern: ImportEntry]] {
    var wide: [Name: [NamePattern: ImportEntry]] = [:]
    var first: ImportEntry?
    var differ = false
    for item in items where !item.isDenied {
      for entry in item.entries {
        guard case .host(let pattern) = entry.target else { continue }
        if let first { differ = differ || first.ports != entry.ports || first.privatePrefixes != entry.privatePrefixes }
        first = first ?? entry
        if pattern.kind != .exact { wide[pattern.literalSuffix, default: [:]][pattern, default: entry].join(entry) }
      }
    }
    return differ ? wide : [:]
  }
}

extension ImportEntry {
  fileprivate mutating func join(_ other: ImportEntry) {
    ports = ports.union(other.ports)
    privatePrefixes += other.privatePrefixes.filter { !privatePrefixes.contains($0) }
  }
}
