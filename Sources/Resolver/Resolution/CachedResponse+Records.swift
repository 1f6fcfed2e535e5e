package import DNSWire
package import IPNetwork
package import ResponseCache

/// The records of an answer in the cache, read back from its sections.
extension CachedResponse {
  /// The answer section, read by `body` from a message that is made for it; of what cannot be read no more is given.
  ///
  /// - Parameter name: the canonical wire name that was asked for.
  package func forEachAnswer(
    to name: [UInt8], _ type: RRType, _ body: (RecordHeader, [UInt8]) throws(FormatError) -> Void
  ) {
    let message = [UInt8](capacity: Header.octetCount + name.count + 4 + sections.count) { out in
      Header(id: 0, flags: 0x8000, questionCount: 1, answerCount: answerCount, authorityCount: authorityCount)
        .append(to: &out)
      out.append(contentsOf: name.span)
      out.append(bigEndian: type.rawValue)
      out.append(bigEndian: RRClass.IN.rawValue)
      out.append(contentsOf: sections.span)
    }
    do throws(FormatError) {
      var reader = try ResponseReader(message.span)
      while let record = try reader.next(message.span), record.section == .answer { try body(record, message) }
    } catch {
      // What the scrubber wrote can be read back.
    }
  }

  /// The targets of its CNAMEs, in order.
  package func chain(of name: [UInt8], _ type: RRType) -> [[UInt8]] {
    var chain: [[UInt8]] = []
    forEachAnswer(to: name, type) { record, message throws(FormatError) in
      guard record.type == .CNAME else { return }
      var pointers = NameWire.pointerBudget
      chain.append(try wireName(message.span, at: record.rdata.lowerBound, &pointers))
    }
    return chain
  }

  /// The addresses of its A and AAAA records, and of hints.
  package var addresses: [IPAddress] {
    ttlOffsets.flatMap { offset -> [IPAddress] in
      let position = Int(offset)
      // Type and class stand before the TTL, the length of the data and the data behind it (RFC 1035 section 3.2.1).
      guard position >= 4, position + 6 <= sections.count else { return [] }
      let type = RRType(rawValue: UInt16(sections[position - 4]) << 8 | UInt16(sections[position - 3]))
      let end = position + 6 + (Int(sections[position + 4]) << 8 | Int(sections[position + 5]))
      guard end <= sections.count else { return [] }
      switch type {
      case .A, .AAAA: return [IPAddress(octets: sections.span.extracting((position + 6)..<end))].compactMap(\.self)
      // What cannot be read, which the scrubber does not write, has none.
      case .SVCB, .HTTPS: return (try? ServiceBinding(sections.span, (position + 6)..<end))?.hints ?? []
      default: return []
      }
    }
  }
}
