import EgressPolicy
import Settings

/// What names and `*` mean in a source's tool. `Documentation/import.md` has them as a table.
struct NameMeaning: Sendable {
  /// How many labels stand in front of what follows.
  enum Reach: Sendable {
    case one
    case oneOrMore
    case zeroOrMore
  }

  /// `*` anywhere but as the whole first label.
  enum Inner: Sendable {
    /// It is no wildcard there.
    case none
    /// A whole label, which it stands for.
    case label
    /// Any octets, or none; `dots` among them where it is no matter of labels.
    case octets(dots: Bool)
    /// As Sluice reads it.
    case own
  }

  private static let mark = UInt8(ascii: "*")

  /// `example.com` is the names below it as well.
  var isPlainWide = false
  /// `*.example.com`; nil where it is no wildcard.
  var star: Reach?
  /// `**.example.com`.
  var stars: Reach?
  /// `.example.com`.
  var dot: Reach?
  var inner = Inner.none
  /// A host without a port is open on every one there.
  var opensEveryPort = true
  /// The tool, as refusals have it.
  var tool: String

  /// The patterns of Sluice that match what `text` does there; of a denial, what they leave out is refused: it would be open here.
  ///
  /// - Returns: and what they leave out or add; no patterns where it cannot be said.
  func patterns(of text: String, isDenied: Bool) -> (patterns: [NamePattern], remarks: [ImportRemark]) {
    let name: String
    do {
      name = try InternationalName.toASCII(text)
    } catch {
      return ([], [ImportRemark(kind: .refused, text: error.reason)])
    }
    guard let (front, rest) = split(name) else { return ([], [unknown(text)]) }
    guard rest.utf8.contains(Self.mark) else { return single(Self.written(front, rest), from: text) }
    let (patterns, remarks) = inside(front, rest, from: text)
    guard isDenied, !patterns.isEmpty else { return (patterns, remarks) }
    let open = remarks.map { ImportRemark(kind: .refused, text: "\($0.text); those it denies there and not here") }
    return (patterns, open)
  }

  /// The wildcard in front, nil for none, and what follows it; nil where the tool knows no such one.
  private func split(_ name: String) -> (front: Reach?, rest: String)? {
    if name.hasPrefix("**.") { return stars.map { ($0, String(name.dropFirst(3))) } }
    if name.hasPrefix("*.") { return star.map { ($0, String(name.dropFirst(2))) } }
    if name.hasPrefix(".") { return dot.map { ($0, String(name.dropFirst())) } }
    return (isPlainWide && !name.utf8.contains(Self.mark) ? .zeroOrMore : nil, name)
  }

  private static func written(_ front: Reach?, _ rest: String) -> String {
    switch front {
    case nil: rest
    case .one: "*." + rest
    case .oneOrMore: "**." + rest
    case .zeroOrMore: "." + rest
    }
  }

  private func inside(
    _ front: Reach?, _ rest: String, from text: String
  ) -> (patterns: [NamePattern], remarks: [ImportRemark]) {
    let labels = rest.split(separator: ".", omittingEmptySubsequences: false)
    switch inner {
    case .none: return ([], [unknown(text)])
    case .own: return single(Self.written(front, rest), from: text)
    case .label:
      guard labels.allSatisfy({ $0 == "*" || !$0.utf8.contains(Self.mark) }) else {
        return ([], [unknown(text)])
      }
      return single(Self.written(front, rest), from: text)
    case .octets(let dots): return octets(front, labels, dots, from: text)
    }
  }

  /// Labels of one pattern in which `*` may stand for nothing: each doubles what is written.
  private static let maximumEmpty = 3

  /// `*` is one octet or more to Sluice: where it may be none, the name without it is a pattern of its own.
  private func octets(
    _ front: Reach?, _ labels: [Substring], _ dots: Bool, from text: String
  ) -> (patterns: [NamePattern], remarks: [ImportRemark]) {
    var (all, remarks) = single(Self.written(front, labels.joined(separator: ".")), from: text)
    guard !all.isEmpty else { return (all, remarks) }
    let parts = labels.indices.filter { labels[$0].utf8.contains(Self.mark) && labels[$0] != "*" }
    var variants = [labels]
    for index in parts.prefix(Self.maximumEmpty) {
      let short = labels[index].filter { $0 != "*" }
      // No host's label begins or ends with a hyphen.
      guard !short.hasPrefix("-"), !short.hasSuffix("-") else { continue }
      variants += variants.map { variant in
        var variant = variant
        variant[index] = Substring(short)
        return variant
      }
    }
    for variant in variants.dropFirst() {
      all += single(Self.written(front, variant.joined(separator: ".")), from: text).patterns
    }
    if parts.count > Self.maximumEmpty {
      remarks.append(ImportRemark(kind: .lost, text: "names in which more than three of its * stand for nothing"))
    }
    if dots {
      remarks.append(
        ImportRemark(kind: .lost, text: "names in which * holds a dot: here it is one label or a part of one"))
    }
    return (all, remarks)
  }

  private func single(_ name: String, from text: String) -> (patterns: [NamePattern], remarks: [ImportRemark]) {
    do {
      return ([try NamePattern(name)], [])
    } catch {
      let form = PastedForm.of(text)
      let hint = form.map { "\($0.what), expected \($0.instead)" }
      return ([], [ImportRemark(kind: .refused, text: hint ?? error.reason)])
    }
  }

  private func unknown(_ text: String) -> ImportRemark {
    ImportRemark(kind: .refused, text: "\(tool) knows no wildcard written like this")
  }
}
