/// A plan as it comes, in parts of which each follows the one before.
struct PlanAssembly {
  enum Outcome: Equatable {
    /// More is to come, or what came belongs to a plan that is broken already.
    case waiting
    case whole([UInt8])
    /// The last part came, and not all before it.
    case broken
  }

  /// Some hundred thousand servers.
  static let maximumOctets = 32 << 20

  private var parts: [UInt8] = []
  private var next: UInt16 = 0

  /// The first part begins anew, whatever was there.
  mutating func take(_ index: UInt16, of count: UInt16, _ octets: [UInt8]) -> Outcome {
    if index == 0 { (parts, next) = ([], 0) }
    guard index == next, parts.count + octets.count <= Self.maximumOctets else {
      return index &+ 1 == count ? .broken : .waiting
    }
    next &+= 1
    parts += octets
    guard index &+ 1 == count else { return .waiting }
    defer { parts = [] }
    return .whole(parts)
  }
}
