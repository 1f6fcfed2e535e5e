/// The names of extended errors (RFC 8914 section 5.2).
enum ExtendedErrorName {
  private static let names = [
    "Other Error", "Unsupported DNSKEY Algorithm", "Unsupported DS Digest Type", "Stale Answer", "Forged Answer",
    "DNSSEC Indeterminate", "DNSSEC Bogus", "Signature Expired", "Signature Not Yet Valid", "DNSKEY Missing",
    "RRSIGs Missing", "No Zone Key Bit Set", "NSEC Missing", "Cached Error", "Not Ready", "Blocked", "Censored",
    "Filtered", "Prohibited", "Stale NXDOMAIN Answer", "Not Authoritative", "Not Supported", "No Reachable Authority",
    "Network Error", "Invalid Data",
  ]

  /// `EDE 15 (Blocked)`.
  static func text(_ code: UInt16) -> String {
    let name = Int(code) < names.count ? " (\(names[Int(code)]))" : ""
    return "EDE \(code)\(name)"
  }
}
