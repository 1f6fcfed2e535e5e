import DNSWire
import Zones

/// A start of authority that every test zone needs.
func soa(_ apex: String) -> String {
  "\(apex) 300 IN SOA ns.\(apex) hostmaster.\(apex) 1 3600 600 86400 60\n"
}

func zones(_ text: String) throws -> LocalZones {
  try LocalZones(files: [(path: "a.zone", text: Array(text.utf8))])
}

/// The faults that reading `text` meets; empty when it is accepted.
func faults(_ text: [UInt8]) -> [ZoneError] {
  do throws(ZoneErrors) {
    _ = try LocalZones(files: [(path: "a.zone", text: text)])
    return []
  } catch {
    return error.errors
  }
}

func faults(_ text: String) -> [ZoneError] {
  faults(Array(text.utf8))
}

extension LocalZones {
  func answer(_ name: String, _ type: RRType = .A) throws -> LocalAnswer? {
    let wire = try Name(presentation: name).wire
    return answer(name: wire.span, type: type)
  }
}

extension LocalRecord {
  /// Owner, type and value of what the tests use.
  var summary: String {
    let value: String =
      switch type {
      case .A: rdata.map(String.init).joined(separator: ".")
      case .CNAME: NameWire.presentation(rdata.span)
      default: "\(rdata.count) octets"
      }
    return "\(NameWire.presentation(owner.span)) \(type) \(value)"
  }
}
