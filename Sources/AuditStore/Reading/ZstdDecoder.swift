import CZstd
import Glibc
import LinuxIO

/// Zstandard (RFC 8878) as the log's files use it.
enum ZstdFormat {
  /// Whether a file begins like a frame.
  static func isCompressed(_ file: borrowing FileDescriptor) -> Bool {
    var magic: UInt32 = 0
    let read = unsafe withUnsafeMutableBytes(of: &magic) { unsafe pread(file.raw, $0.baseAddress, $0.count, 0) }
    return read == 4 && UInt32(littleEndian: magic) == 0xFD2F_B528
  }
}

/// Decompresses a file from its beginning, any number of frames, in bounded memory.
@safe
struct ZstdDecoder: ~Copyable {
  /// A frame that looks back further is refused: 8 MiB is what `zstd -19` needs, `--ultra` and `--long` need more.
  private static let windowLog: Int32 = 23
  private static let inputOctets = 128 << 10

  private let context: OpaquePointer
  private var input: [UInt8]
  private var pending = 0..<0
  private var offset = 0
  /// Between two frames: the file may end here.
  private var isBetween = true

  init() throws(SystemError) {
    guard let context = unsafe ZSTD_createDCtx() else { throw SystemError(call: "decompress", errno: ENOMEM) }
    unsafe self.context = context
    unsafe ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.windowLog)
    input = [UInt8](repeating: 0, count: Self.inputOctets)
  }

  deinit { unsafe ZSTD_freeDCtx(context) }

  /// Decompresses at most `limit` octets into `octets` from index `at` on; how many, 0 at the end.
  ///
  /// - Throws: EBADMSG for what is damaged, cut off or needs too much memory, else why the file cannot be read.
  mutating func read(
    _ file: borrowing FileDescriptor, into octets: inout [UInt8], at: Int, atMost limit: Int
  ) throws(SystemError) -> Int {
    let room = min(limit, octets.count - at)
    while room > 0 {
      if pending.isEmpty {
        let count = unsafe input.withUnsafeMutableBytes { bytes in
          unsafe pread(file.raw, bytes.baseAddress, bytes.count, off_t(offset))
        }
        guard count >= 0 else {
          if errno == EINTR { continue }
          throw SystemError(call: "read", errno: errno)
        }
        if count == 0, isBetween { return 0 }
        offset += count
        pending = 0..<count
      }
      let (made, taken, hint) = unsafe octets.withUnsafeMutableBytes { output in
        unsafe input.withUnsafeBytes { input in
          // at + room <= output.count, pending lies in input
          var out = unsafe ZSTD_outBuffer(dst: output.baseAddress.map { unsafe $0 + at }, size: room, pos: 0)
          var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: pending.upperBound, pos: pending.lowerBound)
          let hint = unsafe ZSTD_decompressStream(context, &out, &source)
          return unsafe (out.pos, source.pos, hint)
        }
      }
      guard ZSTD_isError(hint) == 0 else { throw SystemError(call: "decompress", errno: EBADMSG) }
      let isCutOff = pending.isEmpty && made == 0 && hint != 0
      pending = taken..<pending.upperBound
      isBetween = hint == 0
      if made > 0 { return made }
      if isCutOff { throw SystemError(call: "decompress", errno: EBADMSG) }
    }
    return 0
  }
}
