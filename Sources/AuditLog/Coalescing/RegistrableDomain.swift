import DNSWire

/// Where the registrable domain of a name begins, by a rule short enough to carry: the last two labels, or three when
/// the second-level label is one under which countries register (`co.uk`, `com.au`).
///
/// It only groups a flood in the log and never decides what is allowed, so an approximation is enough; for that, see
/// the public suffix list of the policy.
enum RegistrableDomain {
  private static let secondLevels: [[UInt8]] = ["co", "com", "net", "org", "gov", "edu", "ac", "ne", "or", "go", "gob"]
    .map { Array($0.utf8) }

  /// The offset of the domain in a canonical wire name; 0 where the name is no longer than its domain.
  static func start(of wire: Span<UInt8>) -> Int {
    var last = 0
    var second = 0
    var third = 0
    var at = 0
    while at < wire.count, wire[at] != 0 {
      third = second
      second = last
      last = at
      at += Int(wire[at]) + 1
    }
    guard last > second else { return 0 }
    return isCountry(wire, last) && isSecondLevel(wire, second, end: last) ? third : second
  }

  private static func isCountry(_ wire: Span<UInt8>, _ at: Int) -> Bool {
    wire[at] == 2
  }

  private static func isSecondLevel(_ wire: Span<UInt8>, _ at: Int, end: Int) -> Bool {
    guard end <= wire.count else { return false }
    return secondLevels.contains { label in
      guard label.count == end - at - 1 else { return false }
      for index in label.indices where wire[at + 1 + index] != label[index] { return false }
      return true
    }
  }
}
