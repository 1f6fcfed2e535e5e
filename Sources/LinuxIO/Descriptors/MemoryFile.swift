import CLinux
import Glibc

/// A file in memory (memfd_create(2)), there as long as its owner or a process that was handed its descriptor.
package struct MemoryFile: ~Copyable {
  private let file: FileDescriptor

  /// Stays this file's: a process that is started with it has one of its own.
  package var raw: Int32 { file.raw }

  /// - Parameter octets: what it holds, to be read from its beginning.
  /// - Throws: where there is no memory for it.
  package init(named name: String, holding octets: [UInt8] = []) throws(SystemError) {
    let raw = unsafe sluice_memory_file(name)
    guard raw >= 0 else { throw SystemError(call: "memfd_create", errno: -raw) }
    let file = FileDescriptor(raw)
    try Self.fill(raw, octets)
    self.file = file
  }

  /// Its descriptor, and with it the file, is another owner's from now on.
  package consuming func take() -> FileDescriptor { file }

  private static func fill(_ raw: Int32, _ octets: [UInt8]) throws(SystemError) {
    var left = octets[...]
    while !left.isEmpty {
      // As many octets as the slice has.
      let count = unsafe left.withUnsafeBytes { unsafe write(raw, $0.baseAddress, $0.count) }
      guard count > 0 else { throw SystemError(call: "write", errno: errno) }
      left = left.dropFirst(count)
    }
    guard lseek(raw, 0, SEEK_SET) == 0 else { throw SystemError(call: "lseek", errno: errno) }
  }

  /// All that it holds, by whichever process it was written.
  package func contents() throws(SystemError) -> [UInt8] { try Self.contents(of: file.raw) }

  /// All that the file of a descriptor holds, which another process may have made.
  package static func contents(of raw: Int32) throws(SystemError) -> [UInt8] {
    var octets: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      // At most as many octets as the array has.
      let count = unsafe pread(raw, &chunk, chunk.count, off_t(octets.count))
      guard count >= 0 else { throw SystemError(call: "pread", errno: errno) }
      guard count > 0 else { return octets }
      octets += chunk.prefix(count)
    }
  }
}
