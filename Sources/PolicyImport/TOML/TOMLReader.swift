import EgressPolicy

/// Reads TOML 1.0 (toml.io/en/v1.0.0) strictly: what is no TOML is an error with its line, and every value has its own.
struct TOMLReader {
  /// Arrays and inline tables within each other, and tables of one header: files that people write have few.
  static let maximumDepth = 64

  let source: ImportSource
  var text: TOMLText
  private let root = TOMLTable(.header, line: 1)
  private var current: TOMLTable

  private init(_ source: ImportSource) throws(Diagnostic) {
    self.source = source
    text = TOMLText(Array(try source.text().utf8))
    current = root
  }

  /// The root table of a file.
  static func read(_ source: ImportSource) throws(Diagnostic) -> TOMLTable {
    var reader = try TOMLReader(source)
    while reader.text.skipToContent() {
      if reader.text.next == UInt8(ascii: "[") {
        try reader.header()
      } else {
        let table = reader.current
        try reader.keyAndValue(into: table, depth: 0)
      }
      try reader.endOfLine()
    }
    return reader.root
  }

  func fault(_ message: String) -> Diagnostic { .error("is no TOML: \(message)", at: source.place(text.line)) }

  private mutating func endOfLine() throws(Diagnostic) {
    text.skipBlanks()
    guard text.skipEndOfLine() else { throw fault("\(text.found) behind a value, expected the end of the line") }
  }

  // MARK: - Tables

  private mutating func header() throws(Diagnostic) {
    let line = text.line
    text.skip()
    let isArray = text.skip(UInt8(ascii: "["))
    let keys = try self.keys()
    guard text.skip(UInt8(ascii: "]")), !isArray || text.skip(UInt8(ascii: "]")) else {
      throw fault("\(text.found) in a header, expected ]")
    }
    var table = root
    for key in keys.dropLast() { table = try descend(key, from: table, .implicit, line) }
    let last = keys[keys.count - 1]
    current = isArray ? try append(last, to: table, line) : try open(last, in: table, line)
  }

  private func open(_ key: String, in table: TOMLTable, _ line: Int) throws(Diagnostic) -> TOMLTable {
    guard let value = table[key] else { return make(key, in: table, .header, line) }
    guard case .table(let found) = value.kind, found.origin == .implicit else { throw twice(key, value) }
    found.origin = .header
    return found
  }

  private func append(_ key: String, to table: TOMLTable, _ line: Int) throws(Diagnostic) -> TOMLTable {
    let new = TOMLTable(.header, line: line)
    switch table[key]?.kind {
    case nil: table.set(key, TOMLValue(kind: .tables(TOMLTables(new)), line: line))
    case .tables(let tables)?: tables.all.append(new)
    case .some: throw table[key].map { twice(key, $0) } ?? fault("a key stands twice")
    }
    return new
  }

  /// The table in a table that a header or a dotted key goes through.
  private func descend(
    _ key: String, from table: TOMLTable, _ origin: TOMLTable.Origin, _ line: Int
  ) throws(Diagnostic) -> TOMLTable {
    guard let value = table[key] else { return make(key, in: table, origin, line) }
    guard let found = value.table, found.origin != .inline, origin == .implicit || found.origin == .dotted else {
      throw twice(key, value)
    }
    return found
  }

  private func make(_ key: String, in table: TOMLTable, _ origin: TOMLTable.Origin, _ line: Int) -> TOMLTable {
    let new = TOMLTable(origin, line: line)
    table.set(key, TOMLValue(kind: .table(new), line: line))
    return new
  }

  private func twice(_ key: String, _ value: TOMLValue) -> Diagnostic {
    fault("\(CommentText.safe(CommentText.quoted(key))) is in line \(value.line) already")
  }

  // MARK: - Keys and values

  private mutating func keyAndValue(into table: TOMLTable, depth: Int) throws(Diagnostic) {
    let line = text.line
    let keys = try self.keys()
    guard text.skip(UInt8(ascii: "=")) else { throw fault("\(text.found) behind a key, expected =") }
    text.skipBlanks()
    let value = try self.value(depth: depth)
    var target = table
    for key in keys.dropLast() { target = try descend(key, from: target, .dotted, line) }
    let last = keys[keys.count - 1]
    if let other = target[last] { throw twice(last, other) }
    target.set(last, TOMLValue(kind: value.kind, line: line))
  }

  /// One key or more, with dots between them; blanks behind them are passed.
  private mutating func keys() throws(Diagnostic) -> [String] {
    var keys: [String] = []
    repeat {
      text.skipBlanks()
      guard keys.count < Self.maximumDepth else { throw fault("more than \(Self.maximumDepth) keys in one") }
      keys.append(try key())
      text.skipBlanks()
    } while text.skip(UInt8(ascii: "."))
    return keys
  }

  private mutating func key() throws(Diagnostic) -> String {
    if let quoted = try string(isKey: true) { return quoted }
    let bare = text.take { TOMLText.isBareKey($0) }
    guard !bare.isEmpty else { throw fault("\(text.found), expected a key") }
    return bare
  }

  private mutating func value(depth: Int) throws(Diagnostic) -> TOMLValue {
    let line = text.line
    guard depth < Self.maximumDepth else {
      throw fault("values within each other, more than \(Self.maximumDepth) deep")
    }
    if let string = try string(isKey: false) { return TOMLValue(kind: .string(string), line: line) }
    if text.skip(UInt8(ascii: "[")) { return TOMLValue(kind: .list(try array(depth: depth + 1)), line: line) }
    if text.skip(UInt8(ascii: "{")) { return TOMLValue(kind: .table(try inline(line, depth: depth + 1)), line: line) }
    let word = text.word()
    guard TOMLText.isWord(word) else { throw fault("\(text.found), expected a value") }
    return TOMLValue(kind: .word(word), line: line)
  }

  private mutating func array(depth: Int) throws(Diagnostic) -> [TOMLValue] {
    var values: [TOMLValue] = []
    while true {
      _ = text.skipToContent()
      if text.skip(UInt8(ascii: "]")) { return values }
      values.append(try value(depth: depth))
      _ = text.skipToContent()
      if text.skip(UInt8(ascii: "]")) { return values }
      guard text.skip(UInt8(ascii: ",")) else { throw fault("\(text.found) in an array, expected , or ]") }
    }
  }

  private mutating func inline(_ line: Int, depth: Int) throws(Diagnostic) -> TOMLTable {
    let table = TOMLTable(.header, line: line)
    text.skipBlanks()
    if !text.skip(UInt8(ascii: "}")) {
      repeat {
        try keyAndValue(into: table, depth: depth)
        text.skipBlanks()
      } while text.skip(UInt8(ascii: ","))
      guard text.skip(UInt8(ascii: "}")) else { throw fault("\(text.found) in an inline table, expected , or }") }
    }
    Self.close(table)
    return table
  }

  /// Nothing may be added to an inline table, nor to those that its dotted keys made; their depth is bounded by its keys.
  private static func close(_ table: TOMLTable) {
    table.origin = .inline
    for (_, value) in table.entries {
      if case .table(let inner) = value.kind, inner.origin == .dotted { close(inner) }
    }
  }
}
