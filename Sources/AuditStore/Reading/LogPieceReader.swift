import Glibc
import LinuxIO

/// The octets of one of the log's files: as they are, or decompressed.
struct LogPieceReader: ~Copyable {
  private let file: LogSourceFile
  /// Where the next octets of a plain file stand.
  private var offset: Int
  private var decoder: ZstdDecoder?

  /// - Parameter offset: where to begin in a plain file; a compressed one is read from its beginning.
  init(_ file: LogSourceFile, from offset: Int = 0) throws(SystemError) {
    self.file = file
    self.offset = offset
    decoder = file.form == .zstd ? try ZstdDecoder() : nil
  }

  /// Reads at most `limit` octets into `octets` from index `at` on; how many, 0 at the end as it is now.
  ///
  /// - Throws: when the file cannot be read, EBADMSG when what is compressed is damaged.
  mutating func read(into octets: inout [UInt8], at: Int, atMost limit: Int) throws(SystemError) -> Int {
    if decoder != nil {
      return try decoder?.read(file.descriptor, into: &octets, at: at, atMost: limit) ?? 0
    }
    let room = min(limit, octets.count - at)
    while true {
      let start = off_t(offset)
      let read = unsafe octets.withUnsafeMutableBytes { bytes in
        unsafe pread(file.descriptor.raw, bytes.baseAddress.map { unsafe $0 + at }, room, start)  // at + room <= count
      }
      if read >= 0 {
        offset += read
        return read
      }
      if errno != EINTR { throw SystemError(call: "read", errno: errno) }
    }
  }
}

/// An open file of the log: kept open, so that neither rotation nor compression takes it away.
final class LogSourceFile: Sendable {
  enum Form: Sendable {
    case plain
    case zstd
  }

  /// Octets of the beginning that tell one file of the log from another.
  private static let headOctets = 4096

  let path: String
  let descriptor: FileDescriptor
  let identity: FileIdentity
  let form: Form

  /// Nil when there is no such file.
  init?(path: String) throws(SystemError) {
    let raw = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard raw >= 0 else {
      if errno == ENOENT { return nil }
      throw SystemError(call: "open", errno: errno)
    }
    descriptor = FileDescriptor(raw)
    self.path = path
    guard let identity = FileIdentity(raw) else { throw SystemError(call: "fstat", errno: errno) }
    self.identity = identity
    form = ZstdFormat.isCompressed(descriptor) ? .zstd : .plain
  }

  /// Octets now.
  var size: Int { FileIdentity(descriptor.raw)?.size ?? 0 }

  /// The first line, cut at some length: its id makes it unlike that of any other file. Nil while there is none.
  func firstLine() throws(SystemError) -> [UInt8]? {
    var source = try LogPieceReader(self)
    var head = [UInt8](repeating: 0, count: Self.headOctets)
    var count = 0
    while count < head.count {
      let read: Int
      do throws(SystemError) {
        read = try source.read(into: &head, at: count, atMost: head.count - count)
      } catch {
        guard error.errno == EBADMSG else { throw error }
        break
      }
      guard read > 0 else { break }
      count += read
    }
    if let newline = head[..<count].firstIndex(of: 10) { return Array(head[..<newline]) }
    return count == head.count ? head : nil
  }

  /// The last whole line of a plain file; nil when there is none, when it is long, and for others.
  func lastLine() -> [UInt8]? {
    guard form == .plain else { return nil }
    let start = max(size - (64 << 10), 0)
    var tail = [UInt8](repeating: 0, count: 64 << 10)
    let read = unsafe tail.withUnsafeMutableBytes { bytes in
      unsafe pread(descriptor.raw, bytes.baseAddress, bytes.count, off_t(start))
    }
    guard read > 0, let end = tail[..<read].lastIndex(of: 10) else { return nil }
    guard let before = tail[..<end].lastIndex(of: 10) else { return start == 0 ? Array(tail[..<end]) : nil }
    return Array(tail[(before + 1)..<end])
  }
}

/// Which file it is, whatever its name: true as long as it is open somewhere.
struct FileIdentity: Hashable, Sendable {
  let device: UInt64
  let number: UInt64
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

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    number = UInt64(status.st_ino)
    size = Int(status.st_size)
  }

  static func == (left: Self, right: Self) -> Bool {
    left.device == right.device && left.number == right.number
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(device)
    hasher.combine(number)
  }
}
