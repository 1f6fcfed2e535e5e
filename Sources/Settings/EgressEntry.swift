package import EgressPolicy

/// One entry of an egress list that stands in no file, read and checked as if it did.
package enum EgressEntry {
  /// Why the entry is refused.
  package struct EntryError: Error {
    /// A sentence each.
    package let problems: [String]
  }

  /// - Parameters:
  ///   - host: a name or a pattern, as behind `host:`.
  ///   - ports: as behind `ports:`; the default when empty.
  ///   - types: as behind `types:`; the default when empty.
  ///   - until: seconds since 1970.
  ///   - name: by which the rule goes in the audit log, in place of file and line.
  /// - Returns: the rule, and what a policy file would be warned of.
  package static func rule(
    host: String, ports: [String], types: [String], until: UInt64, named name: String
  ) throws(EntryError) -> (rule: EgressRule, warnings: [String]) {
    var reader = PolicyReader()
    let entry = [("host", [host]), ("ports", ports), ("types", types)].filter { $0.0 == "host" || !$0.1.isEmpty }
    var rules = RuleList()
    do throws(Diagnostic) {
      let text = entry.map { key, values in
        let list = values.map(quoted).joined(separator: ", ")
        return "\(key): \(key == "host" || values == ["any"] ? list : "[ \(list) ]")\n"
      }
      let tree = try YAMLReader.read(Array(text.joined().utf8), name: name)
      for node in tree.documents { reader.entry(node, into: &rules) }
    } catch {
      throw EntryError(problems: [error.message])
    }
    guard let read = rules.first, reader.findings.diagnostics.allSatisfy({ $0.severity != .error }) else {
      throw EntryError(problems: reader.findings.diagnostics.map(\.message))
    }
    let rule = EgressRule(
      pattern: read.pattern, ports: read.ports, types: read.types, until: until,
      location: SourceLocation(file: name, line: 0, column: 0))
    let findings = PolicyLinter.check(rule)
    let errors = findings.filter { $0.severity == .error }
    guard errors.isEmpty else { throw EntryError(problems: errors.map(\.message)) }
    return (rule, findings.map(\.message))
  }

  /// As YAML's double-quoted form, which no octet leaves.
  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"": "\\\""
      case "\\": "\\\\"
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{FEFF}":
        "\\u" + String(repeating: "0", count: 4 - String(scalar.value, radix: 16).count)
          + String(scalar.value, radix: 16)
      default: String(scalar)
      }
    }
    return "\"\(escaped.joined())\""
  }
}
