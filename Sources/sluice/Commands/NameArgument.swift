import ArgumentParser
import IPNetwork
import Settings

/// Whether what was given as a name is one: a URL or `host:port` would be looked for as it stands, and never found.
enum NameArgument {
  /// - Parameters:
  ///   - option: by which it was given; nil for an argument.
  ///   - behindAddress: whether an address with a port behind it may stand there as well.
  /// - Throws: `ValidationError` (exit 64) with what to write.
  static func check(_ text: String?, _ option: String? = nil, behindAddress: Bool = false) throws {
    guard let text, let mistaken = MistakenName(text) else { return }
    let subject = option.map { "\($0) '\(text)'" } ?? "'\(text)'"
    throw ValidationError("\(subject) \(mistaken.what); expected \(expected(mistaken, behindAddress))")
  }

  private static func expected(_ mistaken: MistakenName, _ behindAddress: Bool) -> String {
    let name = "a name such as api.example.com"
    guard let host = mistaken.host else { return name }
    guard IPAddress(host) != nil else { return "the name alone: \(host)" }
    guard behindAddress else { return name }
    return mistaken.port.map { "\(host) \($0)" } ?? host
  }
}
