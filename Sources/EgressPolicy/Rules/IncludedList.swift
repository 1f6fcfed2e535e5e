/// A list of entries that a policy document includes: its entries stand beside the document's own.
package struct IncludedList: Hashable, Sendable {
  package let name: String
  /// None in a file that says none.
  package let date: ListDate?
  /// The list's file, which stands in the locations of its rules.
  package let file: String
  /// Whether the document says its name and not its file: then a package may bring another one.
  package let isNamed: Bool
  /// What the document asks for, `github@2026-11-20`; none where it takes the list as it is.
  package let pin: ListDate?
  /// Where the document includes it.
  package let location: SourceLocation

  package init(
    name: String, date: ListDate?, file: String, isNamed: Bool, pin: ListDate?, location: SourceLocation
  ) {
    self.name = name
    self.date = date
    self.file = file
    self.isNamed = isNamed
    self.pin = pin
    self.location = location
  }

  /// `github@2026-11-20`, or the name alone.
  package var text: String { date.map { "\(name)@\($0)" } ?? name }
}

extension ServerPolicy {
  /// The list that a rule of this server comes from; nil for one of the document's own.
  package func list(of location: SourceLocation) -> IncludedList? { lists.first { $0.file == location.file } }
}
