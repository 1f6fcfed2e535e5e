import EgressPolicy
import IPNetwork

/// The lists that a document includes.
extension PolicyReader {
  /// Far above what a server needs, and a bound for what one document can have read.
  private static let maximumLists = 64

  /// Reads the entries of each list as if they stood in the document, behind its own.
  mutating func include(
    _ node: YAMLNode, into rules: inout RuleList, _ prefixes: inout [StaticPrefixRule]
  ) -> [IncludedList] {
    var included: [IncludedList] = []
    for element in findings.list(node, of: "lists such as github") ?? YAMLChildren.none(in: node) {
      guard let (list, entry) = list(element, from: node.location.file) else { continue }
      let identity = ConfigFiles.identity(of: entry.file)
      if let other = included.first(where: { ConfigFiles.identity(of: $0.file) == identity }) {
        findings.error(
          "list \(entry.name) stands already at \(other.location.full), expected once", at: element.location)
        continue
      }
      included.append(entry)
      lists.included += list.entryCount
      guard lists.included <= ListLibrary.maximumIncluded else {
        findings.error(
          "the lists of all documents have more than \(ListLibrary.maximumIncluded) entries with this one",
          at: element.location)
        continue
      }
      read(list, into: &rules, &prefixes)
    }
    if included.count > Self.maximumLists {
      findings.error("\(included.count) lists, expected at most \(Self.maximumLists)", at: node.location)
    }
    return included
  }

  private mutating func list(_ element: YAMLNode, from file: String) -> (ListFile, IncludedList)? {
    guard let text = findings.text(element, expected: ListReference.expected) else { return nil }
    let reference: ListReference
    do throws(ListReference.ReferenceError) {
      reference = try ListReference(text)
    } catch {
      findings.error(error.message, at: element.location)
      return nil
    }
    guard let list = lists.list(reference, from: file, at: element.location, &findings) else { return nil }
    var (isNamed, pin): (Bool, ListDate?) = (false, nil)
    if case .named(_, let day) = reference { (isNamed, pin) = (true, day) }
    if let pin, list.date != pin {
      findings.error(
        "list \(list.name) is of \(list.date.map { "\($0)" } ?? "no day"), expected \(pin), as \(Quoted.text(text)) says; read what "
          + "changed, and write the new day", at: element.location)
    }
    let entry = IncludedList(
      name: list.name, date: list.date, file: list.file, isNamed: isNamed, pin: pin, location: element.location)
    return (list, entry)
  }

  mutating func read(_ list: ListFile, into rules: inout RuleList, _ prefixes: inout [StaticPrefixRule]) {
    var (own, ownPrefixes): (RuleList, [StaticPrefixRule]) = ([], [])
    for entry in list.entries.elements { read(entry, into: &own, &ownPrefixes) }
    refuseRepeats(own.indices.map { ("\(own.pattern(at: $0))", own.location(at: $0)) })
    refuseRepeats(ownPrefixes.map { ("\($0.prefix)", $0.location) })
    for rule in own { rules.append(rule) }
    prefixes += ownPrefixes
  }

  /// In a list of which people read what it opens, an entry stands once.
  private mutating func refuseRepeats(_ entries: [(text: String, location: SourceLocation)]) {
    var first: [String: SourceLocation] = [:]
    for (text, location) in entries {
      if let other = first[text] {
        findings.error("\(text) stands already at \(other.full), expected once in a list", at: location)
      } else {
        first[text] = location
      }
    }
  }
}
