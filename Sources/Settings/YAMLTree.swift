package import EgressPolicy

/// A parsed YAML file as flat arrays in document order: 24 octets a node, so that a million names load lightly.
package final class YAMLTree: Sendable {
  enum Kind: UInt8, BitwiseCopyable, Sendable {
    case plain
    case quoted
    case sequence
    case mapping
    case alias
  }

  struct Record: BitwiseCopyable, Sendable {
    var kind: Kind
    var column: UInt16
    var line: UInt32
    /// Scalars: where the text starts. Aliases: the node meant.
    var target: UInt32
    /// Scalars: octets of the text.
    var length: UInt32
    /// The index after the last node inside this one.
    var end: UInt32
  }

  /// The file's name as diagnostics show it.
  let name: String
  let records: [Record]
  let text: [UInt8]
  /// The root nodes of the documents, empty documents left out.
  private let rootIndices: [Int]

  init(name: String, records: [Record], text: [UInt8], roots: [Int]) {
    self.name = name
    self.records = records
    self.text = text
    rootIndices = roots
  }

  /// The root of each document.
  package var documents: [YAMLNode] {
    rootIndices.map { YAMLNode(tree: self, index: $0) }.filter { !$0.isNull }
  }
}

/// A node of a `YAMLTree`; an alias reads as the node it stands for.
package struct YAMLNode {
  private let tree: YAMLTree
  private let index: Int
  /// Where the node, or the alias for it, is written.
  private let position: Int

  fileprivate init(tree: YAMLTree, index: Int) {
    self.tree = tree
    position = index
    var index = index
    // An alias never points at an alias: the reader resolves the anchor to a node that holds something.
    if tree.records[index].kind == .alias { index = Int(tree.records[index].target) }
    self.index = index
  }

  private var record: YAMLTree.Record { tree.records[index] }

  /// Where it is written; of what an alias stands for the place of the alias.
  package var location: SourceLocation {
    let record = tree.records[position]
    return SourceLocation(file: tree.name, line: Int(record.line), column: Int(record.column))
  }

  /// The text of a scalar, nil for lists and mappings.
  package var text: String? {
    guard record.kind == .plain || record.kind == .quoted else { return nil }
    let start = Int(record.target)
    return String(decoding: tree.text[start..<(start + Int(record.length))], as: UTF8.self)
  }

  /// Nothing at all, `~` or `null`.
  package var isNull: Bool {
    guard record.kind == .plain, record.length <= 4, let text else { return false }
    return text.isEmpty || text == "~" || text.lowercased() == "null"
  }

  /// Whether it is a list.
  package var isSequence: Bool { record.kind == .sequence }
  /// Whether it has keys and values.
  package var isMapping: Bool { record.kind == .mapping }

  /// What an error calls this node.
  package var summary: String {
    switch record.kind {
    case .sequence: "a list"
    case .mapping: "a mapping"
    default: isNull ? "nothing" : Quoted.text(text ?? "")
    }
  }

  /// The entries of a list.
  package var elements: YAMLChildren { YAMLChildren(tree: tree, upcoming: index + 1, end: Int(record.end)) }

  fileprivate var noChildren: YAMLChildren { YAMLChildren(tree: tree, upcoming: 0, end: 0) }

  /// The keys and values of a mapping.
  package var pairs: [(key: YAMLNode, value: YAMLNode)] {
    var pairs: [(key: YAMLNode, value: YAMLNode)] = []
    var children = YAMLChildren(tree: tree, upcoming: index + 1, end: Int(record.end))
    while let key = children.next(), let value = children.next() { pairs.append((key, value)) }
    return pairs
  }
}

/// The nodes directly inside a list or mapping, in order.
package struct YAMLChildren: Sequence, IteratorProtocol {
  fileprivate let tree: YAMLTree
  fileprivate var upcoming: Int
  fileprivate let end: Int

  /// No children, for a node that turned out to be no list.
  static func none(in node: YAMLNode) -> YAMLChildren { node.noChildren }

  /// The next one in order.
  package mutating func next() -> YAMLNode? {
    guard upcoming < end else { return nil }
    defer { upcoming = Int(tree.records[upcoming].end) }
    return YAMLNode(tree: tree, index: upcoming)
  }
}

/// How user text is quoted in a diagnostic: on one line, printable, bounded.
package enum Quoted {
  private static let limit = 80

  /// In single quotes, cut at 80 characters.
  package static func text(_ text: String) -> String {
    var quoted = "'"
    for (index, scalar) in text.unicodeScalars.enumerated() {
      if index == limit { return quoted + "…'" }
      let isControl =
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x202E).contains(scalar.value)
      quoted += isControl ? scalar.escaped(asASCII: true) : String(scalar)
    }
    return quoted + "'"
  }
}
