import EgressPolicy

/// Collects findings while nodes are turned into values; nothing is thrown, so that one run finds everything.
struct FieldReader {
  private(set) var diagnostics: [Diagnostic] = []

  mutating func error(_ message: String, at location: SourceLocation) {
    diagnostics.append(.error(message, at: location))
  }

  mutating func warning(_ message: String, at location: SourceLocation) {
    diagnostics.append(.warning(message, at: location))
  }

  mutating func add(_ findings: [Diagnostic]) {
    diagnostics += findings
  }

  /// "'x' is wrong, expected y", with the node's own text.
  mutating func reject(_ node: YAMLNode, expected: String) {
    error("\(node.summary) found, expected \(expected)", at: node.location)
  }

  /// The values of a mapping by key; unknown and repeated keys are errors.
  mutating func fields(_ node: YAMLNode, of whole: String, keys: [String]) -> [String: YAMLNode] {
    guard node.isMapping else {
      reject(node, expected: "\(whole): a mapping with \(keys.joined(separator: ", "))")
      return [:]
    }
    var fields: [String: YAMLNode] = [:]
    var locations: [String: SourceLocation] = [:]
    for (key, value) in node.pairs {
      guard let name = key.text else {
        reject(key, expected: "a key of \(whole)")
        continue
      }
      if let location = locations[name] {
        error("key \(Quoted.text(name)) stands already at \(location.full), expected once", at: key.location)
      } else if keys.contains(name) {
        fields[name] = value
        locations[name] = key.location
      } else {
        error(unknownKey(name, of: whole, keys), at: key.location)
      }
    }
    return fields
  }

  private func unknownKey(_ name: String, of whole: String, _ keys: [String]) -> String {
    let start = "unknown key \(Quoted.text(name)) in \(whole)"
    guard let nearest = EditDistance.nearest(to: name, among: keys) else {
      return "\(start), expected one of \(keys.joined(separator: ", "))"
    }
    return "\(start), did you mean '\(nearest)'?"
  }

  /// The entries of a list; anything else is an error and reads as nil.
  mutating func list(_ node: YAMLNode, of what: String) -> YAMLChildren? {
    guard node.isSequence else {
      reject(node, expected: "a list of \(what) ([] for none)")
      return nil
    }
    return node.elements
  }

  /// A scalar that holds something.
  mutating func text(_ node: YAMLNode, expected: String) -> String? {
    guard let text = node.text, !node.isNull, !text.isEmpty else {
      reject(node, expected: expected)
      return nil
    }
    return text
  }

  /// One of a few words; `no`, `false` and `off` are one word to YAML 1.1, and so they are here.
  mutating func word<Word: RawRepresentable<String>>(_ node: YAMLNode, _ words: [Word]) -> Word? {
    let expected = words.map(\.rawValue).joined(separator: ", ")
    guard let text = text(node, expected: "one of \(expected)")?.lowercased() else { return nil }
    let known = words.map(\.rawValue)
    let isNo = Self.noWords.contains(text)
    let match = known.firstIndex(of: text) ?? (isNo ? known.firstIndex { $0 == "off" || $0 == "none" } : nil)
    guard let match else {
      reject(node, expected: "one of \(expected)")
      return nil
    }
    return words[match]
  }

  /// Which chains of CNAMEs an answer may have.
  mutating func chains(_ node: YAMLNode) -> ChainPolicy? { word(node, ChainPolicy.allCases) }

  private static let noWords: Set<String> = ["no", "off", "false", "none", "n"]
  private static let yesWords: Set<String> = ["yes", "on", "true", "y"]

  /// `on` or `off`, in any of YAML's spellings, quoted or not.
  mutating func boolean(_ node: YAMLNode) -> Bool? {
    let expected = "on or off"
    guard let text = text(node, expected: expected)?.lowercased() else { return nil }
    if Self.yesWords.contains(text) { return true }
    if Self.noWords.contains(text) { return false }
    reject(node, expected: expected)
    return nil
  }

  /// Whether the node is `off`, in any of YAML's spellings.
  func isOff(_ node: YAMLNode) -> Bool { node.text.map { Self.noWords.contains($0.lowercased()) } ?? false }

  /// A duration in whole seconds, or `off`, which reads as an inner nil; an outer nil is an error.
  mutating func secondsOrOff(_ node: YAMLNode, in range: ClosedRange<Int>) -> Int?? {
    if isOff(node) { return .some(nil) }
    let expected =
      "off, or a duration from \(Quantity.duration(range.lowerBound * 1000)) to "
      + Quantity.duration(range.upperBound * 1000)
    guard let text = text(node, expected: expected) else { return nil }
    guard let value = Quantity.milliseconds(text), value % 1000 == 0, range.contains(value / 1000) else {
      reject(node, expected: "\(expected), such as 30s, 5m or 1h")
      return nil
    }
    return .some(value / 1000)
  }

  /// Seconds since 1970.
  mutating func time(_ node: YAMLNode) -> UInt64? {
    let expected = "a time such as 2026-12-31T18:00:00Z, or a date such as 2026-12-31, from 1970 on"
    guard let text = text(node, expected: expected) else { return nil }
    guard let time = PolicyTime.parse(text) else {
      reject(node, expected: expected)
      return nil
    }
    return time
  }

  mutating func integer(_ node: YAMLNode, in range: ClosedRange<Int>) -> Int? {
    let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
    guard let text = text(node, expected: expected) else { return nil }
    guard let value = Quantity.integer(text), range.contains(value) else {
      reject(node, expected: expected)
      return nil
    }
    return value
  }

  /// A duration in milliseconds.
  mutating func milliseconds(_ node: YAMLNode, in range: ClosedRange<Int>) -> Int? {
    let expected = "a duration from \(Quantity.duration(range.lowerBound)) to \(Quantity.duration(range.upperBound))"
    guard let text = text(node, expected: expected) else { return nil }
    guard let value = Quantity.milliseconds(text), range.contains(value) else {
      reject(node, expected: "\(expected), such as 250ms, 5s, 30m or 1h")
      return nil
    }
    return value
  }

  /// A duration in whole seconds.
  mutating func seconds(_ node: YAMLNode, in range: ClosedRange<Int>) -> Int? {
    guard let value = milliseconds(node, in: (range.lowerBound * 1000)...(range.upperBound * 1000)) else { return nil }
    guard value % 1000 == 0 else {
      reject(node, expected: "whole seconds")
      return nil
    }
    return value / 1000
  }

  mutating func octets(_ node: YAMLNode, in range: ClosedRange<Int>) -> Int? {
    let expected = "a size from \(Quantity.size(range.lowerBound)) to \(Quantity.size(range.upperBound))"
    guard let text = text(node, expected: expected) else { return nil }
    guard let value = Quantity.octets(text), range.contains(value) else {
      reject(node, expected: "\(expected), such as 512KiB, 64MiB or 1GiB")
      return nil
    }
    return value
  }
}
