import CZstd
import Glibc
import LinuxIO

/// Compresses octets to one Zstandard frame (RFC 8878) with a checksum, block by block, in some 5 MiB.
@safe
struct ZstdEncoder: ~Copyable {
  /// The program's own default: higher levels take twice the time for a tenth less.
  private static let level: Int32 = 3

  private let context: OpaquePointer

  /// - Parameter size: octets that will be given in all; the frame says so.
  init(size: Int) throws(SystemError) {
    guard let context = unsafe ZSTD_createCCtx() else { throw SystemError(call: "compress", errno: ENOMEM) }
    unsafe self.context = context
    unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.level)
    unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    unsafe ZSTD_CCtx_setPledgedSrcSize(context, UInt64(size))
  }

  deinit { unsafe ZSTD_freeCCtx(context) }

  /// Compresses the first `count` octets of `input`, the last ones if `isLast`, and appends what comes out of it.
  mutating func append(_ input: [UInt8], count: Int, isLast: Bool, to output: inout [UInt8]) throws(SystemError) {
    var buffer = [UInt8](repeating: 0, count: 128 << 10)
    var at = 0
    while true {
      let (made, taken, rest) = unsafe buffer.withUnsafeMutableBytes { out in
        unsafe input.withUnsafeBytes { bytes in
          var output = unsafe ZSTD_outBuffer(dst: out.baseAddress, size: out.count, pos: 0)
          // at <= count <= input.count
          var source = unsafe ZSTD_inBuffer(src: bytes.baseAddress, size: min(count, bytes.count), pos: at)
          let rest = unsafe ZSTD_compressStream2(context, &output, &source, isLast ? ZSTD_e_end : ZSTD_e_continue)
          return unsafe (output.pos, source.pos, rest)
        }
      }
      guard ZSTD_isError(rest) == 0 else { throw SystemError(call: "compress", errno: EIO) }
      output.append(contentsOf: buffer[..<made])
      at = taken
      if isLast ? rest == 0 : at >= count { return }
    }
  }
}
