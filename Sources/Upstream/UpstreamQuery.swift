import DNSWire

/// The only queries that ever leave: a function of the allowed name, the allowed type and our own randomness: id, letter case
/// and cookie (P5); name and type of a probe are the pool's own.
enum UpstreamQuery {
  /// RFC 9715: answers that fit one unfragmented datagram.
  static let payloadSize: UInt16 = 1232

  /// Queries that are encrypted have lengths of whole blocks (RFC 8467 section 4.1).
  static let block = 128
  /// COOKIE among the options of an OPT (RFC 7873 section 8).
  private static let cookieOption: UInt16 = 10
  /// What a client's own part of a cookie has (RFC 7873 section 4).
  static let clientCookieCount = 8
  /// Codes of the options TCP keepalive (RFC 7828) and padding (RFC 7830).
  private static let keepaliveOption: UInt16 = 11
  private static let paddingOption: UInt16 = 12
  /// Octets of a keepalive without a time, and of a padding's head.
  private static let headOctets = 4

  /// What a query says beside its question.
  struct Options {
    /// Of the OPT; none where it is empty.
    var cookie: [UInt8] = []
    /// DO and CD are set: the answer comes with its signatures, and as it is (RFC 3225, RFC 6840 section 5.9).
    var isSigned = false
    /// For a connection that is encrypted: padded to whole blocks.
    var isPadded = false
    /// And asking for how long the connection stays; by HTTP it has words of its own for that.
    var asksIdle = true
  }

  /// RD set, one question of class IN, and an OPT of our own unless the server can't take one.
  ///
  /// - Parameter name: in the case in which it is asked.
  static func message(
    id: UInt16, name: [UInt8], type: RRType, withEDNS: Bool, _ options: Options = Options()
  ) -> [UInt8] {
    let (cookie, isSigned, asksIdle) = (options.cookie, options.isSigned, options.asksIdle)
    let cookieOctets = !withEDNS || cookie.isEmpty ? 0 : 4 + cookie.count
    let octets = Header.octetCount + name.count + 4 + 11 + cookieOctets
    let shapeOctets = asksIdle ? 2 * headOctets : headOctets
    let shape = withEDNS && options.isPadded ? (octets + shapeOctets + block - 1) / block * block - octets : 0
    return [UInt8](upTo: octets + shape) { out in
      Header(id: id, flags: isSigned ? 0x0110 : 0x0100, questionCount: 1, additionalCount: withEDNS ? 1 : 0).append(
        to: &out)
      out.append(contentsOf: name.span)
      out.append(bigEndian: type.rawValue)
      out.append(bigEndian: RRClass.IN.rawValue)
      if withEDNS {
        out.append(0)
        out.append(bigEndian: RRType.OPT.rawValue)
        out.append(bigEndian: payloadSize)
        out.append(bigEndian: isSigned ? UInt32(0x8000) : 0)
        out.append(bigEndian: UInt16(cookieOctets + shape))
      }
      if cookieOctets > 0 {
        out.append(bigEndian: cookieOption)
        out.append(bigEndian: UInt16(cookie.count))
        out.append(contentsOf: cookie.span)
      }
      guard shape > 0 else { return }
      if asksIdle {
        out.append(bigEndian: keepaliveOption)
        out.append(bigEndian: UInt16(0))
      }
      out.append(bigEndian: paddingOption)
      out.append(bigEndian: UInt16(shape - shapeOctets))
      for _ in 0..<(shape - shapeOctets) { out.append(0) }
    }
  }

  /// For how many milliseconds a server keeps a connection that has nothing to do (RFC 7828 section 3.3.2); nil where its
  /// answer does not say.
  static func keepalive(_ message: Span<UInt8>) -> UInt64? {
    guard let data = option(keepaliveOption, of: message), data.count == 2 else { return nil }
    return message.read16(data.lowerBound).map { UInt64($0) * 100 }
  }

  /// A canonical name with some of its letters in upper case ("0x20"): whoever forges an answer has to guess which.
  ///
  /// - Parameter letters: a bit for each letter; of more than 64 those after it repeat them. 0 leaves the name as it is.
  static func spelled(_ name: [UInt8], by letters: UInt64) -> [UInt8] {
    guard letters != 0 else { return name }
    var (spelled, left) = (name, letters)
    // The octets that count a label's are below 64, and no letters.
    for index in spelled.indices where (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(spelled[index]) {
      spelled[index] ^= UInt8(left & 1) << 5
      left = left >> 1 | left << 63
    }
    return spelled
  }

  /// What a message is to a query.
  enum Match {
    /// No answer to it (RFC 5452 section 9.1; the source is the socket's).
    case none
    /// An answer to its question in other letters: of a server that does not keep case, or of a forger.
    case otherCase
    case answer
  }

  /// Whether a message answers the query with this id and question.
  ///
  /// - Parameter name: in the case in which it was asked.
  static func match(_ message: Span<UInt8>, id: UInt16, name: [UInt8], type: RRType) -> Match {
    let end = Header.octetCount + name.count
    guard let header = Header(message), header.id == id, header.isResponse, header.opcode == .QUERY,
      header.questionCount == 1,
      message.read16(end) == type.rawValue, message.read16(end + 2) == RRClass.IN.rawValue
    else { return isBareHeader(message, id: id) ? .answer : .none }
    var match = Match.answer
    for index in name.indices where message[Header.octetCount + index] != name[index] {
      guard NameWire.lowercased(message[Header.octetCount + index]) == NameWire.lowercased(name[index]) else {
        return .none
      }
      match = .otherCase
    }
    return match
  }

  /// The cookie in an answer's OPT: the client's part and, where the server gives one, its own behind it (RFC 7873 section
  /// 4). Nil where there is none, or none that is one.
  static func cookie(_ message: Span<UInt8>) -> [UInt8]? {
    // 8 octets of the client, and none or 8 to 32 of the server.
    guard let data = option(cookieOption, of: message),
      data.count == clientCookieCount || (16...40).contains(data.count)
    else { return nil }
    return [UInt8](message.extracting(data))
  }

  /// Where the data of an option of a message's OPT stand; nil where it has none.
  private static func option(_ wanted: UInt16, of message: Span<UInt8>) -> Range<Int>? {
    guard let header = Header(message), header.additionalCount > 0, header.questionCount <= 1 else { return nil }
    let before = Int(header.answerCount) + Int(header.authorityCount)
    var at = Header.octetCount
    if header.questionCount == 1 {
      guard let end = nameEnd(message, at) else { return nil }
      at = end + 4
    }
    // Every record takes eleven octets at least, so that the message's end bounds this. Names are passed by: what is in them is
    // judged by who takes records.
    for index in 0..<(before + Int(header.additionalCount)) {
      guard let fields = nameEnd(message, at), let type = message.read16(fields),
        let length = message.read16(fields + 8), case let start = fields + 10, start + Int(length) <= message.count
      else { return nil }
      if type == RRType.OPT.rawValue {
        return index < before ? nil : option(wanted, of: message, among: start..<(start + Int(length)))
      }
      at = start + Int(length)
    }
    return nil
  }

  /// Where a name ends in a message, compressed or not; nil where it does not end in it.
  private static func nameEnd(_ message: Span<UInt8>, _ start: Int) -> Int? {
    var at = start
    while at < message.count {
      switch message[at] {
      case 0: return at + 1
      case 0xC0...: return at + 2
      default: at += Int(message[at]) + 1
      }
    }
    return nil
  }

  /// Options that do not fit the record end with it.
  private static func option(_ wanted: UInt16, of message: Span<UInt8>, among options: Range<Int>) -> Range<Int>? {
    var at = options.lowerBound
    // Octets that are too few for an option are none, whatever stands behind the record.
    while options.upperBound - at >= 4, let code = message.read16(at), let count = message.read16(at + 2) {
      let data = (at + 4)..<min(at + 4 + Int(count), options.upperBound)
      if code == wanted { return data }
      at = data.upperBound
    }
    return nil
  }

  /// The response code of an answer, with the bits that its OPT adds (RFC 6891 section 6.1.3).
  ///
  /// An answer with records says all in its header; one that can't be read is judged by who rebuilds it.
  static func responseCode(_ message: Span<UInt8>) -> ResponseCode {
    guard let header = Header(message) else { return .FORMERR }
    guard header.answerCount == 0, header.additionalCount > 0 else { return header.responseCode }
    do throws(FormatError) {
      var reader = try ResponseReader(message)
      while let record = try reader.next(message), record.type != .OPT {}
      return ResponseCode(rawValue: UInt16(reader.edns?.extendedCode ?? 0) << 4 | header.responseCode.rawValue)
    } catch {
      return header.responseCode
    }
  }

  /// Whether a message sends us to other name servers instead of answering: name servers without an SOA (RFC 2308 section
  /// 2.2). So does a server that does not resolve for us.
  static func isReferral(_ message: Span<UInt8>) -> Bool {
    guard let header = Header(message), header.answerCount == 0, header.authorityCount > 0 else { return false }
    var hasServers = false
    do throws(FormatError) {
      var reader = try ResponseReader(message)
      while let record = try reader.next(message), record.section == .authority {
        if record.type == .SOA { return false }
        if record.type == .NS { hasServers = true }
      }
    } catch {
      return false
    }
    return hasServers
  }

  /// Whether there was no room for all of a message (TC), which has a header.
  static func isTruncated(_ message: Span<UInt8>) -> Bool { message[2] & 0x02 != 0 }

  /// A server that can't parse our query, will not answer it, or has no room for the answer may say so with a header and
  /// nothing else.
  private static func isBareHeader(_ message: Span<UInt8>, id: UInt16) -> Bool {
    guard message.count == Header.octetCount, let header = Header(message),
      header.id == id, header.isResponse, header.opcode == .QUERY, header.questionCount == 0
    else { return false }
    switch header.responseCode {
    case .FORMERR, .SERVFAIL, .NOTIMP, .REFUSED: return true
    default: return header.isTruncated
    }
  }
}
