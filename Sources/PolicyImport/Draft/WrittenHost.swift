import EgressPolicy
import IPNetwork
import Settings

/// A host as lists have it: `https://api.example.com:8443/v1`, `10.0.0.0/8`, `[2001:db8::1]:443`, `db.example.com:5432/tcp`.
struct WrittenHost {
  /// What stands behind the colon.
  enum Port: Equatable {
    case one(PortRule)
    /// `*`.
    case any
    case wrong(Substring)
  }

  let scheme: Substring?
  /// The name, pattern, address or network.
  let host: String
  let port: Port?
  /// More than `/` behind the host, its query included.
  let path: Substring

  init(_ text: some StringProtocol) {
    var rest = Self.trimmed(Substring(text))
    if Self.network(rest) != nil {
      (scheme, host, port, path) = (nil, String(rest), nil, "")
      return
    }
    if let slashes = rest.firstRange(of: "://") {
      scheme = rest[..<slashes.lowerBound]
      rest = rest[slashes.upperBound...]
    } else {
      scheme = nil
    }
    var authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    var path = rest[authority.endIndex...]
    if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
    let (host, number) = Self.split(authority)
    var transport: PortRule.Transport?
    if number != nil, path == "/tcp" || path == "/udp" {
      transport = path == "/tcp" ? .tcp : .udp
      path = ""
    }
    self.host = String(host)
    port = number.map { Self.port($0, transport ?? .tcp) }
    self.path = path == "/" ? "" : path
  }

  /// The port that is meant: the one written, or that of the scheme.
  var meantPort: Port? { port ?? scheme.flatMap { PastedForm.port(ofService: $0).map { .one($0) } } }

  /// The network that a text is, an address being one of its own.
  static func network(_ text: some StringProtocol) -> IPPrefix? {
    let bare = text.hasPrefix("[") && text.hasSuffix("]") ? text.dropFirst().dropLast() : text[...]
    if let prefix = IPPrefix(bare) { return prefix }
    do {
      return try IPPrefix.parse(bare)
    } catch .hostBits(let meant) {
      return meant
    } catch {
      return nil
    }
  }

  /// Without blanks around it.
  static func trimmed(_ text: Substring) -> Substring {
    var text = text.drop { $0.isWhitespace }
    while text.last?.isWhitespace == true { text = text.dropLast() }
    return text
  }

  private static func split(_ authority: Substring) -> (host: Substring, port: Substring?) {
    if IPAddress(authority) != nil { return (authority, nil) }
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
      let rest = authority[authority.index(after: end)...]
      return (
        authority[authority.index(after: authority.startIndex)..<end], rest.hasPrefix(":") ? rest.dropFirst() : nil
      )
    }
    guard let colon = authority.lastIndex(of: ":") else { return (authority, nil) }
    return (authority[..<colon], authority[authority.index(after: colon)...])
  }

  private static func port(_ text: Substring, _ transport: PortRule.Transport) -> Port {
    if text == "*" { return .any }
    return PortRule("\(text)/\(transport.name)").map { .one($0) } ?? .wrong(text)
  }
}
