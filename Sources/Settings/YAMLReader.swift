import CYaml
package import EgressPolicy
import Yams

/// Reads YAML with the event parser inside Yams: its node trees cost half a kilobyte a name and hide repeated keys.
///
/// Pointers into the parser live only in this file; each is read while the event that owns it is alive.
@safe
package struct YAMLReader {
  /// Nodes that aliases may repeat in one file: a bound against expansion, far above legitimate use.
  static let maximumAliasedNodes = 1_000_000
  static let maximumOctets = 256 << 20

  private let name: String
  private var records: [YAMLTree.Record] = []
  private var text: [UInt8] = []
  private var roots: [Int] = []
  private var open: [Int] = []
  private var anchors: [String: Int] = [:]
  private var expanded: [Int: Int] = [:]
  private var aliasedNodes = 0
  private var failure: Diagnostic?

  private init(name: String) {
    self.name = name
  }

  /// The tree of `octets` (UTF-8, with or without a byte order mark), or the error that ended reading.
  package static func read(_ octets: [UInt8], name: String) throws(Diagnostic) -> YAMLTree {
    var octets = octets
    let whole = SourceLocation(file: name, line: 0, column: 0)
    guard octets.count <= maximumOctets else {
      throw .error("is \(octets.count) octets long, expected at most \(maximumOctets)", at: whole)
    }
    if octets.starts(with: [0xFE, 0xFF]) || octets.starts(with: [0xFF, 0xFE]) {
      throw .error("is UTF-16, expected UTF-8", at: whole)
    }
    if octets.starts(with: [0xEF, 0xBB, 0xBF]) { octets.removeFirst(3) }
    var reader = YAMLReader(name: name)
    reader.text.reserveCapacity(octets.count)
    reader.parse(octets)
    if let failure = reader.failure { throw failure }
    return YAMLTree(name: name, records: reader.records, text: reader.text, roots: reader.roots)
  }

  private mutating func parse(_ octets: [UInt8]) {
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else {
      return fail("cannot be read: out of memory", line: 0, column: 0)
    }
    defer { unsafe yaml_parser_delete(&parser) }
    unsafe yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
    unsafe octets.withUnsafeBufferPointer { input in
      // The buffer outlives every call of yaml_parser_parse below.
      unsafe yaml_parser_set_input_string(&parser, input.baseAddress, input.count)
      var isOver = false
      while !isOver && failure == nil {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(&parser, &event) == 1 else {
          return unsafe fail(parser, octets)
        }
        isOver = unsafe event.type == YAML_STREAM_END_EVENT
        unsafe take(event)
        unsafe yaml_event_delete(&event)
      }
    }
  }

  private mutating func take(_ event: yaml_event_t) {
    switch unsafe event.type {
    case YAML_DOCUMENT_START_EVENT:
      anchors.removeAll()
      expanded.removeAll()
    case YAML_SCALAR_EVENT: unsafe takeScalar(event)
    case YAML_SEQUENCE_START_EVENT:
      let start = unsafe event.data.sequence_start
      unsafe takeContainer(.sequence, tag: start.tag, anchor: start.anchor, event.start_mark)
    case YAML_MAPPING_START_EVENT:
      let start = unsafe event.data.mapping_start
      unsafe takeContainer(.mapping, tag: start.tag, anchor: start.anchor, event.start_mark)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
      if let container = open.popLast() { records[container].end = UInt32(records.count) }
    case YAML_ALIAS_EVENT: unsafe takeAlias(event)
    default: break
    }
  }

  private mutating func takeScalar(_ event: yaml_event_t) {
    let scalar = unsafe event.data.scalar
    let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE
    let index = unsafe add(isPlain ? .plain : .quoted, event.start_mark)
    records[index].target = UInt32(text.count)
    records[index].length = unsafe UInt32(scalar.length)
    if let value = unsafe scalar.value {
      // libyaml owns `length` octets at `value` until the event is deleted.
      unsafe text.append(contentsOf: UnsafeBufferPointer(start: value, count: scalar.length))
    }
    unsafe note(tag: scalar.tag, anchor: scalar.anchor, on: index, event.start_mark)
  }

  private mutating func takeContainer(
    _ kind: YAMLTree.Kind, tag: UnsafePointer<UInt8>?, anchor: UnsafePointer<UInt8>?, _ mark: yaml_mark_t
  ) {
    let index = add(kind, mark)
    unsafe note(tag: tag, anchor: anchor, on: index, mark)
    open.append(index)
  }

  private mutating func takeAlias(_ event: yaml_event_t) {
    let mark = unsafe event.start_mark
    guard let name = unsafe Self.string(event.data.alias.anchor) else { return }
    guard let target = anchors[name] else {
      return fail(
        "alias *\(name) has no anchor, expected &\(name) before it", line: mark.line + 1, column: mark.column + 1)
    }
    guard !open.contains(target) else {
      return fail("alias *\(name) stands inside its own anchor", line: mark.line + 1, column: mark.column + 1)
    }
    let index = add(.alias, mark)
    records[index].target = UInt32(target)
    let size = size(of: target)
    // Everything around grows by what the alias stands for.
    for container in open { expanded[container, default: 0] += size }
    aliasedNodes += size
    if aliasedNodes > Self.maximumAliasedNodes {
      fail(
        "aliases repeat more than \(Self.maximumAliasedNodes) nodes, expected them written out", line: mark.line + 1,
        column: mark.column + 1)
    }
  }

  /// The nodes below and at `index`, with what aliases among them stand for.
  private func size(of index: Int) -> Int {
    Int(records[index].end) - index + expanded[index, default: 0]
  }

  private mutating func add(_ kind: YAMLTree.Kind, _ mark: yaml_mark_t) -> Int {
    let index = records.count
    if open.isEmpty { roots.append(index) }
    records.append(
      YAMLTree.Record(
        kind: kind, column: UInt16(clamping: mark.column + 1), line: UInt32(clamping: mark.line + 1), target: 0,
        length: 0, end: UInt32(index + 1)))
    return index
  }

  private mutating func note(
    tag: UnsafePointer<UInt8>?, anchor: UnsafePointer<UInt8>?, on index: Int, _ mark: yaml_mark_t
  ) {
    if let tag = unsafe Self.string(tag) {
      fail("tag \(Quoted.text(tag)) is not understood, expected no tags", line: mark.line + 1, column: mark.column + 1)
    }
    if let anchor = unsafe Self.string(anchor) { anchors[anchor] = index }
  }

  private static func string(_ pointer: UnsafePointer<UInt8>?) -> String? {
    // libyaml ends its names with a NUL octet.
    unsafe pointer.map { unsafe String(cString: $0) }
  }

  private mutating func fail(_ parser: yaml_parser_t, _ octets: [UInt8]) {
    let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "out of memory"
    guard unsafe parser.error == YAML_READER_ERROR else {
      let context = unsafe parser.context.map { unsafe String(cString: $0) + ": " } ?? ""
      let mark = unsafe parser.problem_mark
      // An author who writes `- *.example.com` does not mean an alias (YAML 1.1 section 7.1).
      let hint =
        context.contains("alias")
        ? "; a name that begins with '*' needs quotes"
        : Self.isIndentedByTab(octets, line: mark.line)
          ? "; a tab stands before the text of this line, where YAML takes spaces alone" : ""
      return fail("is not YAML: \(context)\(problem)\(hint)", line: mark.line + 1, column: mark.column + 1)
    }
    let before = unsafe octets.prefix(Int(parser.problem_offset))
    let line = before.count { $0 == 0x0A } + 1
    let column = before.count - (before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0) + 1
    fail("is not readable text: \(problem), expected UTF-8 without control characters", line: line, column: column)
  }

  /// Whether a tab stands before the text of a line, or of the element of a list.
  ///
  /// - Parameter line: counted from 0.
  private static func isIndentedByTab(_ octets: [UInt8], line: Int) -> Bool {
    let lines = octets.split(separator: 0x0A, maxSplits: line + 1, omittingEmptySubsequences: false)
    guard line < lines.count else { return false }
    return lines[line].prefix { $0 == 0x20 || $0 == 0x09 || $0 == 0x2D }.contains(0x09)
  }

  private mutating func fail(_ message: String, line: Int, column: Int) {
    if failure == nil { failure = .error(message, at: SourceLocation(file: name, line: line, column: column)) }
  }
}
