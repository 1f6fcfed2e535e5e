import Glibc
import Synchronization

/// A number that only grows, in an anonymous page of memory that processes share: one adds to it, all see it at once.
@safe
package final class SharedCounter: @unchecked Sendable {
  private static let octets = 4_096

  /// `Atomic` has the size and alignment of its word and works in place.
  private let word: UnsafeMutablePointer<Atomic<UInt64>>

  /// Maps a page that another process made.
  ///
  /// - Parameter descriptor: of an anonymous file; stays the caller's.
  /// - Throws: where it is none, or shorter than a page.
  package init(_ descriptor: Int32) throws(SystemError) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_size >= Self.octets else {
      throw SystemError(call: "fstat", errno: EINVAL)
    }
    let memory = unsafe mmap(nil, Self.octets, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else {
      throw SystemError(call: "mmap", errno: errno)
    }
    unsafe word = memory.assumingMemoryBound(to: Atomic<UInt64>.self)  // a page begins at a multiple of 8
  }

  deinit { _ = unsafe munmap(word, Self.octets) }

  /// An anonymous file of one page, which counts from 0.
  package static func makeFile(named name: String) throws(SystemError) -> FileDescriptor {
    let file = try MemoryFile(named: name).take()
    guard ftruncate(file.raw, off_t(octets)) == 0 else { throw SystemError(call: "ftruncate", errno: errno) }
    return file
  }

  @inline(__always)
  package var value: UInt64 { unsafe word.pointee.load(ordering: .acquiring) }

  /// Adds one, from any process and thread that has the page.
  package func add() { _ = unsafe word.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}
