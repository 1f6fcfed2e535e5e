import EgressPolicy
import Settings

extension YAMLNode {
  /// Merges of merges that are followed: what people write has one or two.
  private static let maximumMerges = 8

  /// The value of a key, the last one where it is repeated; one of a mapping that is merged in (`<<`) where it has none itself.
  subscript(key: String) -> YAMLNode? { value(of: key, depth: Self.maximumMerges) }

  /// The value of the first of some spellings of a key.
  func first(_ keys: String...) -> YAMLNode? { keys.lazy.compactMap { self[$0] }.first }

  private func value(of key: String, depth: Int) -> YAMLNode? {
    guard isMapping else { return nil }
    let pairs = pairs
    if let own = pairs.last(where: { $0.key.text == key })?.value { return own }
    guard depth > 0 else { return nil }
    for merged in pairs.lazy.filter({ $0.key.text == "<<" }).map(\.value) {
      for base in merged.isSequence ? Array(merged.elements) : [merged] {
        if let found = base.value(of: key, depth: depth - 1) { return found }
      }
    }
    return nil
  }

  /// The text of a scalar that says something.
  var word: String? {
    guard let text, !isNull, !text.isEmpty else { return nil }
    return text
  }

  /// Whether it is `true`, in any of YAML's spellings.
  var isTrue: Bool { text.map { ["true", "yes", "on", "y"].contains($0.lowercased()) } ?? false }

  /// Whether it is `false`, in any of YAML's spellings.
  var isFalse: Bool { text.map { ["false", "no", "off", "n"].contains($0.lowercased()) } ?? false }

  /// The entries of a list, or a text as the only one; nothing of null.
  ///
  /// - Throws: an entry that is no text.
  func words(of what: String) throws(Diagnostic) -> [YAMLNode] {
    if isNull { return [] }
    if !isSequence, word != nil { return [self] }
    guard isSequence else { throw .error("\(summary) found, expected a list of \(what)", at: location) }
    let entries = Array(elements)
    for entry in entries where entry.word == nil {
      throw .error("\(entry.summary) found, expected one of \(what)", at: entry.location)
    }
    return entries
  }

  /// The mapping that it is.
  func mapping(_ what: String) throws(Diagnostic) -> YAMLNode {
    guard isMapping else { throw .error("\(summary) found, expected \(what)", at: location) }
    return self
  }
}

/// Visits the mappings of documents, each with the name that it goes by: that of its `name:`, of one around it, or its key.
struct NamedMappings {
  struct Visit {
    let node: YAMLNode
    let name: String?
    /// Its key in the mapping around it.
    let key: String?
  }

  private struct Pending {
    let node: YAMLNode
    let name: String?
    /// `name` stood in a `name:`.
    let isNamed: Bool
    let key: String?
  }

  /// Keys below which a `name:` is of something else than the server.
  private let closed: Set<String>

  init(namesEndAt closed: Set<String> = []) {
    self.closed = closed
  }

  /// In the order in which they are written; iterative, so that no nesting is too deep.
  func visit(_ documents: [YAMLNode], _ body: (Visit) throws(Diagnostic) -> Void) throws(Diagnostic) {
    var pending = documents.reversed().map { Pending(node: $0, name: nil, isNamed: false, key: nil) }
    while let next = pending.popLast() {
      if next.node.isSequence {
        pending += next.node.elements.map {
          Pending(node: $0, name: next.name, isNamed: next.isNamed, key: next.key)
        }.reversed()
      } else if next.node.isMapping {
        try visit(next, &pending, body)
      }
    }
  }

  private func visit(
    _ next: Pending, _ pending: inout [Pending], _ body: (Visit) throws(Diagnostic) -> Void
  ) throws(Diagnostic) {
    let isClosed = next.key.map { closed.contains($0) } ?? false
    let own = isClosed ? nil : next.node["name"]?.word ?? next.node["metadata"]?["name"]?.word
    let name = own ?? (next.isNamed || isClosed ? next.name : next.key ?? next.name)
    let isNamed = own != nil || next.isNamed || isClosed
    try body(Visit(node: next.node, name: name, key: next.key))
    pending += next.node.pairs.reversed().map { key, value in
      Pending(node: value, name: name, isNamed: isNamed, key: key.text)
    }
  }
}
