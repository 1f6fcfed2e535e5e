import DNSWire

/// The only queries that ever leave: a function of the allowed name, the allowed type and our own random id (P5); name and
/// type of a probe are the pool's own.
enum UpstreamQuery {
  /// RFC 9715: answers that fit one unfragmented datagram.
  static let payloadSize: UInt16 = 1232

  /// Queries that are encrypted have lengths of whole blocks (RFC 8467 section 4.1).
  static let block = 128
  /// Codes and lengths of the options TCP keepalive (RFC 7828) and padding (RFC 7830).
  private static let optionOctets = 8

  /// RD set, one question of class IN, and an OPT of our own unless the server can't take one.
  ///
  /// - Parameter isPadded: for a connection that is encrypted and stays: padded to whole blocks, and asking how long.
  static func message(
    id: UInt16, name: [UInt8], type: RRType, withEDNS: Bool, isPadded: Bool = false
  ) -> [UInt8] {
    let octets = Header.octetCount + name.count + 4 + 11
    let options = withEDNS && isPadded ? (octets + optionOctets + block - 1) / block * block - octets : 0
    return [UInt8](capacity: octets + options) { out in
      Header(id: id, flags: 0x0100, questionCount: 1, additionalCount: withEDNS ? 1 : 0).append(to: &out)
      out.append(contentsOf: name.span)
      out.append(bigEndian: type.rawValue)
      out.append(bigEndian: RRClass.IN.rawValue)
      if withEDNS {
        out.append(0)
        out.append(bigEndian: RRType.OPT.rawValue)
        out.append(bigEndian: payloadSize)
        out.append(bigEndian: UInt32(0))
        out.append(bigEndian: UInt16(options))
      }
      guard options > 0 else { return }
      out.append(bigEndian: keepaliveCode)
      out.append(bigEndian: UInt16(0))
      out.append(bigEndian: paddingCode)
      out.append(bigEndian: UInt16(options - optionOctets))
      for _ in 0..<(options - optionOctets) { out.append(0) }
    }
  }

  private static let keepaliveCode: UInt16 = 11
  private static let paddingCode: UInt16 = 12

  /// For how many milliseconds a server keeps a connection that has nothing to do (RFC 7828 section 3.3.2); nil where its
  /// answer does not say.
  static func keepalive(_ message: Span<UInt8>) -> UInt64? {
    do throws(FormatError) {
      var reader = try ResponseReader(message)
      while let record = try reader.next(message) {
        if record.type == .OPT { return keepalive(message, record.rdata) }
      }
    } catch {}
    return nil
  }

  /// - Parameter options: of an OPT; the reader found them to be whole.
  private static func keepalive(_ message: Span<UInt8>, _ options: Range<Int>) -> UInt64? {
    var offset = options.lowerBound
    while let code = message.read16(offset), let length = message.read16(offset + 2), offset < options.upperBound {
      if code == keepaliveCode, length == 2, let tenths = message.read16(offset + 4) { return UInt64(tenths) * 100 }
      offset += 4 + Int(length)
    }
    return nil
  }

  /// Whether a message answers the query with this id and question (RFC 5452 section 9.1; the source is the socket's).
  static func isAnswer(_ message: Span<UInt8>, id: UInt16, name: [UInt8], type: RRType) -> Bool {
    let end = Header.octetCount + name.count
    guard let header = Header(message), header.id == id, header.isResponse, header.opcode == .QUERY,
      header.questionCount == 1,
      message.read16(end) == type.rawValue, message.read16(end + 2) == RRClass.IN.rawValue
    else { return isBareHeader(message, id: id) }
    for index in name.indices where NameWire.lowercased(message[Header.octetCount + index]) != name[index] {
      return false
    }
    return true
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
