import Foundation
import LinuxIO

/// The whole lines of an open file from an offset on, in bounded memory.
final class LineReader {
  /// A line of ours is at most some 40 kB; a longer one is damage.
  static let maxLine = 1 << 20
  private static let blockOctets = 256 << 10

  let descriptor: FileDescriptor
  let identity: FileIdentity
  /// Where the next line begins.
  private(set) var offset: Int
  private(set) var overlong = 0
  private var buffer: [UInt8] = []
  /// What one call reads; made with the first.
  private var block: [UInt8] = []
  private var isSkipping = false

  /// Nil when there is no such file.
  init?(path: String, from offset: Int = 0) throws(SystemError) {
    let raw = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard raw >= 0 else {
      if errno == ENOENT { return nil }
      throw SystemError(call: "open", errno: errno)
    }
    descriptor = FileDescriptor(raw)
    guard let identity = FileIdentity(raw) else { throw SystemError(call: "fstat", errno: errno) }
    self.identity = identity
    self.offset = offset
  }

  /// Goes on from another offset.
  func goOn(from offset: Int) {
    self.offset = offset
    buffer.removeAll(keepingCapacity: true)
    isSkipping = false
  }

  /// Gives `body` each whole line that is there now; a line without its newline waits for the next call.
  func forEachLine(_ body: (ArraySlice<UInt8>) -> Void) throws(SystemError) {
    while try fill() {
      var start = 0
      while let newline = Self.newline(buffer, from: start) {
        if !isSkipping { body(buffer[start..<newline]) }
        isSkipping = false
        start = newline + 1
      }
      offset += start
      buffer.removeFirst(start)
      if buffer.count > Self.maxLine {
        overlong += 1
        isSkipping = true
        offset += buffer.count
        buffer.removeAll(keepingCapacity: true)
      }
    }
  }

  private func fill() throws(SystemError) -> Bool {
    let place = off_t(offset + buffer.count)
    if block.isEmpty { block = Array(repeating: 0, count: Self.blockOctets) }
    let read = unsafe block.withUnsafeMutableBytes { bytes in
      unsafe pread(descriptor.raw, bytes.baseAddress, bytes.count, place)
    }
    guard read >= 0 else {
      if errno == EINTR { return true }
      throw SystemError(call: "read", errno: errno)
    }
    buffer.append(contentsOf: block[..<read])
    return read > 0
  }

  private static func newline(_ buffer: [UInt8], from start: Int) -> Int? {
    unsafe buffer.withUnsafeBytes { bytes in
      guard start < bytes.count, let base = bytes.baseAddress else { return nil }
      // start < count
      guard let found = unsafe memchr(base + start, 10, bytes.count - start) else { return nil }
      return unsafe UnsafeRawPointer(found) - base
    }
  }
}

/// Which file it is, whatever its name.
package struct FileIdentity: Hashable, Sendable {
  private let device: UInt64
  private let number: UInt64
  let size: Int

  init?(_ descriptor: Int32) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { return nil }
    self.init(status)
  }

  init?(path: String) {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return nil }
    self.init(status)
  }

  private init(_ status: stat) {
    device = UInt64(status.st_dev)
    number = UInt64(status.st_ino)
    size = Int(status.st_size)
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.device == right.device && left.number == right.number
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(device)
    hasher.combine(number)
  }
}
