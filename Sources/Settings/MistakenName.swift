package import EgressPolicy
import IPNetwork

/// A text that stands where the name of a host is expected, and holds more than that: a URL, a port, a path, a user.
package struct MistakenName: Equatable {
  /// What follows the text: `is a URL`.
  package let what: String
  /// The name, or the address, in it; nil where there is none.
  package let host: String?
  /// The port behind it, where there is one.
  package let port: PortRule?

  /// Nil for what can be a name. One with a backslash is written with escapes, and may hold anything.
  package init?(_ text: String) {
    guard !text.utf8.contains(0x5C), text.contains(where: { "/:@,".contains($0) || $0.isWhitespace }),
      let form = PastedForm.of(text)
    else { return nil }
    what = form.what
    var rest = text.drop { $0.isWhitespace }.prefix { !$0.isWhitespace && $0 != "," }
    if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
    rest = rest.drop { $0 == "/" }.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    if let at = rest.lastIndex(of: "@") { rest = rest[rest.index(after: at)...] }
    var number: Substring?
    // An IPv6 address without brackets has colons of its own.
    if IPAddress(rest) == nil, let colon = rest.lastIndex(of: ":") {
      number = rest[rest.index(after: colon)...]
      rest = rest[..<colon]
    }
    if rest.hasPrefix("["), rest.hasSuffix("]") { rest = rest.dropFirst().dropLast() }
    host = Self.isHost(rest) ? String(rest) : nil
    port = number.flatMap { PortRule("\($0)/tcp") }
  }

  private static func isHost(_ text: Substring) -> Bool {
    if IPAddress(text) != nil { return true }
    do {
      return try NamePattern(InternationalName.toASCII(String(text))).kind == .exact
    } catch {
      return false
    }
  }
}
