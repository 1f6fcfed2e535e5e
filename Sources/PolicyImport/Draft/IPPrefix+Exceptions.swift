import IPNetwork

extension IPPrefix {
  /// Networks that one line of a source may come to.
  private static let maximumParts = 64

  /// The networks that are left of it, and what is to be said where there are none.
  func written(without exceptions: [IPPrefix]) -> ([IPPrefix], ImportRemark?) {
    guard let parts = subtracting(exceptions, maximum: Self.maximumParts) else {
      let text =
        "more than \(Self.maximumParts) networks are left of it without its exceptions, expected them one by one"
      return ([], ImportRemark(kind: .refused, text: text))
    }
    return (parts, parts.isEmpty ? ImportRemark(kind: .lost, text: "its exceptions leave nothing of it") : nil)
  }

  /// The networks that make up what is in it and in none of `holes`; nil where they are more than `maximum`.
  func subtracting(_ holes: [IPPrefix], maximum: Int) -> [IPPrefix]? {
    var left = [self]
    for hole in holes {
      left = left.flatMap { $0.subtracting(hole) }
      guard left.count <= maximum else { return nil }
    }
    return left
  }

  /// Whether an address lies in both.
  func overlaps(_ other: IPPrefix) -> Bool { contains(other.address) || other.contains(address) }

  private func subtracting(_ hole: IPPrefix) -> [IPPrefix] {
    guard overlaps(hole) else { return [self] }
    guard hole.length > length else { return [] }
    // Beside the way down to the hole, what is not on it.
    return (length + 1...hole.length).compactMap { IPPrefix(hole.address, length: $0)?.sibling }
  }

  /// The other half of the network of one bit less.
  private var sibling: IPPrefix? {
    let bit = 128 - length - (address.family == .v4 ? 96 : 0)
    let high = bit >= 64 ? address.high ^ 1 << UInt64(bit - 64) : address.high
    let low = bit < 64 ? address.low ^ 1 << UInt64(bit) : address.low
    let other = address.family == .v4 ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : IPAddress(high: high, low: low)
    return IPPrefix(other, length: length)
  }
}
