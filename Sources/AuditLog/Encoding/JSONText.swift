/// The few pieces of JSON that the output of commands is made of (RFC 8259).
package enum JSONText {
  /// A JSON string.
  package static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..."\u{1F}", "\u{7F}", "\u{2028}", "\u{2029}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// An array of JSON strings.
  package static func list(_ items: [String]) -> String {
    "[" + items.map(quoted).joined(separator: ",") + "]"
  }
}
