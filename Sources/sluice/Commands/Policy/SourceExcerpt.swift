import EgressPolicy
import Foundation

/// Lines of files that findings stand at, each with a caret under the place.
struct SourceExcerpts {
  /// Findings that are shown with their line; more are a list, and no mistake that is looked at one by one.
  private static let maximumCount = 50
  /// Files of more octets are not read for it.
  private static let maximumOctets = 16 << 20
  /// Characters in front of the caret and in all; what is longer is cut.
  private static let before = 60
  private static let width = 100

  private var files: [String: [ArraySlice<UInt8>]] = [:]
  private var count = 0

  /// The line and the caret; none where the finding is of no line, or the line cannot be read.
  mutating func lines(at location: SourceLocation) -> [String] {
    guard location.line > 0, location.column > 0, count < Self.maximumCount else { return [] }
    let lines = lines(of: location.file)
    guard location.line <= lines.count else { return [] }
    count += 1
    return Self.excerpt(
      Array(String(decoding: lines[location.line - 1], as: UTF8.self).unicodeScalars), location.column)
  }

  private mutating func lines(of path: String) -> [ArraySlice<UInt8>] {
    if let known = files[path] { return known }
    var octets: [UInt8] = []
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    // What cannot be read has no excerpt; the finding says so already.
    if (attributes?[.size] as? Int).map({ $0 <= Self.maximumOctets }) ?? false {
      octets = FileManager.default.contents(atPath: path).map { Array($0) } ?? []
    }
    let lines = octets.isEmpty ? [] : octets.split(separator: 0x0A, omittingEmptySubsequences: false)
    files[path] = lines
    return lines
  }

  /// - Parameter column: counted from 1, in Unicode scalars.
  static func excerpt(_ line: [Unicode.Scalar], _ column: Int) -> [String] {
    let place = min(column - 1, line.count)
    let start = max(0, place - before)
    let end = min(line.count, start + width)
    let text = line[start..<end].map { shown($0) }.joined()
    let blank = line[start..<place].map { $0 == "\t" ? "\t" : " " }.joined()
    return ["    \(start > 0 ? "…" : "")\(text)\(end < line.count ? "…" : "")", "    \(start > 0 ? " " : "")\(blank)^"]
  }

  /// One character for each: what a terminal does not show as one stands as a question mark.
  private static func shown(_ scalar: Unicode.Scalar) -> String {
    switch scalar.properties.generalCategory {
    case .control where scalar != "\t", .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned,
      .surrogate:
      "?"
    default: String(scalar)
    }
  }
}
