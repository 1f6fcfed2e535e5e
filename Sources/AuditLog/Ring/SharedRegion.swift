import CLinux
import DNSWire
import Synchronization

/// Memory handed in by the caller, shared with the next run of the program: plain and atomic words behind checked
/// offsets.
///
/// This is the only file of the target that holds pointers; every access is checked against `count`.
@safe
package struct SharedRegion: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  /// Octets.
  package let count: Int
  private let owner: any AnyObject & Sendable

  /// - Parameters:
  ///   - memory: aligned to 64 octets, zeroed or left by an earlier run; not null.
  ///   - owner: kept alive as long as this value; its end frees the memory.
  @unsafe
  package init?(_ memory: UnsafeMutableRawBufferPointer, keeping owner: any AnyObject & Sendable) {
    guard let base = memory.baseAddress, UInt(bitPattern: base) % 64 == 0 else { return nil }
    unsafe self.base = base
    count = memory.count
    self.owner = owner
  }

  private init(_ whole: SharedRegion, _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= whole.count)
    unsafe base = whole.base + range.lowerBound  // inside the whole, checked above
    count = range.count
    owner = whole.owner
  }

  /// A part of this memory.
  package func part(_ range: Range<Int>) -> SharedRegion {
    SharedRegion(self, range)
  }

  @inline(__always)
  private func check(_ offset: Int, _ octets: Int) {
    precondition(offset >= 0 && octets >= 0 && octets <= count && offset <= count &- octets)
  }

  // MARK: - Plain words

  @inline(__always)
  func load<Word: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: Word.Type = Word.self) -> Word {
    check(offset, MemoryLayout<Word>.size)
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: type)  // checked above
  }

  @inline(__always)
  func store<Word: FixedWidthInteger & BitwiseCopyable>(_ word: Word, _ offset: Int) {
    check(offset, MemoryLayout<Word>.size)
    unsafe base.storeBytes(of: word, toByteOffset: offset, as: Word.self)  // checked above
  }

  @inline(__always)
  func store(_ octets: Span<UInt8>, _ offset: Int) {
    check(offset, octets.count)
    unsafe octets.withUnsafeBufferPointer { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + offset).copyMemory(from: start, byteCount: source.count)  // checked above
    }
  }

  /// Appends `length` octets at `offset` to `output`.
  func read(_ offset: Int, _ length: Int, into output: inout [UInt8]) {
    check(offset, length)
    unsafe output.append(contentsOf: UnsafeRawBufferPointer(start: base + offset, count: length))  // checked above
  }

  func equals(_ octets: Span<UInt8>, _ offset: Int) -> Bool {
    check(offset, octets.count)
    let start = unsafe (base + offset).assumingMemoryBound(to: UInt8.self)
    return unsafe UnsafeBufferPointer(start: start, count: octets.count).span.equals(octets)  // checked above
  }

  /// Prefetches the octets at `offset`.
  func prefetch(_ offset: Int) {
    unsafe sluice_prefetch(base + offset)
  }

  func clear() {
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  // MARK: - Atomic words

  /// `Atomic` has the size and alignment of its word and works in place, so a word of mapped memory can be one.
  @inline(__always)
  private func word(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    check(offset, 8)
    precondition(offset & 7 == 0)
    return unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)  // checked and aligned, above
  }

  /// The word at an offset in octets, a multiple of 8. What was stored before it was released is seen after this.
  @inline(__always)
  package func loadAcquiring(_ offset: Int) -> UInt64 {
    unsafe word(offset).pointee.load(ordering: .acquiring)
  }

  /// Stores the word at an offset in octets, a multiple of 8, behind all that was stored before.
  @inline(__always)
  package func storeReleasing(_ value: UInt64, _ offset: Int) {
    unsafe word(offset).pointee.store(value, ordering: .releasing)
  }

  @inline(__always)
  func loadInOrder(_ offset: Int) -> UInt64 {
    unsafe word(offset).pointee.load(ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  func storeInOrder(_ value: UInt64, _ offset: Int) {
    unsafe word(offset).pointee.store(value, ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  func exchangeInOrder(_ value: UInt64, _ offset: Int) -> UInt64 {
    unsafe word(offset).pointee.exchange(value, ordering: .sequentiallyConsistent)
  }
}

extension [UInt64] {
  /// Prefetches an element.
  func prefetch(_ index: Int) {
    unsafe withUnsafeBufferPointer { words in
      if let base = words.baseAddress { unsafe sluice_prefetch(base + index) }
    }
  }
}
