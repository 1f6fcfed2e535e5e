package import EgressPolicy

/// A file with a list as it is written: what it says of itself, and its entries, not read yet.
package struct ListFile {
  package let name: String
  package let date: ListDate?
  /// Where its entries were taken from.
  package let source: String?
  /// What it is for, in a sentence.
  package let purpose: String?
  package let file: String
  /// All of the file.
  package let octets: [UInt8]
  package let entryCount: Int
  /// The list `egress`.
  let entries: YAMLNode
}

/// Reads files with lists.
enum ListReader {
  private static let keys = ["list", "date", "source", "for", "egress"]
  /// More is no list that anybody reads; names by the thousand stand in a policy document.
  static let maximumEntries = 10_000

  /// Whether a document is a list, and no policy.
  static func isList(_ document: YAMLNode) -> Bool {
    guard document.isMapping else { return false }
    let keys = document.pairs.compactMap(\.key.text)
    return keys.contains("list") && !keys.contains("server")
  }

  /// - Parameters:
  ///   - expectedName: which its file's name says; such a list has to say of what day it is, whence, and what for. Nil where any
  ///     will do.
  /// - Returns: nil where what is wrong, which `findings` are told, leaves nothing to read.
  static func read(
    _ octets: [UInt8], file: String, expectedName: String?, _ findings: inout FieldReader
  ) throws(Diagnostic) -> ListFile? {
    let documents = try YAMLReader.read(octets, name: file).documents
    guard let root = documents.first else {
      throw .error("is empty, expected a list", at: SourceLocation(file: file, line: 0, column: 0))
    }
    if documents.count > 1 {
      findings.error("a second document begins here, expected one list in a file", at: documents[1].location)
    }
    if let other = root.pairs(when: root.isMapping).first(where: { ["server", "networks"].contains($0.key.text) }) {
      findings.error(
        "is a policy document, expected a list: a mapping with \(keys.joined(separator: ", "))", at: other.key.location)
      return nil
    }
    if let nested = root.pairs(when: root.isMapping).first(where: { $0.key.text == "include" }) {
      findings.error("a list includes no other one, expected its entries under 'egress'", at: nested.key.location)
      return nil
    }
    let fields = findings.fields(root, of: "a list", keys: keys)
    guard root.isMapping else { return nil }
    for key in expectedName == nil ? ["list", "egress"] : keys where fields[key] == nil {
      findings.error("key '\(key)' is missing, expected \(meaning[key] ?? key)", at: root.location)
    }
    let name = fields["list"].flatMap { self.name($0, expectedName, &findings) }
    let date = fields["date"].flatMap { self.date($0, &findings) }
    let source = fields["source"].flatMap { findings.text($0, expected: meaning["source"] ?? "") }
    let purpose = fields["for"].flatMap { findings.text($0, expected: meaning["for"] ?? "") }
    guard let name, let entries = fields["egress"], let elements = findings.list(entries, of: "names") else {
      return nil
    }
    let count = elements.reduce(0) { count, _ in count + 1 }
    guard count <= maximumEntries else {
      findings.error("\(count) entries, expected at most \(maximumEntries)", at: entries.location)
      return nil
    }
    return ListFile(
      name: name, date: date, source: source, purpose: purpose, file: file, octets: octets, entryCount: count,
      entries: entries)
  }

  private static let meaning = [
    "list": "the list's name", "date": "the day of which it is such as 2026-11-20",
    "source": "where its entries were taken from", "for": "what it is for, in a sentence",
    "egress": "a list of names ([] for none)",
  ]

  private static func name(_ node: YAMLNode, _ expected: String?, _ findings: inout FieldReader) -> String? {
    let wanted = expected ?? "a name of a-z, 0-9 and '-' that begins with a letter"
    guard let text = findings.text(node, expected: wanted) else { return nil }
    guard ListReference.isName(text), expected == nil || text == expected else {
      findings.reject(node, expected: expected.map { "\($0), as its file is called" } ?? wanted)
      return nil
    }
    return text
  }

  private static func date(_ node: YAMLNode, _ findings: inout FieldReader) -> ListDate? {
    let expected = "a day such as 2026-11-20"
    guard let text = findings.text(node, expected: expected) else { return nil }
    guard let date = ListDate(text) else {
      findings.reject(node, expected: expected)
      return nil
    }
    return date
  }
}

extension YAMLNode {
  fileprivate func pairs(when isMapping: Bool) -> [(key: YAMLNode, value: YAMLNode)] { isMapping ? pairs : [] }
}
