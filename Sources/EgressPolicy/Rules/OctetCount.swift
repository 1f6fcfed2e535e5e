/// Octets as the files write them: `256KiB`.
package enum OctetCount {
  /// The largest first.
  package static let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)]

  /// In the largest unit that divides them.
  package static func text(_ octets: UInt64) -> String {
    for (unit, factor) in units where octets != 0 && octets % UInt64(factor) == 0 {
      return "\(octets / UInt64(factor))\(unit)"
    }
    return "0"
  }
}
