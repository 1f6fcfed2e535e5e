import ControlAPI
import DNSWire

/// What of a reply the control API tells in words.
enum ReplyText {
  /// The option's code (RFC 8914 section 2).
  private static let option: UInt16 = 15

  /// The first extended error of a message; nil where there is none.
  static func extendedError(of message: [UInt8]) -> ControlAPI.ExtendedError? {
    do throws(FormatError) {
      var reader = try ResponseReader(message.span)
      while let record = try reader.next(message.span) {
        if record.type == .OPT { return extendedError(in: message, record.rdata) }
      }
    } catch {
      // Of a reply of our own nothing is wrong; of another one nothing is told.
    }
    return nil
  }

  private static func extendedError(in message: [UInt8], _ options: Range<Int>) -> ControlAPI.ExtendedError? {
    var at = options.lowerBound
    while let code = message.span.read16(at), let length = message.span.read16(at + 2) {
      let end = at + 4 + Int(length)
      guard end <= options.upperBound else { return nil }
      if code == option, length >= 2, let info = message.span.read16(at + 4) {
        return ControlAPI.ExtendedError(code: info, text: String(decoding: message[(at + 6)..<end], as: UTF8.self))
      }
      at = end
    }
    return nil
  }
}
