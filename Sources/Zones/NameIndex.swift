import DNSWire

/// Every name of the local zones and every ancestor of one, found by walking a name's labels from the right.
///
/// Flat: one array of fixed-size nodes, one of octets, one of buckets. A name under none of the zones costs the hash of
/// its last label and one probe, and allocates nothing.
struct NameIndex: Sendable {
  struct Node: Sendable {
    fileprivate var hash: UInt64
    /// Where the name's octets start in `octets`, and how many they are.
    fileprivate var start: Int32
    fileprivate var count: Int32
    /// The node of the name without its leftmost label; -1 for the top.
    var parent: Int32
    /// The longest zone that holds the name; -1 for the ancestors of an apex.
    var zone: Int32 = -1
    /// The child `*` (RFC 4592 section 2.1.1); -1 for none.
    var wildcard: Int32 = -1
    /// The name's records.
    var records: Range<Int32> = 0..<0
  }

  /// The deepest node on the way to a name.
  struct Match {
    var node: Node
    /// Whether the node is the name itself and not an ancestor.
    var isExact: Bool
  }

  private(set) var nodes: [Node] = []
  private var octets: [UInt8] = []
  private var buckets = [Int32](repeating: -1, count: 16)

  /// Walks from the right as far as nodes exist. Nil when not even the last label has one.
  func match(_ name: Span<UInt8>) -> Match? {
    var labels = LabelWalk(name)
    var hash = Self.seed
    var deepest: Int32 = -1
    while let start = labels.next() {
      hash = Self.extend(hash, name, from: start)
      let node = find(hash, name, from: start)
      guard node >= 0 else { return deepest < 0 ? nil : Match(node: nodes[Int(deepest)], isExact: false) }
      deepest = node
    }
    return deepest < 0 ? nil : Match(node: nodes[Int(deepest)], isExact: true)
  }

  /// The node of a name, made with its ancestors where it is not there; -1 for the root.
  mutating func insert(_ name: [UInt8]) -> Int32 {
    var labels = LabelWalk(name.span)
    var hash = Self.seed
    var parent: Int32 = -1
    while let start = labels.next() {
      hash = Self.extend(hash, name.span, from: start)
      let found = find(hash, name.span, from: start)
      parent = found >= 0 ? found : add(name[start...], hash, below: parent)
    }
    return parent
  }

  mutating func setZone(_ zone: Int32, of node: Int32) {
    nodes[Int(node)].zone = zone
  }

  mutating func setRecords(_ records: Range<Int32>, of node: Int32) {
    nodes[Int(node)].records = records
  }

  /// Gives every node without a zone of its own that of its parent. Parents stand before their children.
  mutating func inheritZones() {
    for index in nodes.indices where nodes[index].zone < 0 && nodes[index].parent >= 0 {
      nodes[index].zone = nodes[Int(nodes[index].parent)].zone
    }
  }

  private mutating func add(_ name: ArraySlice<UInt8>, _ hash: UInt64, below parent: Int32) -> Int32 {
    let index = Int32(nodes.count)
    nodes.append(Node(hash: hash, start: Int32(octets.count), count: Int32(name.count), parent: parent))
    octets += name
    if parent >= 0, name.starts(with: [1, UInt8(ascii: "*")]) {
      nodes[Int(parent)].wildcard = index
    }
    if nodes.count * 2 > buckets.count {
      buckets = [Int32](repeating: -1, count: buckets.count * 2)
      for other in nodes.indices { link(Int32(other)) }
    } else {
      link(index)
    }
    return index
  }

  private mutating func link(_ node: Int32) {
    var bucket = Int(truncatingIfNeeded: nodes[Int(node)].hash) & (buckets.count - 1)
    while buckets[bucket] >= 0 {
      bucket = (bucket + 1) & (buckets.count - 1)
    }
    buckets[bucket] = node
  }

  private func find(_ hash: UInt64, _ name: Span<UInt8>, from start: Int) -> Int32 {
    var bucket = Int(truncatingIfNeeded: hash) & (buckets.count - 1)
    while buckets[bucket] >= 0 {
      let node = nodes[Int(buckets[bucket])]
      if node.hash == hash, holds(node, name, from: start) { return buckets[bucket] }
      bucket = (bucket + 1) & (buckets.count - 1)
    }
    return -1
  }

  private func holds(_ node: Node, _ name: Span<UInt8>, from start: Int) -> Bool {
    octets.span.extracting(Int(node.start)..<Int(node.start + node.count)).equals(name.extracting(start...))
  }

  private static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

  /// The hash of a name from that of its parent and its leftmost label, which starts at `start`.
  private static func extend(_ hash: UInt64, _ name: Span<UInt8>, from start: Int) -> UInt64 {
    var hash = hash
    for index in start...min(start + Int(name[start]), name.count - 1) {
      hash = (hash ^ UInt64(name[index])) &* 0x0000_0100_0000_01B3
    }
    return hash ^ hash >> 29
  }
}

/// The starts of a canonical name's labels, from the right.
private struct LabelWalk {
  /// A name has at most 127 labels, and starts below 255.
  private var starts = InlineArray<128, UInt8>(repeating: 0)
  private var count = 0

  init(_ name: Span<UInt8>) {
    var at = 0
    while at < name.count, name[at] != 0, count < 128 {
      starts[count] = UInt8(truncatingIfNeeded: at)
      count += 1
      at += Int(name[at]) + 1
    }
  }

  mutating func next() -> Int? {
    guard count > 0 else { return nil }
    count -= 1
    return Int(starts[count])
  }
}
