/// A value of a TOML file and the line that it begins on.
struct TOMLValue {
  enum Kind {
    case string(String)
    /// A number, a boolean, a date or a time as it is written.
    case word(String)
    case list([TOMLValue])
    case table(TOMLTable)
    case tables(TOMLTables)
  }

  let kind: Kind
  let line: Int

  /// A string, or a word as it is written.
  var text: String? {
    switch kind {
    case .string(let text), .word(let text): text
    case .list, .table, .tables: nil
    }
  }

  var list: [TOMLValue]? {
    guard case .list(let values) = kind else { return nil }
    return values
  }

  /// A table; of an array of tables the last one, which headers go on in.
  var table: TOMLTable? {
    switch kind {
    case .table(let table): table
    case .tables(let tables): tables.all.last
    case .string, .word, .list: nil
    }
  }
}

/// An array of tables (`[[name]]`), which grows as the file goes on.
final class TOMLTables {
  var all: [TOMLTable]

  init(_ first: TOMLTable) {
    all = [first]
  }
}

/// A table of a TOML file, its keys in the order of the file.
final class TOMLTable {
  /// What made it, which says what may add to it.
  enum Origin {
    /// A header of its own.
    case header
    /// A header of a table in it.
    case implicit
    /// A dotted key.
    case dotted
    /// Braces: nothing may be added.
    case inline
  }

  var origin: Origin
  let line: Int
  private(set) var entries: [(key: String, value: TOMLValue)] = []
  private var indexes: [String: Int] = [:]

  init(_ origin: Origin, line: Int) {
    self.origin = origin
    self.line = line
  }

  subscript(key: String) -> TOMLValue? { indexes[key].map { entries[$0].value } }

  func set(_ key: String, _ value: TOMLValue) {
    if let index = indexes[key] {
      entries[index].value = value
    } else {
      indexes[key] = entries.count
      entries.append((key, value))
    }
  }
}
