import DNSWire
import EgressPolicy

/// What a name that was denied is, as far as names tell.
struct DeniedName {
  /// A top-level label of two letters is a country's: `example.com.au` is no search suffix behind `example.com`.
  private static let countryCode = 2

  let name: Name

  /// Nil for what no entry of a policy could list.
  init?(_ text: String) {
    guard text.contains("."), let name = Name(written: text), name.isHostname else { return nil }
    self.name = name
  }

  /// A name of a service and not of a host (RFC 2782, RFC 8552): what stands there are records of other types, and who
  /// asks for them goes on with the host where there are none.
  var isOfService: Bool { name.labels.contains { $0.first == UInt8(ascii: "_") } }

  /// The name that a resolver put a search suffix behind (RFC 1535), and the suffix; nil where no beginning of the name
  /// is a name that is `known`.
  func searched(isKnown: (Name) -> Bool) -> (name: Name, suffix: Name)? {
    let labels = name.labels
    guard labels.count > 2 else { return nil }
    for length in (2..<labels.count).reversed() {
      guard let start = Self.name(labels[..<length]), let suffix = Self.name(labels[length...]) else { continue }
      if Self.mayBeSearched(suffix), isKnown(start) { return (start, suffix) }
    }
    return nil
  }

  private static func mayBeSearched(_ suffix: Name) -> Bool {
    let labels = suffix.labels
    guard labels.count > 1 else { return labels.first.map { $0.count != countryCode } ?? false }
    return PublicSuffix.coverage(ofWildcardOver: suffix, deep: false) != .publicSuffix
  }

  private static func name(_ labels: ArraySlice<ArraySlice<UInt8>>) -> Name? {
    Name(written: labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "."))
  }

  /// The suffix of shared hosting under which the name is a tenant's.
  var sharedHosting: Name? {
    guard let suffix = PublicSuffix.registrableDomain(of: name)?.parent,
      PublicSuffix.coverage(ofWildcardOver: suffix, deep: false) == .sharedHosting
    else { return nil }
    return suffix
  }
}
