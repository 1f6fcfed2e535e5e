/// Reads the frames of TLS (RFC 8446 section 5.1), which are in the clear.
public enum TLSRecords {
  /// Octets in each record.
  public static func counts(_ octets: [UInt8]) -> [Int] {
    var counts: [Int] = []
    var start = 0
    while start + 5 <= octets.count {
      let count = Int(octets[start + 3]) << 8 | Int(octets[start + 4])
      counts.append(count)
      start += 5 + count
    }
    return counts
  }
}
