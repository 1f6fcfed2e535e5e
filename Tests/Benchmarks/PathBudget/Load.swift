import DNSWire
import EgressPolicy
import IPNetwork
import Resolver
import ResponseCache
import TestSupport

/// One kind of query.
enum Load: String, CaseIterable {
  /// A listed name whose answer is in the cache: one A record. No OPT, as stub resolvers of the C libraries send it.
  case hit
  case hitEDNS = "hit-edns"
  case hitAAAA = "hit-aaaa"
  /// In mixed case, as a client that uses it against spoofing sends it.
  case hitCase = "hit-case"
  /// Two CNAMEs and four addresses.
  case hitCNAME = "hit-cname"
  /// A listed name that does not exist, remembered.
  case hitNXDOMAIN = "hit-nxdomain"
  /// The same unlisted name again and again; recorded.
  case denied
  /// With the extended error.
  case deniedEDNS = "denied-edns"
  /// Another unlisted name each time.
  case random
  /// A client in no server's network.
  case stranger
  /// A listed name, a type that is not; recorded.
  case nodata
  /// A name in a special-use zone.
  case special
  /// `localhost`: an answer from a local zone's records.
  case local
  /// Messages with the faults of `Fault`.
  case malformed
  /// A listed name that is not in the cache, as far as it is handed over.
  case miss

  /// Packets in a batch.
  static let batch = 1_000

  private var type: RRType {
    switch self {
    case .hitAAAA: .AAAA
    case .nodata: .MX
    default: .A
    }
  }

  /// A batch, with ids that count.
  func packets(_ scenario: Scenario) -> Packets {
    let hasOPT = self == .hitEDNS || self == .hitCNAME || self == .deniedEDNS
    var packets = Packets()
    for index in 0..<Self.batch {
      var message = Messages.query(name(index, scenario), type, id: index, opt: hasOPT ? Messages.opt() : [])
      if self == .malformed { Fault.allCases[index % Fault.allCases.count].apply(to: &message) }
      packets.append(message, from: self == .stranger ? IPAddress(v4: 0xC000_0201) : scenario.client(index))
    }
    return packets
  }

  private func name(_ index: Int, _ scenario: Scenario) -> String {
    switch self {
    case .hit, .hitEDNS, .hitAAAA, .hitCNAME, .hitNXDOMAIN, .nodata, .miss, .malformed: scenario.listedName(index)
    case .hitCase:
      String(scenario.listedName(index).enumerated().map { $0.isMultiple(of: 2) ? Character($1.uppercased()) : $1 })
    case .denied, .deniedEDNS, .stranger: "telemetry.tracker.example.net"
    case .random:
      "\(String(UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15, radix: 16)).tracker.example.net"
    case .special: "printer.local"
    case .local: "localhost"
    }
  }

  /// What a batch must come to.
  var expected: Seen {
    let all = Self.batch
    return switch self {
    case .hit, .hitEDNS, .hitAAAA, .hitCase, .hitCNAME: Seen(replies: all, answers: all * Int(answer.answerCount))
    case .hitNXDOMAIN, .denied, .deniedEDNS, .random, .stranger, .special:
      Seen(replies: all, codes: all * Int(ResponseCode.NXDOMAIN.rawValue))
    case .nodata: Seen(replies: all)
    case .local: Seen(replies: all, answers: all)
    case .malformed: Fault.expected(all)
    case .miss: Seen(pending: all)
    }
  }
}

// MARK: - The cache

extension Load {
  /// Stores an answer to every listed name of a batch, at all ages: from a new one to one in its last second.
  func fillCache(of snapshot: ResolverSnapshot, _ scenario: Scenario) {
    guard self != .miss else { return }
    let ages: [UInt64] = [0, 1, 59, 150, 299]
    for index in 0..<Self.batch {
      let entry = scenario.entry(index)
      var response = answer
      response.expires -= ages[index % ages.count] * 1_000_000_000
      let name = snapshot.policy.servers[entry.server].rules[entry.name].pattern.suffix.wire
      snapshot.servers[entry.server].cache.store(name, type, response)
    }
  }

  /// Sections as the scrubber leaves them.
  private var answer: CachedResponse {
    let asked = Messages.be16(0xC00C)
    let records: [Record] =
      switch self {
      case .hitAAAA: [Record(asked, .AAAA, [0x2A, 0x10, 0, 0x77] + Array(repeating: 1, count: 12))]
      case .hitNXDOMAIN: []
      case .hitCNAME:
        [
          Record(asked, .CNAME, Messages.name("edge.example.net")),
          Record(Messages.name("edge.example.net"), .CNAME, Messages.name("pop-7.example.org")),
        ] + (1...4).map { Record(Messages.name("pop-7.example.org"), .A, [45, 11, 0, $0]) }
      default: [Record(asked, .A, [45, 11, 0, 10])]
      }
    var sections: [UInt8] = []
    var ttlOffsets: [UInt16] = []
    for record in records {
      ttlOffsets.append(UInt16(sections.count + record.ttlOffset))
      sections += record.octets
    }
    let end = Replay.now + 300_000_000_000
    let opensNothing = records.isEmpty
    return CachedResponse(
      responseCode: opensNothing ? .NXDOMAIN : .NOERROR, answerCount: UInt16(records.count), sections: sections,
      ttlOffsets: ttlOffsets, expires: end, grantExpires: opensNothing ? .max : end + 60_000_000_000,
      epoch: opensNothing ? CachedResponse.anyEpoch : 1)
  }
}

private struct Record {
  let octets: [UInt8]
  let ttlOffset: Int

  init(_ owner: [UInt8], _ type: RRType, _ rdata: [UInt8]) {
    ttlOffset = owner.count + 4
    octets =
      owner + Messages.be16(Int(type.rawValue)) + Messages.be16(1) + Messages.be32(300) + Messages.be16(rdata.count)
      + rdata
  }
}
