import DNSWire
import LDNS

/// The hash of a name with its types, and that there is none between it and the next (RFC 5155 section 3).
struct NSEC3Span {
  let hash: [UInt8]
  let next: [UInt8]
  let types: TypeBitmap
  let isOptOut: Bool
  let iterations: Int
  let salt: [UInt8]

  /// Nil for data that is none, or of another hash than SHA-1.
  init?(owner: Name, _ rdata: [UInt8]) {
    guard rdata.count > 5, rdata[0] == 1, rdata[1] & 0xFE == 0, let label = owner.labels.first,
      let hash = Base32Hex.decode(label), hash.count == SHA1.octetCount
    else { return nil }
    let saltEnd = 5 + Int(rdata[4])
    guard saltEnd < rdata.count, Int(rdata[saltEnd]) == SHA1.octetCount else { return nil }
    let nextEnd = saltEnd + 1 + SHA1.octetCount
    guard nextEnd <= rdata.count else { return nil }
    self.hash = hash
    next = Array(rdata[(saltEnd + 1)..<nextEnd])
    types = TypeBitmap(rdata[nextEnd...])
    isOptOut = rdata[1] & 1 != 0
    iterations = Int(rdata[2]) << 8 | Int(rdata[3])
    salt = Array(rdata[5..<saltEnd])
  }

  func covers(_ other: [UInt8]) -> Bool {
    let (isAfter, isBefore) = (hash.lexicographicallyPrecedes(other), other.lexicographicallyPrecedes(next))
    // The last one of a zone is followed by the first.
    return hash.lexicographicallyPrecedes(next) ? isAfter && isBefore : isAfter || isBefore
  }
}

/// The hashed denials of one answer, all of one zone and made alike.
struct NSEC3Spans {
  private let spans: [NSEC3Span]
  private let zone: Name
  private let first: NSEC3Span

  /// - Throws: where a hash costs more than is spent on one, or they were made differently.
  init?(_ spans: [NSEC3Span], zone: Name) throws(ValidationFault) {
    guard let first = spans.first else { return nil }
    guard first.iterations <= WorkBudget.iterations else { throw .tooManyIterations }
    guard spans.allSatisfy({ $0.iterations == first.iterations && $0.salt == first.salt }) else { throw .malformed }
    self.spans = spans
    self.zone = zone
    self.first = first
  }

  /// The hash at `name`, or the closest name above it that exists (RFC 5155 section 8.3).
  func word(of name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> Denial.Word {
    guard name.isSubdomain(of: zone) else { throw .notDenied }
    var (at, closer) = (name, Name?.none)
    while true {
      let hash = try hash(at, &budget)
      if let match = spans.first(where: { $0.hash == hash }) {
        guard let closer else { return .types(match.types) }
        guard !match.types.endsHere else { throw .notDenied }
        let next = try self.hash(closer, &budget)
        guard let cover = spans.first(where: { $0.covers(next) }) else { throw .notDenied }
        return .absent(encloser: at, isOptOut: cover.isOptOut)
      }
      guard at != zone, let parent = at.parent else { throw .notDenied }
      closer = at
      at = parent
    }
  }

  private func hash(_ name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> [UInt8] {
    try budget.hash(name) {
      var hash = SHA1.digest(of: name.wire + first.salt)
      for _ in 0..<first.iterations { hash = SHA1.digest(of: hash + first.salt) }
      return hash
    }
  }
}

/// Base 32 with the alphabet of digits and letters up to V (RFC 4648 section 7), as labels of hashes have it.
enum Base32Hex {
  /// Nil for what is none.
  static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    var (bits, count, octets) = (UInt32(0), 0, [UInt8]())
    for character in text {
      let value: UInt8
      switch NameWire.lowercased(character) {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "v"): value = NameWire.lowercased(character) - UInt8(ascii: "a") + 10
      default: return nil
      }
      bits = bits << 5 | UInt32(value)
      count += 5
      if count >= 8 {
        count -= 8
        octets.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        bits &= (1 << UInt32(count)) - 1
      }
    }
    return octets
  }
}
