import DNSWire

/// What one judgement may cost, so that an answer made to be expensive (CVE-2023-50387, CVE-2023-50868) costs milliseconds.
struct WorkBudget {
  /// Signatures over one set of records that are looked at; a zone has one for each key, two while it changes them.
  static let signatures = 8
  /// Keys with the same tag that are tried; in real zones two are an accident.
  static let keysPerTag = 4
  /// Signatures of a whole judgement that turn out wrong. A good zone has none, but while it changes its keys.
  static let failures = 8
  /// Signatures of a whole judgement: eleven links, the last set and four proofs, and those that turn out wrong.
  static let verifications = 24
  /// Hashes of names of a whole judgement.
  static let hashes = 16
  /// Rounds beyond the first of one hash; zones ought to have none (RFC 9276 section 3.1).
  static let iterations = 150

  /// Keys that are held against what a parent says of them.
  static let digests = 64

  private var failuresLeft = Self.failures
  private var verificationsLeft = Self.verifications
  private var digestsLeft = Self.digests
  private var hashed: [Name: [UInt8]] = [:]

  /// Signatures that were held against a key.
  var verified: Int { Self.verifications - verificationsLeft }
  /// Keys that were held against a digest.
  var digested: Int { Self.digests - digestsLeft }
  /// Names that were hashed.
  var hashCount: Int { hashed.count }

  mutating func verify() throws(ValidationFault) {
    guard verificationsLeft > 0, failuresLeft > 0 else { throw .tooMuchWork }
    verificationsLeft -= 1
  }

  mutating func failed() { failuresLeft -= 1 }

  mutating func digest() throws(ValidationFault) {
    guard digestsLeft > 0 else { throw .tooMuchWork }
    digestsLeft -= 1
  }

  /// The hash of a name, made once.
  mutating func hash(_ name: Name, _ make: () -> [UInt8]) throws(ValidationFault) -> [UInt8] {
    if let known = hashed[name] { return known }
    guard hashed.count < Self.hashes else { throw .tooMuchWork }
    let hash = make()
    hashed[name] = hash
    return hash
  }
}
