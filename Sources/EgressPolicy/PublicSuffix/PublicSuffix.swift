package import DNSWire

/// What the Public Suffix List says about a suffix: whether names below it have owners of their own.
package enum PublicSuffix {
  /// What a wildcard over a suffix would admit.
  package enum Coverage: Hashable, Sendable {
    /// Names of one owner, as far as the list knows.
    case none
    /// Names that every user of a service gets by putting up content, such as `*.github.io`.
    case sharedHosting
    /// Names that are for sale, such as `*.co.uk`.
    case publicSuffix
  }

  /// What `*.suffix` (`deep` false) or `**.suffix` (`deep` true) would cover.
  package static func coverage(ofWildcardOver suffix: Name, deep: Bool) -> Coverage {
    let keys = keys(of: suffix)
    guard keys.count > 2 else { return .publicSuffix }
    let (marks, parent) = (marks(keys[0]), marks(keys[1]))
    let below: Marks = deep ? [.icannBelow, .icannChild] : [.icannChild]
    if marks.isDisjoint(with: .icannException), marks.contains(.icann) || parent.contains(.icannWildcard) {
      return .publicSuffix
    }
    if !marks.isDisjoint(with: below) || marks.contains(.icannWildcard) { return .publicSuffix }
    let hosted: Marks =
      deep
      ? [.hosting, .hostingWildcard, .hostingChild, .hostingBelow]
      : [
        .hosting, .hostingWildcard, .hostingChild,
      ]
    if !marks.isDisjoint(with: hosted) || parent.contains(.hostingWildcard) { return .sharedHosting }
    // Everything below a shared suffix is a tenant's own: `**.user.github.io` is one owner's.
    return .none
  }

  /// The name under a public or shared suffix that one owner holds, or nil when `name` is such a suffix itself.
  package static func registrableDomain(of name: Name) -> Name? {
    let keys = keys(of: name)
    var start = keys.count - 2
    for index in keys.indices.dropLast() where isSuffix(keys[index], below: keys[index + 1]) {
      start = index
      break
    }
    guard start > 0 else { return nil }
    return (1..<start).reduce(name) { domain, _ in domain.parent ?? domain }
  }

  private static func isSuffix(_ key: UInt64, below parentKey: UInt64) -> Bool {
    let (marks, parent) = (marks(key), marks(parentKey))
    if marks.contains(.icannException) { return false }
    return marks.contains(.icann) || marks.contains(.hosting) || parent.contains(.icannWildcard)
      || parent.contains(.hostingWildcard)
  }

  private static func marks(_ key: UInt64) -> Marks { rules[key] ?? [] }

  /// What a pattern with a wildcard covers.
  package static func coverage(of pattern: NamePattern) -> Coverage {
    guard pattern.hasInnerWildcard else {
      return coverage(ofWildcardOver: pattern.suffix, deep: pattern.kind == .anyLabels || pattern.kind == .subtree)
    }
    // A label that says something in front of the wildcard's makes it no narrower: who owns the name below chooses it.
    let shape = PatternShape(pattern)
    let suffix = pattern.literalSuffix
    let deep = shape.front != .none || shape.labels.count > suffix.labelCount + 1
    if coverage(ofWildcardOver: suffix, deep: deep) == .publicSuffix { return .publicSuffix }
    return isHosted(pattern) ? .sharedHosting : .none
  }

  // MARK: - The rules

  /// What stands for the root in the rules.
  private static let rootKey: UInt64 = 0

  /// What stands for a name in the rules: a hash of the process's own seed, of one label after the other from the right.
  /// Ten thousand of 64 bits are never the same.
  private static func key(_ label: Span<UInt8>, below parent: UInt64) -> UInt64 {
    NameHash.mix(NameHash.ofProcess(label) ^ NameHash.mix(parent))
  }

  /// The keys of a name and of every name above it, the root's last.
  private static func keys(of name: Name) -> [UInt64] {
    var keys = [rootKey]
    for label in name.labels.reversed() { keys.append(key(label.span, below: keys[keys.count - 1])) }
    return keys.reversed()
  }

  private struct Marks: OptionSet {
    let rawValue: UInt16
    static let icann = Marks(rawValue: 1)
    static let icannWildcard = Marks(rawValue: 2)
    static let icannException = Marks(rawValue: 4)
    /// A rule lies directly below, or anywhere below.
    static let icannChild = Marks(rawValue: 8)
    static let icannBelow = Marks(rawValue: 16)
    static let hosting = Marks(rawValue: 32)
    static let hostingWildcard = Marks(rawValue: 64)
    static let hostingChild = Marks(rawValue: 128)
    static let hostingBelow = Marks(rawValue: 256)
  }

  private static let rules: [UInt64: Marks] = {
    var rules: [UInt64: Marks] = [:]
    rules.reserveCapacity(16_384)
    read(Array(icannRules.utf8), hosting: false, into: &rules)
    read(Array((privateRules + " " + moreHosting).utf8), hosting: true, into: &rules)
    return rules
  }()

  /// Reads `parent: word word`, where a word is a rule below the parent, `*`, or an exception that begins with `!`.
  ///
  /// Octets, not characters: it is done once in each process that reads a wildcard, and as text it was half of the start.
  private static func read(_ text: [UInt8], hosting: Bool, into rules: inout [UInt64: Marks]) {
    let isBlank = { (octet: UInt8) in octet == UInt8(ascii: " ") || octet == UInt8(ascii: "\n") }
    var parent = [rootKey]
    for word in text.split(whereSeparator: isBlank) {
      guard let last = parent.last else { return }
      if word.last == UInt8(ascii: ":") {
        parent = keys(of: word.dropLast(), below: [rootKey])
      } else if word.first == UInt8(ascii: "*"), word.count == 1 {
        rules[last, default: []].insert(hosting ? .hostingWildcard : .icannWildcard)
        markAncestors(of: parent, hosting, &rules)
      } else if word.first == UInt8(ascii: "!") {
        guard !hosting, let exception = keys(of: word.dropFirst(), below: parent).last else { continue }
        rules[exception, default: []].insert(.icannException)
      } else {
        let rule = keys(of: word, below: parent)
        rules[rule[rule.count - 1], default: []].insert(hosting ? .hosting : .icann)
        rules[last, default: []].insert(hosting ? .hostingChild : .icannChild)
        markAncestors(of: rule, hosting, &rules)
      }
    }
  }

  /// The keys of `parents`, which end with that of the parent, and of the labels below it.
  private static func keys(of labels: ArraySlice<UInt8>, below parents: [UInt64]) -> [UInt64] {
    var keys = parents
    for label in labels.split(separator: UInt8(ascii: ".")).reversed() {
      keys.append(key(label.span, below: keys[keys.count - 1]))
    }
    return keys
  }

  /// - Parameter keys: of the root, every name above a rule, and the rule.
  private static func markAncestors(of keys: [UInt64], _ hosting: Bool, _ rules: inout [UInt64: Marks]) {
    for key in keys.dropFirst().dropLast() { rules[key, default: []].insert(hosting ? .hostingBelow : .icannBelow) }
  }

  /// Hosting and tunnels that lend out names and are not, or not in every release, in the list.
  static let moreHosting = """
    com: trycloudflare appspot sharepoint backblazeb2 amazonaws.com: s3
    googleapis.com: storage googleusercontent.com: * cloudflarestorage.com: r2 r2.cloudflarestorage.com: *
    core.windows.net: blob file web queue table
    net: akamaized azureedge azurefd azurewebsites cloudfront fastly fastlylb edgekey edgesuite
    dev: pages workers r2 fly deno replit app: ngrok ngrok-free vercel netlify web railway
    io: github gitlab ngrok fun: oast pro: oast site: oast me: glitch serveo lt: loca sh: interact surge
    co: supabase
    """
}
