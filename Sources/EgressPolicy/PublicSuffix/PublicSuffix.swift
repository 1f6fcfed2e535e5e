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
    let labels = labels(of: suffix)
    guard labels.count > 1 else { return .publicSuffix }
    let marks = rules[labels.joined(separator: ".")] ?? []
    let parent = rules[labels.dropFirst().joined(separator: ".")] ?? []
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
    let labels = labels(of: name)
    var start = labels.count - 1
    for index in labels.indices where isSuffix(labels[index...]) {
      start = index
      break
    }
    guard start > 0 else { return nil }
    return (1..<start).reduce(name) { domain, _ in domain.parent ?? domain }
  }

  private static func isSuffix(_ labels: ArraySlice<String>) -> Bool {
    let marks = rules[labels.joined(separator: ".")] ?? []
    if marks.contains(.icannException) { return false }
    let parent = rules[labels.dropFirst().joined(separator: ".")] ?? []
    return marks.contains(.icann) || marks.contains(.hosting) || parent.contains(.icannWildcard)
      || parent.contains(.hostingWildcard)
  }

  private static func labels(of name: Name) -> [String] {
    name == .root ? [] : name.description.split(separator: ".").map(String.init)
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

  private static let rules: [String: Marks] = {
    var rules: [String: Marks] = [:]
    read(icannRules, hosting: false, into: &rules)
    read(privateRules + " " + moreHosting, hosting: true, into: &rules)
    return rules
  }()

  private static func read(_ text: String, hosting: Bool, into rules: inout [String: Marks]) {
    var parent = ""
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      if word.hasSuffix(":") {
        parent = String(word.dropLast())
      } else if word == "*" {
        rules[parent, default: []].insert(hosting ? .hostingWildcard : .icannWildcard)
        markAncestors(of: parent, hosting, &rules)
      } else if word.hasPrefix("!") {
        if !hosting { rules["\(word.dropFirst()).\(parent)", default: []].insert(.icannException) }
      } else {
        rules["\(word).\(parent)", default: []].insert(hosting ? .hosting : .icann)
        rules[parent, default: []].insert(hosting ? .hostingChild : .icannChild)
        markAncestors(of: "\(word).\(parent)", hosting, &rules)
      }
    }
  }

  private static func markAncestors(of rule: String, _ hosting: Bool, _ rules: inout [String: Marks]) {
    var rest = Substring(rule)
    while let dot = rest.firstIndex(of: ".") {
      rest = rest[rest.index(after: dot)...]
      rules[String(rest), default: []].insert(hosting ? .hostingBelow : .icannBelow)
    }
  }

  /// Hosting and tunnels that lend out names and are not, or not in every release, in the list.
  private static let moreHosting = """
    com: trycloudflare appspot sharepoint backblazeb2 amazonaws.com: s3
    googleapis.com: storage googleusercontent.com: * cloudflarestorage.com: r2 r2.cloudflarestorage.com: *
    core.windows.net: blob file web queue table
    net: akamaized azureedge azurefd azurewebsites cloudfront fastly fastlylb edgekey edgesuite
    dev: pages workers r2 fly deno replit app: ngrok ngrok-free vercel netlify web railway
    io: github gitlab ngrok fun: oast pro: oast site: oast me: glitch serveo lt: loca sh: interact surge
    co: supabase
    """
}
