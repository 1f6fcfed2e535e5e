import DNSWire

/// The octets of one entry behind one pointer: where its TTLs stand, its name, its sections. Reading them counts no
/// reference and touches as few cache lines as it can.
///
/// This is the only file of the target that holds pointers. The owner frees an entry's octets once, and nobody reads
/// them after that: both happen under the lock of the shard.
@safe
struct EntryOctets: BitwiseCopyable {
  private let base: UnsafeMutableRawPointer
  private let ttlCount: UInt16
  private let nameCount: UInt16
  private let sectionCount: UInt32

  init(_ name: [UInt8], _ response: CachedResponse) {
    let ttls = response.ttlOffsets
    let sections = response.sections
    precondition(ttls.count <= UInt16.max && name.count <= UInt16.max && sections.count <= UInt32.max)
    ttlCount = UInt16(ttls.count)
    nameCount = UInt16(name.count)
    sectionCount = UInt32(sections.count)
    let size = 2 * ttls.count + name.count + sections.count
    unsafe base = .allocate(byteCount: max(size, 1), alignment: 2)
    for (index, offset) in ttls.enumerated() {
      unsafe base.storeBytes(of: offset, toByteOffset: 2 * index, as: UInt16.self)  // 2 * count octets are there
    }
    let nameAt = unsafe base + 2 * ttls.count
    unsafe name.withUnsafeBytes { octets in
      if let start = octets.baseAddress { unsafe nameAt.copyMemory(from: start, byteCount: octets.count) }
    }
    unsafe sections.withUnsafeBytes { octets in
      guard let start = octets.baseAddress else { return }
      unsafe (nameAt + name.count).copyMemory(from: start, byteCount: octets.count)
    }
  }

  func free() { unsafe base.deallocate() }

  func hasName(_ name: Span<UInt8>) -> Bool {
    guard name.count == Int(nameCount) else { return false }
    return unsafe name.withUnsafeBytes { other in
      let own = unsafe UnsafeRawBufferPointer(start: base + 2 * Int(ttlCount), count: Int(nameCount))
      var index = 0
      while index &+ 8 <= own.count {
        // index + 8 <= count on both sides
        let left = unsafe own.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        if unsafe left != other.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
        index &+= 8
      }
      while index < own.count {
        if unsafe own[index] != other[index] { return false }
        index &+= 1
      }
      return true
    }
  }

  var name: [UInt8] {
    unsafe [UInt8](UnsafeRawBufferPointer(start: base + 2 * Int(ttlCount), count: Int(nameCount)))
  }

  /// Gives sections and TTL offsets to `body`, in place.
  func read(_ body: (Span<UInt8>, Span<UInt16>) -> Void) {
    let ttls = unsafe UnsafeBufferPointer(
      start: base.assumingMemoryBound(to: UInt16.self), count: Int(ttlCount))
    let start = unsafe base + 2 * Int(ttlCount) + Int(nameCount)
    let sections = unsafe UnsafeBufferPointer(
      start: start.assumingMemoryBound(to: UInt8.self), count: Int(sectionCount))
    unsafe body(sections.span, ttls.span)
  }
}

// Written only while it is made, then only read.
extension EntryOctets: @unchecked Sendable {}
