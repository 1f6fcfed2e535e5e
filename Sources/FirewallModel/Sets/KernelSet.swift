package import IPNetwork

/// The address of a set in the kernel.
package struct KernelSet: Hashable, Sendable {
  package var family: FirewallPlan.Family
  package var table: String
  package var name: String

  package init(family: FirewallPlan.Family, table: String, name: String) {
    self.family = family
    self.table = table
    self.name = name
  }
}

/// What the elements of a set are made of.
package struct SetShape: Hashable, Sendable {
  package var family: IPAddress.Family
  package var kind: SetName.Kind

  package init(family: IPAddress.Family, kind: SetName.Kind) {
    self.family = family
    self.kind = kind
  }

  // nft's numbers of element types; a concatenation packs them, six bits each.
  private static let protocolType: UInt32 = 12
  private static let serviceType: UInt32 = 13

  private var addressType: UInt32 { family == .v4 ? 7 : 8 }

  package var keyType: UInt32 {
    switch kind {
    case .anyPort: addressType
    case .ports: (addressType << 6 | Self.protocolType) << 6 | Self.serviceType
    }
  }

  /// Octets of a key: each field of a concatenation begins on a multiple of four.
  package var keyOctets: Int { family.addressOctets + (kind == .ports ? 8 : 0) }

  var description: String { SetName(server: "_", family: family, kind: kind).type }

  /// The key of an element; the caller has matched the family.
  package func key(address: IPAddress, transport: UInt8, port: UInt16) -> ElementKey {
    let isPorts = kind == .ports
    let (transport, port) = (isPorts ? UInt64(transport) : 0, isPorts ? UInt64(port) : 0)
    switch family {
    case .v4: return ElementKey(first: address.low << 32 | transport << 24, second: port << 48, octets: keyOctets)
    case .v6:
      return ElementKey(
        first: address.high, second: address.low, third: transport << 56 | port << 16, octets: keyOctets)
    }
  }

  /// Reads a key back; nil when it is none of this shape.
  package func element(of key: [UInt8]) -> (address: IPAddress, transport: UInt8, port: UInt16)? {
    guard key.count == keyOctets, let address = IPAddress(octets: key[..<family.addressOctets]) else { return nil }
    guard kind == .ports else { return (address, 0, 0) }
    let tail = family.addressOctets
    return (address, key[tail], UInt16(key[tail + 4]) << 8 | UInt16(key[tail + 5]))
  }
}

/// The octets of an element's key, kept in registers: a batch makes one for each element.
package struct ElementKey: Hashable, Comparable {
  /// Big-endian: the first octet is the highest of `first`.
  package var first: UInt64
  package var second: UInt64
  package var third: UInt64 = 0
  package var octets: Int

  package static func < (left: Self, right: Self) -> Bool {
    (left.first, left.second, left.third, left.octets) < (right.first, right.second, right.third, right.octets)
  }
}

extension IPAddress {
  fileprivate init?(octets: ArraySlice<UInt8>) {
    let copy = Array(octets)
    self.init(octets: copy.span)
  }
}

/// A set as the kernel describes it.
package struct SetDescription: Hashable, Sendable {
  package var name: String
  package var keyType: UInt32
  package var keyOctets: UInt32
  package var flags: UInt32
  package var size: UInt32
  /// Whether its elements carry a counter, a quota or the like.
  package var hasStatement: Bool

  // NFT_SET_*: what is needed and what would make feeding go wrong.
  private static let timeout: UInt32 = 0x10
  private static let forbidden: UInt32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x40

  package init(
    name: String, keyType: UInt32, keyOctets: UInt32, flags: UInt32, size: UInt32, hasStatement: Bool = false
  ) {
    self.name = name
    self.keyType = keyType
    self.keyOctets = keyOctets
    self.flags = flags
    self.size = size
    self.hasStatement = hasStatement
  }

  /// Why elements of `shape` cannot be fed here; nil when they can.
  package func fault(as shape: SetShape) -> String? {
    guard keyType == shape.keyType, keyOctets == UInt32(shape.keyOctets) else {
      return "set \(name) has another element type than \(shape.description)"
    }
    guard flags & Self.forbidden == 0 else {
      return "set \(name) is a map, a constant set or an interval set; expected a plain set with flags timeout"
    }
    guard flags & Self.timeout != 0 else { return "set \(name) lacks flags timeout" }
    return nil
  }
}

/// What a counter of an element has seen.
package struct ElementCounts: Hashable {
  package var octets: UInt64
  package var packets: UInt64

  package init(octets: UInt64, packets: UInt64) {
    self.octets = octets
    self.packets = packets
  }
}

extension ElementKey {
  /// The key whose octets these are; at most 24 of them.
  package init(_ octets: [UInt8]) {
    var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
    for (index, octet) in octets.prefix(24).enumerated() {
      let part = UInt64(octet) << UInt64(56 - index % 8 * 8)
      switch index / 8 {
      case 0: words.0 |= part
      case 1: words.1 |= part
      default: words.2 |= part
      }
    }
    self.init(first: words.0, second: words.1, third: words.2, octets: min(octets.count, 24))
  }
}
