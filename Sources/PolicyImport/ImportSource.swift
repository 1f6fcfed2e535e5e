import EgressPolicy
import Settings

/// One file that is imported.
package struct ImportSource: Sendable {
  /// Octets of one file: a list of a million names has thirty.
  package static let maximumOctets = 64 << 20

  /// As findings and comments have it.
  package let name: String
  package let octets: [UInt8]

  package init(name: String, octets: [UInt8]) {
    self.name = name
    self.octets = octets
  }

  /// A place in the file; line 0 is the file as a whole.
  func place(_ line: Int, _ column: Int = 1) -> SourceLocation {
    SourceLocation(file: name, line: line, column: line == 0 ? 0 : column)
  }

  /// The documents in it, which are YAML or JSON; what begins behind a byte order mark, too.
  func documents() throws(Diagnostic) -> [YAMLNode] {
    let documents = try YAMLReader.read(octets, name: name).documents
    guard !documents.isEmpty else { throw .error("holds nothing", at: place(0)) }
    return documents
  }

  /// The text of it, of which each octet is UTF-8 and none is NUL.
  func text() throws(Diagnostic) -> String {
    var octets = octets[...]
    if octets.starts(with: [0xEF, 0xBB, 0xBF]) { octets = octets.dropFirst(3) }
    let nul = octets.firstIndex(of: 0)
    guard nul == nil, let text = String(validating: octets, as: UTF8.self) else {
      let line = nul.map { octets[..<$0].count { $0 == 0x0A } + 1 } ?? Self.faultyLine(octets)
      throw .error("is no text: binary octets begin in this line, expected UTF-8", at: place(line))
    }
    return text
  }

  /// The lines of it without their ends, and their numbers.
  func lines() throws(Diagnostic) -> [(number: Int, text: Substring)] {
    // By octets: a line's end of two is one character, and no end.
    let text = try text()
    return text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated().map { index, line in
      (index + 1, Substring(line.last == 0x0D ? line.dropLast() : line))
    }
  }

  private static func faultyLine(_ octets: ArraySlice<UInt8>) -> Int {
    let lines = octets.split(separator: 0x0A, omittingEmptySubsequences: false)
    return (lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0) + 1
  }
}
