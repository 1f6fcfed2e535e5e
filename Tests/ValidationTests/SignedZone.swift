import DNSWire
import LDNS
import TestSupport

@testable import Validation

/// A zone that ldns-signzone signed, and its key.
struct SignedZone {
  /// When everything here is signed rightly: seconds since 1970.
  static let now: UInt32 = 1_750_000_000

  let name: Name
  let records: [MasterFile.Record]
  /// As the parent's zone file has it.
  let delegation: String
  let signers: [DelegationSigner]

  /// - Parameters:
  ///   - text: records of the zone but SOA and NS of its apex.
  ///   - options: of ldns-signzone, beside the times.
  ///   - times: from when to when the signatures hold.
  init(
    _ name: String, _ text: String, algorithm: String = "ECDSAP256SHA256", options: String = "",
    times: ClosedRange<UInt32> = 1_700_000_000...1_800_000_000
  ) throws {
    let origin = name == "." ? "." : name + "."
    let folder = try Kernel.run("mktemp -d").split(separator: "\n")[0]
    defer { _ = try? Kernel.run("rm -r \(folder)") }  // of a folder for this test
    let key = try Kernel.run("cd \(folder) && ldns-keygen -r /dev/urandom -a \(algorithm) -b 1024 -k '\(origin)'")
      .split(separator: "\n")[0]
    let head = "$ORIGIN \(origin)\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n"
    let lines = (head + text).split(separator: "\n").map { "'\($0)'" }.joined(separator: " ")
    let signed = try Kernel.run(
      "cd \(folder) && printf '%s\\n' \(lines) > zone && ldns-signzone \(options) -o '\(origin)' -i \(times.lowerBound) -e "
        + "\(times.upperBound) -f signed zone '\(key)' >/dev/null && cat signed")
    delegation = try Kernel.run("cat '\(folder)/\(key).ds'")
    self.name = try Name(presentation: name)
    records = MasterFile.read(Array(signed.utf8)).records
    signers = MasterFile.read(Array(delegation.utf8)).records.compactMap { DelegationSigner($0.rdata) }
  }

  /// Its keys, as if they had been verified.
  var keys: ZoneKeys {
    ZoneKeys(zone: name, records: records.filter { $0.type == .DNSKEY && $0.owner == name.wire }.map(\.rdata))
  }

  func find(_ owner: Name, _ type: RRType) -> [MasterFile.Record] {
    records.filter { $0.owner == owner.wire && $0.type == type }
  }

  /// The signatures over a type at a name.
  func signatures(_ owner: Name, _ type: RRType) -> [MasterFile.Record] {
    find(owner, .RRSIG).filter { $0.rdata.starts(with: [UInt8(type.rawValue >> 8), UInt8(type.rawValue & 0xFF)]) }
  }

  /// A set with its signatures.
  func signed(_ owner: Name, _ type: RRType) -> [MasterFile.Record] {
    let set = find(owner, type)
    return set.isEmpty ? [] : set + signatures(owner, type)
  }

  /// Everything by which the zone denies, and its SOA.
  var denials: [MasterFile.Record] {
    let proofs = records.filter { record in
      record.type == .NSEC || record.type == .NSEC3
        || record.type == .RRSIG
          && [RRType.NSEC, .NSEC3].contains { record.rdata.starts(with: [0, UInt8($0.rawValue)]) }
    }
    return signed(name, .SOA) + proofs
  }

  func has(_ owner: Name) -> Bool { records.contains { $0.owner == owner.wire && $0.type != .RRSIG } }
}

/// A response, as an upstream writes it that compresses nothing.
struct ResponseText {
  var name: Name
  var type: RRType
  var code = ResponseCode.NOERROR
  var answer: [MasterFile.Record] = []
  var authority: [MasterFile.Record] = []

  var octets: [UInt8] {
    var octets = Self.pair(7) + Self.pair(0x8180 | code.rawValue) + Self.pair(1)
    octets += Self.pair(UInt16(answer.count)) + Self.pair(UInt16(authority.count)) + Self.pair(0)
    octets += name.wire + Self.pair(type.rawValue) + Self.pair(1)
    for record in answer + authority {
      octets += record.owner + Self.pair(record.type.rawValue) + Self.pair(1)
      octets += Self.pair(UInt16(record.ttl >> 16)) + Self.pair(UInt16(truncatingIfNeeded: record.ttl))
      octets += Self.pair(UInt16(record.rdata.count)) + record.rdata
    }
    return octets
  }

  private static func pair(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
}

extension MasterFile.Record {
  /// The same with other data, or at another name.
  func with(owner: Name? = nil, rdata: [UInt8]? = nil) -> MasterFile.Record {
    MasterFile.Record(owner: owner?.wire ?? self.owner, type: type, ttl: ttl, rdata: rdata ?? self.rdata, line: line)
  }
}

extension Name {
  init(_ text: String) {
    guard let name = Name(written: text) else { preconditionFailure("\(text) is no name") }
    self = name
  }
}
