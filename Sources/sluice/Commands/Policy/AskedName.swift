import ArgumentParser

/// A name as it was copied from somewhere else.
enum AskedName {
  /// - Throws: for a URL and for a host with a port, which no query asks for, with the name that is meant.
  static func check(_ text: String) throws {
    guard let host = host(in: text) else { return }
    throw ValidationError(
      "'\(text)' is a \(text.contains("://") ? "URL" : "host with a port"); expected the name alone"
        + (host.isEmpty ? "" : ": \(host)"))
  }

  /// The host of a URL, or before a port; nil for what is neither.
  private static func host(in text: String) -> String? {
    if let slashes = text.firstRange(of: "://") {
      let authority = text[slashes.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
      return String((authority.split(separator: "@").last ?? "").prefix { $0 != ":" })
    }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[1].isEmpty, parts[1].allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
    return String(parts[0])
  }
}
