package import AuditLog

/// Zeroed memory that stands for a mapped file.
@safe
package final class HeapMemory: Sendable {
  private nonisolated(unsafe) let buffer: UnsafeMutableRawBufferPointer

  package init(_ count: Int) {
    unsafe buffer = .allocate(byteCount: count, alignment: 64)
    unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { unsafe buffer.deallocate() }

  package var region: SharedRegion {
    guard let region = unsafe SharedRegion(buffer, keeping: self) else { fatalError("misaligned") }
    return region
  }

  /// Damages it; traps where there is no such index.
  package func set(_ value: UInt8, at index: Int) { unsafe buffer[index] = value }
}

extension AuditRing {
  /// An empty ring of so many octets.
  package static func onHeap(_ capacity: Int = 1 << 16) -> AuditRing {
    guard let ring = AuditRing(HeapMemory(AuditRing.overhead + capacity).region) else {
      fatalError("no ring of \(capacity)")
    }
    return ring
  }
}
