import DNSWire
import IPNetwork

/// What makes two records "the same", as octets that are hashed, compared and stored:
///
///     0 kind │ 1 code │ 2 type │ 4 family │ 5 address, 16 octets │ 21 server's length, server │ name's length, name │ …
struct CoalescingKey {
  enum Kind: UInt8 {
    /// One name; counts its repeats. Of a connection: one destination, transport and port.
    case name = 1
    /// Counts the names under one registrable domain of one client; the ports of one destination of one client.
    case domainGroup
    /// Counts the names of one client.
    case clientGroup
    /// Counts the clients of one server.
    case serverGroup
    /// Stands for further names under a domain, for further ports of a destination.
    case domainAggregate
    /// Stands for further names of a client.
    case clientAggregate
    /// Stands for further clients of a server.
    case serverAggregate
    /// Stands for everything of a server that has no octets left.
    case summary
    /// Says how long a server had no octets left.
    case quota
    /// Sums up events of the service of a server that has no octets left.
    case totals

    var hasClient: Bool {
      switch self {
      case .name, .domainGroup, .clientGroup, .domainAggregate, .clientAggregate: true
      case .serverGroup, .serverAggregate, .summary, .quota, .totals: false
      }
    }
  }

  /// Octets of the longest key: everything at its longest, the transport, and a hash of the members.
  static let maxOctets = 22 + 255 + 1 + 255 + 1 + 8

  private(set) var octets: [UInt8] = []
  private(set) var hash: UInt64 = 0

  init() {
    octets.reserveCapacity(Self.maxOctets)
  }

  /// Becomes the key of `record` on the level of `kind`.
  ///
  /// - Parameters:
  ///   - domain: where the registrable domain begins in the name; 0 for the whole destination of a connection.
  ///   - members: whether only records with equal members are the same.
  ///   - code: of the event, if it is not the record's.
  mutating func set(
    _ kind: Kind, _ record: borrowing AuditRecord, domain: Int = 0, members: Bool = false, code: AuditCode? = nil
  ) {
    let header = record.header
    let span = record.octets.span
    octets.removeAll(keepingCapacity: true)
    octets.append(kind.rawValue)
    octets.append((code ?? header.code).rawValue)
    let type = kind == .name ? header.type.rawValue : 0
    octets.append(UInt8(truncatingIfNeeded: type >> 8))
    octets.append(UInt8(truncatingIfNeeded: type))
    let hasClient = kind.hasClient && (kind != .name || header.code != .typeNotAllowed)
    let client = hasClient ? header.client : nil
    octets.append(client?.family.rawValue ?? 0)
    append(client?.high ?? 0)
    append(client?.low ?? 0)
    octets.append(UInt8(truncatingIfNeeded: record.server.count))
    octets.append(octets: span.extracting(record.server))
    let name =
      switch kind {
      case .name: record.name
      case .domainGroup, .domainAggregate: (record.name.lowerBound + domain)..<record.name.upperBound
      case .clientGroup, .serverGroup, .clientAggregate, .serverAggregate, .summary, .quota, .totals: 0..<0
      }
    octets.append(UInt8(truncatingIfNeeded: name.count))
    octets.append(octets: span.extracting(name))
    if kind == .name, !header.code.isQuery { octets.append(header.transport?.rawValue ?? UInt8.max) }
    if members { append(Self.hash(span.extracting(record.members))) }
    hash = Self.hash(octets.span)
  }

  /// The address that a connection's members begin with, as text; empty where they do not.
  static func address(of record: borrowing AuditRecord) -> Range<Int> { text(of: record, after: addressKey) }

  /// The entry of the policy that a grant's members begin with, as text; empty where they do not.
  private static func rule(of record: borrowing AuditRecord) -> Range<Int> { text(of: record, after: ruleKey) }

  private static func text(of record: borrowing AuditRecord, after key: [UInt8]) -> Range<Int> {
    let start = record.members.lowerBound + key.count
    guard start < record.members.upperBound,
      key.indices.allSatisfy({ record.octets[record.members.lowerBound + $0] == key[$0] })
    else { return 0..<0 }
    var end = start
    while end < record.members.upperBound, record.octets[end] != UInt8(ascii: "\"") { end += 1 }
    return start..<end
  }

  private static let addressKey = AuditMembers.Text.address.opening
  private static let ruleKey = AuditMembers.Text.rule.opening

  /// Becomes the key of what a grant has a line of its own for, of a server that is far over its share: the entry of the
  /// policy, and the registrable domain, which begins at `domain` of the name. Several entries may be in one line of a
  /// file; of one that is a pattern all names are of one domain. Only its hash counts.
  ///
  /// - Parameter hasClient: whether each client has one.
  mutating func setGrant(of record: borrowing AuditRecord, domain: Int, hasClient: Bool) {
    set(hasClient ? .domainGroup : .serverGroup, record, domain: domain)
    let span = record.octets.span
    if !hasClient { octets.append(octets: span.extracting((record.name.lowerBound + domain)..<record.name.upperBound)) }
    octets.append(octets: span.extracting(Self.rule(of: record)))
    hash = Self.hash(octets.span)
  }

  /// Becomes the key of what a line of its own is for: the registrable domain of a name; of a connection its address,
  /// transport and port. Only its hash counts.
  ///
  /// - Parameter domain: where the registrable domain begins in the name.
  mutating func setDestination(of record: borrowing AuditRecord, domain: Int) {
    set(.domainGroup, record, domain: domain)
    if !record.header.code.isQuery {
      octets.append(record.header.transport?.rawValue ?? UInt8.max)
      append(UInt64(record.header.type.rawValue))
      octets.append(octets: record.octets.span.extracting(Self.address(of: record)))
    }
    hash = Self.hash(octets.span)
  }

  /// A seeded hash of a record's client, whatever its code.
  static func hash(of client: IPAddress?) -> UInt64 {
    guard let client else { return seed }
    return fold(fold(seed ^ client.high) ^ client.low ^ UInt64(client.family.rawValue) << 56)
  }

  /// Becomes the key of a record's name. All special-use names of a server are one; types that are not allowed are the
  /// same for all its clients.
  mutating func setName(of record: borrowing AuditRecord) {
    let code = record.header.code
    guard code != .special else { return set(.serverAggregate, record) }
    set(.name, record, members: Self.keepsMembers(code) && code != .granted)
  }

  /// Becomes a key that was read back.
  mutating func set(_ octets: [UInt8]) {
    self.octets.removeAll(keepingCapacity: true)
    self.octets.append(octets: octets.span)
    hash = Self.hash(self.octets.span)
  }

  /// Whether the event of the repeats says the record's members again. What an allow event says is said whole: it merges
  /// only with its equal, and a grant with others of its name, whose addresses it says too. What a connection's event
  /// says of its address merges with its equal, for the name alone does not tell it. What is denied is so by an entry that a
  /// reload may change.
  static func keepsMembers(_ code: AuditCode) -> Bool {
    code.decision == .allow || code.isConnection || code == .denied
  }

  private mutating func append(_ value: UInt64) {
    unsafe withUnsafeBytes(of: value.bigEndian) { unsafe octets.append(contentsOf: $0) }
  }

  /// A multiply-and-fold hash over 8 octets a step, seeded so that no client can choose names that share a bucket.
  static func hash(_ octets: Span<UInt8>) -> UInt64 {
    var state = seed
    var word: UInt64 = 0
    var at = 0
    unsafe octets.withUnsafeBytes { bytes in
      while at &+ 8 <= bytes.count {
        state = unsafe fold(state ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))  // at + 8 <= count
        at &+= 8
      }
    }
    while at < octets.count {
      word = word << 8 | UInt64(octets[at])
      at += 1
    }
    return fold(fold(state ^ word) ^ UInt64(octets.count))
  }

  private static let seed = UInt64.random(in: .min ... .max)

  private static func fold(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return product.high ^ product.low
  }
}

/// A key read back from its octets, for the event that ends a window. Damaged octets give nil.
struct StoredKey {
  let kind: CoalescingKey.Kind
  let code: AuditCode
  let type: RRType
  let client: IPAddress?
  let server: Range<Int>
  let name: Range<Int>

  init?(_ octets: Span<UInt8>) {
    guard octets.count >= 23, let kind = CoalescingKey.Kind(rawValue: octets[0]) else { return nil }
    self.kind = kind
    code = AuditCode(rawValue: octets[1])
    type = RRType(rawValue: UInt16(octets[2]) << 8 | UInt16(octets[3]))
    let wide = IPAddress(octets: octets.extracting(5..<21))
    client =
      switch octets[4] {
      case 4: wide.map { IPAddress(v4: UInt32(truncatingIfNeeded: $0.low)) }
      case 6: wide
      default: nil
      }
    server = 22..<(22 + Int(octets[21]))
    guard server.upperBound < octets.count else { return nil }
    let nameStart = server.upperBound + 1
    name = nameStart..<(nameStart + Int(octets[server.upperBound]))
    guard name.upperBound <= octets.count else { return nil }
  }
}
