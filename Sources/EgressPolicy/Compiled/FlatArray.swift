import CLinux
import DNSWire
import Glibc

/// A fixed run of plain values behind one pointer: indexing it retains nothing, so worker threads share no counter.
///
/// This is the only file of the target that holds pointers; every access is checked against `count`.
@safe
struct FlatArray<Element: BitwiseCopyable>: ~Copyable {
  /// x86-64's and ARM's: a million names in pages of 4 KiB are one miss of the page tables for each look.
  private static var hugePage: Int { 2 << 20 }

  private let base: UnsafeMutablePointer<Element>
  let count: Int

  /// `count` is at least 0; the memory is the array's own and is freed with it.
  init(repeating value: Element, count: Int) {
    precondition(count >= 0)
    let octets = Swift.max(count, 1) * MemoryLayout<Element>.stride
    // A run of elements that starts at a line and whose stride divides it has none that lies on two.
    let alignment = octets >= 2 * Self.hugePage ? Self.hugePage : 64
    let memory = UnsafeMutableRawPointer.allocate(byteCount: octets, alignment: alignment)
    if alignment == Self.hugePage {
      // A wish: where the kernel has none to give, small pages do.
      _ = unsafe madvise(memory, octets, MADV_HUGEPAGE)
    }
    unsafe base = memory.bindMemory(to: Element.self, capacity: Swift.max(count, 1))
    unsafe base.initialize(repeating: value, count: Swift.max(count, 1))
    self.count = count
  }

  deinit {
    unsafe base.deallocate()
  }

  subscript(index: Int) -> Element {
    get {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe base[index]  // index < count, checked above
    }
    set {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      unsafe base[index] = newValue  // index < count, checked above
    }
  }

  /// Prefetches the element.
  func prefetch(_ index: Int) {
    unsafe sluice_prefetch(base + index)
  }
}

// Written only while its one owner builds it, then only read.
extension FlatArray: @unchecked Sendable where Element: Sendable {}

extension FlatArray where Element == UInt8 {
  mutating func replace(at start: Int, with octets: [UInt8]) {
    for (offset, octet) in octets.enumerated() { self[start + offset] = octet }
  }

  /// Whether the `length` octets at `start` equal those at `other`.
  func equals(at start: Int, and other: Int, length: Int) -> Bool {
    guard start >= 0, other >= 0, length >= 0, length <= count &- start, length <= count &- other else { return false }
    // length octets are there at both (guard above)
    let (one, two) = unsafe (
      UnsafeBufferPointer(start: base + start, count: length), UnsafeBufferPointer(start: base + other, count: length)
    )
    return unsafe one.span.equals(two.span)
  }

  /// Whether the `length` octets at `start` equal those of `name` from `offset` on.
  func equals(_ name: Span<UInt8>, from offset: Int, at start: Int, length: Int) -> Bool {
    guard start >= 0, length >= 0, offset >= 0, length <= count &- start, length <= name.count &- offset else {
      return false
    }
    // length octets are there on both sides (guard above)
    let own = unsafe UnsafeBufferPointer(start: base + start, count: length)
    return unsafe own.span.equals(name.extracting(unchecked: offset..<(offset &+ length)))
  }
}
