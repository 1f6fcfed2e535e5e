import DNSWire
import IPNetwork

/// A question as a client writes it: labels are any octets, and no name is too odd.
struct Question {
  var labels: [[UInt8]]
  var type: RRType
  var klass: RRClass = .IN
  /// With an OPT of this UDP size; nil for none.
  var size: UInt16? = 1232

  init(labels: [[UInt8]], _ type: RRType = .A, _ klass: RRClass = .IN) {
    self.labels = labels
    self.type = type
    self.klass = klass
  }

  /// Labels are what stands between dots.
  init(_ name: String, _ type: RRType = .A, _ klass: RRClass = .IN) {
    self.init(labels: name.split(separator: ".").map { Array($0.utf8) }, type, klass)
  }

  /// The question's own octets.
  var entry: [UInt8] {
    labels.flatMap { [UInt8($0.count)] + $0 } + [0] + Self.be16(type.rawValue) + Self.be16(klass.rawValue)
  }

  func octets(id: UInt16, copies: Int = 1) -> [UInt8] {
    let header = [id, 0x0100, UInt16(copies), 0, 0, size == nil ? 0 : 1].flatMap(Self.be16)
    let opt = size.map { [0] + Self.be16(41) + Self.be16($0) + [0, 0, 0, 0, 0, 0] } ?? []
    return header + [[UInt8]](repeating: entry, count: copies).joined() + opt
  }

  static func be16(_ value: UInt16) -> [UInt8] {
    [UInt8(value >> 8), UInt8(value & 0xFF)]
  }
}

/// What the tests look at in a reply.
struct Reply {
  var id: UInt16
  var header: Header
  var addresses: [IPAddress] = []
  var ttls: [UInt32] = []
  var octetCount: Int

  var code: ResponseCode { header.responseCode }

  /// Nil for octets that are no well-formed reply.
  init?(_ octets: [UInt8]) {
    let message = octets.span
    guard let header = try? Header(parsing: message), header.isResponse,
      var reader = try? ResponseReader(message)
    else { return nil }
    self.header = header
    id = header.id
    octetCount = octets.count
    do throws(FormatError) {
      while let record = try reader.next(message) {
        guard record.section == .answer else { continue }
        ttls.append(record.ttl)
        guard record.type == .A || record.type == .AAAA else { continue }
        guard let address = IPAddress(octets: message.extracting(record.rdata)) else { return nil }
        addresses.append(address)
      }
    } catch {
      return nil
    }
  }
}
