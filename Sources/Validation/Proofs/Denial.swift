import DNSWire

/// What signed records of a zone deny: that a name exists, or that it has a type. NSEC (RFC 4035 section 5.4) or NSEC3
/// (RFC 5155 section 8), whichever the zone has.
struct Denial {
  /// What is said of a name.
  enum Word {
    /// It is there, and has these types.
    case types(TypeBitmap)
    /// No such name has records; one below it may have.
    case absent(encloser: Name, isOptOut: Bool)
  }

  private let spans: [NSECSpan]
  private let hashed: NSEC3Spans?

  /// Seconds for which all of it holds.
  private(set) var ttl = UInt32.max

  /// - Throws: why what the authority section has is not the zone's.
  init(
    _ message: SignedMessage, _ keys: ZoneKeys, now: UInt32, _ budget: inout WorkBudget
  ) throws(ValidationFault) {
    var spans: [NSECSpan] = []
    for set in message.authority(of: .NSEC) where set.signer == keys.zone {
      let proof = try keys.verify(set, now: now, &budget)
      // One that a wildcard was made into says nothing of the name that it stands at.
      guard proof.encloser == nil else { continue }
      ttl = min(ttl, proof.ttl)
      spans += set.records.compactMap { NSECSpan(owner: set.owner, $0) }
    }
    self.spans = spans
    guard spans.isEmpty else {
      hashed = nil
      return
    }
    var hashedSpans: [NSEC3Span] = []
    for set in message.authority(of: .NSEC3) where set.signer == keys.zone && set.owner.parent == keys.zone {
      ttl = min(ttl, try keys.verify(set, now: now, &budget).ttl)
      hashedSpans += set.records.compactMap { NSEC3Span(owner: set.owner, $0) }
    }
    hashed = try NSEC3Spans(hashedSpans, zone: keys.zone)
  }

  /// - Throws: `notDenied` where nothing is said of it.
  func word(of name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> Word {
    if let hashed { return try hashed.word(of: name, &budget) }
    for span in spans where span.owner == name { return .types(span.types) }
    for span in spans where span.covers(name) {
      return .absent(encloser: span.encloser(of: name), isOptOut: false)
    }
    throw .notDenied
  }

  /// That a name does not exist, nor any below it; nor a wildcard that would be taken for it. Returns whether an unsigned
  /// zone may begin there all the same.
  func deniesName(_ name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> Bool {
    guard case .absent(let encloser, let isOptOut) = try word(of: name, &budget), !isBetween(name),
      let wildcard = encloser.wildcard
    else { throw .notDenied }
    guard case .absent(let own, _) = try word(of: wildcard, &budget), own == encloser else { throw .notDenied }
    return isOptOut
  }

  /// That a name has no records of a type, though it may have others. Returns whether an unsigned zone may begin there all
  /// the same.
  func deniesType(_ type: RRType, of name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> Bool {
    switch try word(of: name, &budget) {
    case .types(let types):
      try Self.lacks(type, types)
      return false
    case .absent(let encloser, let isOptOut):
      // A name above others, without records of its own.
      if isBetween(name) { return false }
      guard let wildcard = encloser.wildcard else { throw .notDenied }
      if isOptOut, type == .DS { return true }
      switch try word(of: wildcard, &budget) {
      case .types(let types): try Self.lacks(type, types)
      case .absent: throw .notDenied
      }
      return isOptOut
    }
  }

  /// That no name exists between `name` and the wildcard below `encloser`, of which it was made. Returns whether an unsigned
  /// zone may begin there all the same.
  func deniesCloser(than encloser: Name, to name: Name, _ budget: inout WorkBudget) throws(ValidationFault) -> Bool {
    guard let next = name.suffix(labels: encloser.labelCount + 1),
      case .absent(_, let isOptOut) = try word(of: next, &budget), !isBetween(next)
    else { throw .notDenied }
    return isOptOut
  }

  private static func lacks(_ type: RRType, _ types: TypeBitmap) throws(ValidationFault) {
    guard !types.has(type), !types.has(.CNAME) else { throw .notDenied }
    // The child's half of a cut knows nothing of DS, the parent's of nothing else (RFC 6840 section 4.1).
    guard type == .DS ? !types.has(.SOA) : !types.isDelegation else { throw .notDenied }
  }

  /// Whether there are names below `name`, which has no records.
  private func isBetween(_ name: Name) -> Bool {
    spans.contains { $0.covers(name) && $0.next.isSubdomain(of: name) }
  }
}
