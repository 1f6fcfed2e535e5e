import DNSWire
import EgressPolicy
import IPNetwork
import TestSupport
import Testing

@testable import Resolver

private func scrubber(
  private prefixes: [IPPrefix] = [], forbidden: [String] = ["localhost", "metadata.internal"],
  listed: [String] = ["svc.example.com"], maxTTL: UInt32 = 3600, maxNegativeTTL: UInt32 = 300,
  chains: ChainPolicy = .follow, service: ServiceRules = ServiceRules()
) -> Scrubber {
  let forbiddenWire = forbidden.map(Messages.name)
  let listedWire = listed.map(Messages.name)
  return Scrubber(
    maxTTL: maxTTL, maxNegativeTTL: maxNegativeTTL,
    admitsAddress: { address, _ in address.isPublic || prefixes.contains { $0.contains(address) } },
    admitsTarget: { !forbiddenWire.contains($0) }, lists: { listedWire.contains($0) }, chains: chains, service: service)
}

/// Scrubs an answer to `name`, A unless said otherwise.
private func scrub(
  _ answers: [[UInt8]], name: String = "www.example.com", type: RRType = .A, code: Int = 0,
  authorities: [[UInt8]] = [], additionals: [[UInt8]] = [], with scrubber: Scrubber = scrubber()
) throws -> ScrubbedAnswer {
  let message = Messages.response(
    name, type, code: code, answers: answers, authorities: authorities, additionals: additionals)
  return try scrubber.scrub(message.span, name: Messages.name(name), type: type)
}

extension ScrubbedAnswer {
  /// The answer as a client would read it.
  fileprivate func reply(_ name: String = "www.example.com", _ type: RRType = .A) throws -> Reply {
    let head =
      Messages.be16(1) + Messages.be16(0x8180) + Messages.be16(1) + Messages.be16(Int(answerCount))
      + Messages.be16(Int(authorityCount)) + Messages.be16(0)
    return try Reply(
      head + Messages.name(name) + Messages.be16(Int(type.rawValue)) + Messages.be16(1) + sections)
  }

  fileprivate var texts: [String] { addresses.map(\.description) }
}

@Suite("Scrubbing an upstream's answer: the chain")
struct ScrubberChainTests {
  @Test("addresses of the asked name are kept, in order, each once")
  func direct() throws {
    let answer = try scrub([
      a("www.example.com", "9.9.9.9"), a("www.example.com", "8.8.8.8"), a("WWW.example.COM", "9.9.9.9"),
    ])
    #expect(answer.texts == ["9.9.9.9", "8.8.8.8"])
    #expect(
      try answer.reply().summaries == ["www.example.com A 9.9.9.9", "www.example.com A 8.8.8.8"])
    #expect(answer.chain.isEmpty && answer.ttl == 300)
  }

  @Test("a chain is walked owner by owner, whatever order its records come in", arguments: 0..<24)
  func order(permutation: Int) throws {
    var left = [
      cname("www.example.com", "a.example.net"), cname("a.example.net", "b.example.net"),
      cname("b.example.net", "c.example.net"), a("c.example.net", "9.9.9.9"),
    ]
    var records: [[UInt8]] = []
    var code = permutation
    while !left.isEmpty {
      records.append(left.remove(at: code % left.count))
      code /= left.count + 1
    }
    let answer = try scrub(records)
    #expect(answer.chain == ["a.example.net", "b.example.net", "c.example.net"].map(Messages.name))
    #expect(
      try answer.reply().summaries == [
        "www.example.com CNAME a.example.net", "a.example.net CNAME b.example.net",
        "b.example.net CNAME c.example.net", "c.example.net A 9.9.9.9",
      ])
  }

  @Test("records that are not on the chain are dropped")
  func offChain() throws {
    let answer = try scrub([
      a("other.example.com", "8.8.8.8"), cname("www.example.com", "a.example.net"), a("www.example.com", "8.8.4.4"),
      a("a.example.net", "9.9.9.9"), cname("other.example.com", "x.example.net"), a("x.example.net", "8.8.8.8"),
    ])
    #expect(answer.texts == ["9.9.9.9"])
    #expect(answer.answerCount == 2)
  }

  @Test("a private address off the chain does no harm")
  func offChainPrivate() throws {
    #expect(try scrub([a("www.example.com", "9.9.9.9"), a("x.example.com", "10.0.0.1")]).texts == ["9.9.9.9"])
  }

  @Test("records of the authority and additional sections are never used as the answer")
  func otherSections() throws {
    let records = [a("www.example.com", "9.9.9.9")]
    let fromAuthority = try scrub([], authorities: records)
    #expect(fromAuthority.addresses.isEmpty && fromAuthority.answerCount == 0 && fromAuthority.ttl == 0)
    let fromAdditional = try scrub([], additionals: records)
    #expect(fromAdditional.addresses.isEmpty && fromAdditional.answerCount == 0)
    let glue = try scrub(
      [cname("www.example.com", "a.example.net")],
      authorities: [Messages.record("example.net", .NS, Messages.name("ns.evil.example"))],
      additionals: [a("a.example.net", "9.9.9.9"), a("ns.evil.example", "8.8.8.8")])
    #expect(glue.addresses.isEmpty && glue.answerCount == 1 && glue.authorityCount == 0)
  }

  @Test("additional data is never read, however much it is")
  func manyAdditionals() throws {
    let more = [[UInt8]](repeating: a("x.example.net", "8.8.8.8"), count: 2 * Scrubber.maxRecords)
    #expect(try scrub([a("www.example.com", "9.9.9.9")], additionals: more).texts == ["9.9.9.9"])
  }

  @Test("512 records are looked at, and what comes after them is cut")
  func manyRecords() throws {
    func records(_ count: Int) -> [[UInt8]] {
      [a("www.example.com", "9.9.9.9")] + [[UInt8]](repeating: a("x", "8.8.8.8"), count: count - 1)
    }
    #expect(try scrub(records(Scrubber.maxRecords)).texts == ["9.9.9.9"])
    let cut = try scrub(records(Scrubber.maxRecords + 1))
    #expect(cut.texts == ["9.9.9.9"] && cut.recordsCut == 1)
  }

  @Test("of links and SOAs 512 are looked at, whatever they belong to (P8)")
  func manyLinks() throws {
    func texts(_ others: Int) throws -> [String] {
      let other = [[UInt8]](repeating: cname("x", "y"), count: others)
      return try scrub(other + [cname("www.example.com", "a.example.net"), a("a.example.net", "9.9.9.9")]).texts
    }
    #expect(try texts(Scrubber.maxRecords - 1) == ["9.9.9.9"])
    #expect(try texts(Scrubber.maxRecords) == [])
  }

  @Test("of an answer whose records take more than 16,384 octets the rest is cut")
  func manyOctets() throws {
    // Each takes twelve octets and its data.
    func records(_ count: Int) -> [[UInt8]] {
      let text: [UInt8] = [243] + [UInt8](repeating: 97, count: 243)
      return [[UInt8]](repeating: Messages.record("www.example.com", .TXT, text), count: count)
    }
    #expect(try scrub(records(64), type: .TXT).sections.count == Scrubber.maxSections)
    let cut = try scrub(records(65), type: .TXT)
    #expect(cut.sections.count == Scrubber.maxSections && cut.answerCount == 64 && cut.recordsCut == 1)
  }

  @Test("another type or class in the answer is dropped")
  func typeAndClass() throws {
    let answer = try scrub([
      a("www.example.com", "2600::1"), Messages.record("www.example.com", .TXT, [3, 1, 2, 3]),
      Messages.record("www.example.com", .A, klass: 3, [8, 8, 8, 8]), a("www.example.com", "9.9.9.9"),
    ])
    #expect(answer.texts == ["9.9.9.9"] && answer.answerCount == 1)
    #expect(try scrub([a("www.example.com", "2600::1")]).addresses.isEmpty)
  }

  @Test(
    "a chain that loops or contradicts itself is refused",
    arguments: [
      [("www.example.com", "www.example.com")],
      [("www.example.com", "a.example.net"), ("a.example.net", "www.example.com")],
      [("www.example.com", "a.example.net"), ("a.example.net", "b.example.net"), ("b.example.net", "a.example.net")],
      [("www.example.com", "a.example.net"), ("www.example.com", "b.example.net")],
    ])
  func loops(links: [(String, String)]) {
    let records = links.map { cname($0.0, $0.1) } + [a("a.example.net", "9.9.9.9"), a("www.example.com", "9.9.9.9")]
    #expect(throws: ScrubError.invalid) { try scrub(records) }
  }

  @Test("the same CNAME twice is one CNAME")
  func repeated() throws {
    let answer = try scrub([
      cname("www.example.com", "a.example.net"), cname("www.example.com", "A.example.NET"),
      a("a.example.net", "9.9.9.9"),
    ])
    #expect(answer.texts == ["9.9.9.9"] && answer.answerCount == 2)
  }

  private func chain(_ links: Int) -> [[UInt8]] {
    let names = ["www.example.com"] + (1...links).map { "n\($0).example.net" }
    return zip(names, names.dropFirst()).map { cname($0, $1) } + [a(names[links], "9.9.9.9")]
  }

  @Test("eleven links are followed, a twelfth is refused as such; a loop is one however long it is")
  func length() throws {
    #expect(try scrub(chain(Scrubber.maxChain)).texts == ["9.9.9.9"])
    #expect(throws: ScrubError.chainTooLong) { try scrub(chain(Scrubber.maxChain + 1)) }
    let loop = chain(Scrubber.maxChain) + [cname("n11.example.net", "n3.example.net")]
    #expect(throws: ScrubError.invalid) { try scrub(loop) }
  }

  @Test("a chain of listed names alone is answered where the rule wants that; any other one is refused with its names")
  func listedChain() throws {
    let records = [
      cname("www.example.com", "a.example.net"), cname("a.example.net", "b.example.net"),
      a("b.example.net", "9.9.9.9"),
    ]
    let both = ["a.example.net", "b.example.net"]
    #expect(try scrub(records, with: scrubber(listed: both, chains: .listed)).texts == ["9.9.9.9"])
    #expect(throws: ScrubError.chainRefused(both.map(Messages.name))) {
      try scrub(records, with: scrubber(listed: ["a.example.net"], chains: .listed))
    }
    #expect(throws: ScrubError.chainRefused([Messages.name("a.example.net")])) {
      try scrub(records, with: scrubber(listed: both, chains: .strict))
    }
    #expect(try scrub([a("www.example.com", "9.9.9.9")], with: scrubber(chains: .strict)).texts == ["9.9.9.9"])
    #expect(throws: ScrubError.chainRefused([Messages.name("a.example.net")])) {
      try scrub([cname("www.example.com", "a.example.net")], code: 3, with: scrubber(chains: .listed))
    }
  }

  private func dname(_ owner: String, _ target: String, ttl: Int = 300) -> [UInt8] {
    Messages.record(owner, .DNAME, ttl: ttl, Messages.name(target))
  }

  @Test("a DNAME leads where the CNAME beside it does, and where there is none by itself")
  func rewritten() throws {
    let (rewriting, end) = (dname("example.com", "example.net", ttl: 60), a("www.example.net", "9.9.9.9"))
    for records in [[rewriting, cname("www.example.com", "www.example.net"), end], [rewriting, end]] {
      let answer = try scrub(records)
      #expect(answer.texts == ["9.9.9.9"] && answer.ttl == 60)
      #expect(
        try answer.reply().summaries == ["www.example.com CNAME www.example.net", "www.example.net A 9.9.9.9"])
    }
    #expect(throws: ScrubError.chainRefused([Messages.name("www.example.net")])) {
      try scrub([rewriting, end], with: scrubber(chains: .strict))
    }
  }

  @Test("a CNAME that is not what the DNAME says, DNAMEs that differ, loop, or lead too far refuse the answer")
  func wronglyRewritten() throws {
    let long = Array(repeating: String(repeating: "a", count: 62), count: 4).joined(separator: ".")
    for records in [
      [dname("example.com", "example.net"), cname("www.example.com", "www.evil.example")],
      [dname("example.com", "example.net"), dname("com", "example.org")],
      [dname("example.com", "example.com")], [dname("example.com", "www.example.com")],
      [dname("example.com", long)],
    ] {
      #expect(throws: ScrubError.self) { try scrub(records + [a("www.example.net", "9.9.9.9")]) }
    }
  }

  @Test("a DNAME of the name itself, of another zone, or in another section rewrites nothing")
  func otherRewritings() throws {
    let owner = a("www.example.com", "9.9.9.9")
    for record in [dname("www.example.com", "example.net"), dname("ple.com", "example.net"), dname("org", "net")] {
      #expect(try scrub([record, owner]).texts == ["9.9.9.9"])
    }
    #expect(try scrub([owner], authorities: [dname("example.com", "example.net")]).texts == ["9.9.9.9"])
    #expect(try scrub([dname("www.example.com", "example.net")], type: .DNAME).answerCount == 1)
  }

  @Test("a chain that passes through a forbidden name is refused as a whole")
  func forbidden() {
    for target in ["localhost", "metadata.internal", "LOCALHOST"] {
      #expect(throws: ScrubError.notPublic(refused: [], others: [])) {
        try scrub([cname("www.example.com", target), a(target, "9.9.9.9")])
      }
      #expect(throws: ScrubError.notPublic(refused: [], others: [])) {
        try scrub([
          cname("www.example.com", target), cname(target, "a.example.net"), a("a.example.net", "9.9.9.9"),
        ])
      }
    }
  }

  @Test("a chain that ends without the type is NODATA of its end; the chain is kept")
  func danglingChain() throws {
    let answer = try scrub(
      [cname("www.example.com", "a.example.net", ttl: 7)], authorities: [Messages.soa("example.net")])
    #expect(answer.responseCode == .NOERROR && answer.chain.count == 1 && answer.ttl == 7)
    #expect(answer.answerCount == 1 && answer.authorityCount == 1)
    let foreign = try scrub(
      [cname("www.example.com", "a.example.net")], authorities: [Messages.soa("example.com")])
    #expect(foreign.authorityCount == 0 && foreign.ttl == 0)
  }

  @Test("a CNAME asked for by type is answered without being followed")
  func cnameType() throws {
    let answer = try scrub(
      [cname("www.example.com", "a.example.net"), a("a.example.net", "9.9.9.9")], type: .CNAME)
    #expect(answer.addresses.isEmpty && answer.answerCount == 1 && answer.chain.isEmpty)
  }
}

@Suite("Scrubbing an upstream's answer: addresses")
struct ScrubberAddressTests {
  /// The first and last address of every refused block, and a carried IPv4 address that is itself public.
  static let notPublic = [
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1",
    "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255", "172.16.0.0", "172.31.255.255",
    "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0",
    "192.168.255.255", "198.18.0.0", "198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0",
    "203.0.113.255", "224.0.0.0", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255",
    "::", "::1", "::ffff:9.9.9.9", "::ffff:169.254.169.254", "::9.9.9.9", "::10.0.0.1", "64:ff9b::9.9.9.9",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1:ffff::1", "100::1", "100:0:0:1::1", "2001::1",
    "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:10::1", "2001:20::1", "2001:db8::", "2001:db8:ffff::1",
    "2002::1", "2002:909:909::1", "2002:a9fe:a9fe::1", "3fff::1", "3fff:fff:ffff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fdff:ffff::1", "fe80::1", "febf::1", "fec0::1", "feff::1", "ff00::", "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
  ]

  private func type(_ text: String) -> RRType { address(text).family == .v4 ? .A : .AAAA }

  @Test("an address that is not public refuses the whole RRset, wherever it stands in it", arguments: notPublic)
  func refused(text: String) {
    let type = type(text)
    let good = type == .A ? ["9.9.9.9", "8.8.8.8"] : ["2620:fe::fe", "2600::1"]
    for position in 0...2 {
      var all = good
      all.insert(text, at: position)
      #expect(throws: ScrubError.notPublic(refused: [address(text)], others: good.map(address))) {
        try scrub(all.map { a("www.example.com", $0) }, type: type)
      }
    }
  }

  @Test("a rule's private prefix admits exactly its own addresses")
  func privatePrefix() throws {
    let scrubber = scrubber(private: [prefix("10.0.5.0/24"), prefix("fd00:5::/64")])
    #expect(try scrub([a("www.example.com", "10.0.5.9")], with: scrubber).texts == ["10.0.5.9"])
    #expect(
      try scrub([a("www.example.com", "fd00:5::9")], type: .AAAA, with: scrubber).texts == ["fd00:5::9"])
    for text in ["10.0.4.255", "10.0.6.0", "fd00:5:0:1::9", "::ffff:10.0.5.9", "64:ff9b::10.0.5.9"] {
      #expect(throws: ScrubError.notPublic(refused: [address(text)], others: [])) {
        try scrub([a("www.example.com", text)], type: type(text), with: scrubber)
      }
    }
  }

  @Test(
    "the neighbours of the refused blocks are public",
    arguments: [
      "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
      "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255",
      "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255",
      "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "2001:200::1", "2001:db7::1", "2001:db9::1",
      "2003::1", "2600::1", "3ffe::1", "3fff:1000::1",
    ])
  func neighbours(text: String) throws {
    #expect(try scrub([a("www.example.com", text)], type: type(text)).texts == [address(text).description])
  }

  private func many(_ count: Int, compressed: Bool) -> [[UInt8]] {
    (0..<count).map { index in
      let octets: [UInt8] = [11, 0, UInt8(index >> 8), UInt8(index & 255)]
      let record = Messages.record("www.example.com", .A, octets)
      return compressed ? [0xC0, 12] + record.dropFirst(Messages.name("www.example.com").count) : record
    }
  }

  @Test(
    "more than 64 addresses are cut to 64, and it is told how many", arguments: [64, 65, 100, 512, 513, 1000],
    [false, true])
  func cut(count: Int, compressed: Bool) throws {
    let answer = try scrub(many(count, compressed: compressed))
    #expect(answer.addresses.count == Scrubber.maxAddresses && answer.answerCount == 64)
    #expect(answer.recordsCut == count - 64)
    #expect(try answer.reply().answers.count == 64)
  }

  @Test("a chain and a denial's SOA are found behind thousands of other records")
  func behindTheCut() throws {
    let noise = (0..<3000).map { Messages.record("x", .TXT, [1, UInt8($0 & 255)]) }
    let answer = try scrub(noise + [cname("www.example.com", "a.example.net"), a("a.example.net", "9.9.9.9")])
    #expect(answer.texts == ["9.9.9.9"] && answer.recordsCut == 0)
    let addresses = many(1000, compressed: true)
    #expect(try scrub(addresses + [cname("www.example.com", "a.example.net")]).responseCode == .NOERROR)
  }

  @Test("records that are too long for one answer are cut, and one that is too long alone is refused")
  func longRecords() throws {
    func text(_ octets: Int) -> [UInt8] {
      Messages.record(
        "www.example.com", .TXT, (0..<octets / 256).flatMap { _ in [255] + [UInt8](repeating: 97, count: 255) })
    }
    let answer = try scrub([text(6144), text(6144), text(6144)], type: .TXT)
    #expect(answer.answerCount == 2 && answer.recordsCut == 1)
    #expect(throws: ScrubError.invalid) { try scrub([text(20_480)], type: .TXT) }
  }

  @Test("a private address behind the cut still refuses the RRset")
  func privateBehindTheCut() {
    let others = (0..<64).map { address("11.0.0.\($0)") }
    #expect(throws: ScrubError.notPublic(refused: [address("10.0.0.1")], others: others)) {
      try scrub(many(100, compressed: true) + [a("www.example.com", "10.0.0.1")])
    }
  }

  @Test("a truncated or malformed answer is refused")
  func malformed() {
    let message = Messages.response("www.example.com", .A, answers: [a("www.example.com", "9.9.9.9")])
    for end in 0..<message.count {
      #expect(throws: ScrubError.invalid) {
        try scrubber().scrub(Array(message[..<end]).span, name: Messages.name("www.example.com"), type: .A)
      }
    }
  }
}

@Suite("Scrubbing an upstream's answer: codes and times")
struct ScrubberTimeTests {
  @Test("an answer whose code forbids records gives none", arguments: [1, 2, 3, 4, 5, 9])
  func code(code: Int) {
    #expect(throws: ScrubError.invalid) { try scrub([a("www.example.com", "9.9.9.9")], code: code) }
  }

  @Test("NXDOMAIN at the end of a chain with an address there gives none")
  func chainCode() {
    #expect(throws: ScrubError.invalid) {
      try scrub([cname("www.example.com", "a.example.net"), a("a.example.net", "9.9.9.9")], code: 3)
    }
  }

  @Test("an extended code in the OPT makes NOERROR something else")
  func extendedCode() {
    let badVersion: [UInt8] = [0] + Messages.be16(41) + Messages.be16(1232) + [1, 0, 0, 0, 0, 0]
    #expect(throws: ScrubError.invalid) {
      try scrub([a("www.example.com", "9.9.9.9")], additionals: [badVersion])
    }
    #expect(throws: Never.self) { try scrub([a("www.example.com", "9.9.9.9")], additionals: [Messages.opt()]) }
  }

  @Test(
    "the TTL is the smallest of chain and RRset, capped; a set top bit is 0",
    arguments: [
      (100, 200, 300, 100), (300, 100, 200, 100), (300, 200, 100, 100), (86_400, 86_400, 86_400, 3600),
      (300, 0, 300, 0), (0x7FFF_FFFF, 0x7FFF_FFFF, 0x7FFF_FFFF, 3600), (300, 300, 0x8000_0000, 0),
      (0xFFFF_FFFF, 300, 300, 0),
    ])
  func ttl(chain: Int, first: Int, other: Int, expected: UInt32) throws {
    let answer = try scrub([
      cname("www.example.com", "a.example.net", ttl: chain), a("a.example.net", "9.9.9.9", ttl: first),
      a("a.example.net", "8.8.8.8", ttl: other),
    ])
    #expect(answer.ttl == expected)
  }

  @Test("every TTL of the sections is found at its offset")
  func offsets() throws {
    let answer = try scrub(
      [cname("www.example.com", "a.example.net", ttl: 77)], authorities: [Messages.soa("example.net", minimum: 66)])
    #expect(answer.ttlOffsets.count == 2)
    let ttls = answer.ttlOffsets.map { answer.sections.span.read32(Int($0)) }
    #expect(ttls == [77, 66])
  }

  @Test(
    "a denial lives for the smaller of SOA TTL and MINIMUM, capped",
    arguments: [(300, 60, 60), (60, 300, 60), (9000, 9000, 300), (0, 60, 0), (0x8000_0000, 60, 0)], [0, 3])
  func negative(times: (Int, Int, Int), code: Int) throws {
    let answer = try scrub(
      [], code: code, authorities: [Messages.soa("example.com", ttl: times.0, minimum: times.1)])
    #expect(answer.ttl == UInt32(times.2))
    #expect(Int(answer.responseCode.rawValue) == code && answer.authorityCount == 1 && answer.answerCount == 0)
    let reply = try answer.reply()
    #expect(reply.records.map(\.owner) == ["example.com"])
  }

  @Test("a denial without an SOA, or with one of another zone, is not kept")
  func withoutSOA() throws {
    let unknownClients = [
      [], [Messages.soa("example.net")], [Messages.soa("ww.example.com")], [Messages.soa("a.www.example.com")],
    ]
    for authorities in unknownClients {
      let answer = try scrub([], code: 3, authorities: authorities)
      #expect(answer.ttl == 0 && answer.authorityCount == 0 && answer.responseCode == .NXDOMAIN)
    }
  }

  @Test("the SOA of a chain's end keeps its name, though as many octets of the question stand at the end of another")
  func ownerOfSOA() throws {
    for (target, zone) in [
      ("www.example.net", "example.net"), ("b.a.zone.of.example.net", "a.zone.of.example.net"),
      ("b.example.com", "example.com"),
    ] {
      let answer = try scrub([cname("www.example.com", target)], code: 3, authorities: [Messages.soa(zone)])
      #expect(try answer.reply().section(.authority).map(\.owner) == [zone])
    }
  }

  @Test("an SOA in the answer section is no SOA of a denial")
  func misplacedSOA() throws {
    #expect(try scrub([Messages.soa("example.com")], code: 3).ttl == 0)
  }
}

@Suite("Scrubbing an upstream's answer: record data")
struct ScrubberRDataTests {
  private func parameter(_ key: Int, _ value: [UInt8]) -> [UInt8] {
    Messages.be16(key) + Messages.be16(value.count) + value
  }

  private func https(_ target: String, priority: Int = 1, _ parameters: [[UInt8]]) -> [UInt8] {
    Messages.record(
      "www.example.com", .HTTPS, Messages.be16(priority) + Messages.name(target) + parameters.flatMap { $0 })
  }

  @Test("address hints and ECH are taken out of HTTPS records, the rest stays octet for octet")
  func stripped() throws {
    let (alpn, port, unknown) = (parameter(1, [2, 104, 50]), parameter(3, [1, 187]), parameter(7, [1, 2]))
    let record = https(
      ".",
      [
        alpn, port, parameter(4, [10, 0, 0, 1]), parameter(5, [9, 9]), parameter(6, Array(repeating: 0, count: 16)),
        unknown,
      ])
    let answer = try scrub([record], type: .HTTPS)
    let reply = try answer.reply("www.example.com", .HTTPS)
    #expect(reply.answers.map(\.rdata) == [Messages.be16(1) + [0] + alpn + port + unknown])
    #expect(answer.addresses.isEmpty)
  }

  @Test("a record that makes a hint mandatory is left out", arguments: [4, 5, 6])
  func mandatory(key: Int) throws {
    let needed = parameter(key, Array(repeating: 9, count: key == 4 ? 4 : 16))
    let record = https(".", [parameter(0, Messages.be16(1) + Messages.be16(key)), parameter(1, [2, 104, 50]), needed])
    #expect(try scrub([record], type: .HTTPS).answerCount == 0)
  }

  @Test("a record that makes nothing of that mandatory stays")
  func harmlessMandatory() throws {
    let record = https(".", [parameter(0, Messages.be16(1)), parameter(1, [2, 104, 50])])
    #expect(try scrub([record], type: .HTTPS).answerCount == 1)
  }

  @Test("a TargetName that is not listed takes its record with it", arguments: [0, 1])
  func target(priority: Int) throws {
    let records = [https("evil.example", priority: priority, []), https("svc.example.com", priority: priority, [])]
    let reply = try scrub(records, type: .HTTPS).reply("www.example.com", .HTTPS)
    #expect(reply.answers.map(\.rdata) == [Messages.be16(priority) + Messages.name("svc.example.com")])
  }

  @Test("service parameters that are out of order or run over their record refuse the answer")
  func malformedParameters() {
    let wrong = [
      [parameter(3, [1, 187]), parameter(1, [2, 104, 50])], [parameter(1, []), parameter(1, [])], [[0, 1, 0, 9, 1]],
      [[0]], [parameter(0, [0, 1])], [parameter(0, [0, 0]), parameter(1, [2, 104, 50])],
      [parameter(0, [0, 1, 0, 1]), parameter(1, [2, 104, 50])], [parameter(0, [])], [parameter(1, [0])],
      [parameter(1, [3, 104, 50])], [parameter(2, [])], [parameter(1, [2, 104, 50]), parameter(2, [1])],
      [parameter(3, [1])], [parameter(4, [])], [parameter(4, [9, 9, 9])], [parameter(6, [9, 9, 9, 9])],
      [parameter(65_535, [])],
    ]
    for parameters in wrong {
      #expect(throws: ScrubError.invalid) { try scrub([https(".", parameters)], type: .HTTPS) }
    }
  }

  private static var opening: Scrubber { scrubber(service: ServiceRules(ports: .https, hintFamilies: [.v4, .v6])) }

  private func data(_ records: [[UInt8]], with scrubber: Scrubber) throws -> [[UInt8]] {
    try scrub(records, type: .HTTPS, with: scrubber).reply("www.example.com", .HTTPS).answers.map(\.rdata)
  }

  @Test("hints of the owner that may be opened stay, and are what is opened; each once")
  func hints() throws {
    let (four, six) = (parameter(4, [9, 9, 9, 9, 8, 8, 8, 8]), parameter(6, address("2600::1").octets))
    let answer = try scrub(
      [https(".", [four, six]), https(".", priority: 2, [four])], type: .HTTPS, with: Self.opening)
    #expect(answer.texts == ["9.9.9.9", "8.8.8.8", "2600::1"] && answer.answerCount == 2)
    #expect(try data([https(".", [four, six])], with: Self.opening) == [Messages.be16(1) + [0] + four + six])
  }

  @Test("of a family that the rule does not open hints go")
  func hintFamilies() throws {
    let (four, six) = (parameter(4, [9, 9, 9, 9]), parameter(6, address("2600::1").octets))
    let answer = try scrub(
      [https(".", [four, six])], type: .HTTPS, with: scrubber(service: ServiceRules(hintFamilies: [.v6])))
    #expect(answer.texts == ["2600::1"])
  }

  @Test("a hint that may not be opened takes all hints along, and nothing else")
  func privateHint() throws {
    let alpn = parameter(1, [2, 104, 50])
    let records = [
      https(".", [alpn, parameter(4, [9, 9, 9, 9])]), https(".", priority: 2, [parameter(4, [10, 0, 0, 1])]),
    ]
    let answer = try scrub(records, type: .HTTPS, with: Self.opening)
    #expect(answer.addresses.isEmpty && answer.answerCount == 2)
    #expect(try data(records, with: Self.opening) == [Messages.be16(1) + [0] + alpn, Messages.be16(2) + [0]])
  }

  @Test("hints of another listed name go: the answer to that opens them")
  func foreignHint() throws {
    let records = [https("svc.example.com", [parameter(4, [9, 9, 9, 9])])]
    #expect(try scrub(records, type: .HTTPS, with: Self.opening).addresses.isEmpty)
    #expect(try data(records, with: Self.opening) == [Messages.be16(1) + Messages.name("svc.example.com")])
  }

  @Test("more than 64 hints are cut to 64")
  func manyHints() throws {
    let many = (0..<100).flatMap { [9, 9, 9, UInt8($0)] as [UInt8] }
    let answer = try scrub([https(".", [parameter(4, many)])], type: .HTTPS, with: Self.opening)
    #expect(answer.addresses.count == Scrubber.maxAddresses)
    #expect(try data([https(".", [parameter(4, many)])], with: Self.opening)[0].count == 3 + 4 + 256)
  }

  @Test(
    "protocols and ports are cut to what the rule opens",
    arguments: [
      ("443/tcp", ["h2", "h3"], nil, ["h2"]), ("443/tcp", ["h3"], nil, []), ("443/udp", ["h2", "h3"], nil, ["h3"]),
      ("443/udp", ["h2"], nil, nil), ("443/tcp", ["h2"], 8443, nil), ("8443/tcp", ["h2"], 8443, ["h2"]),
      ("8443/tcp", [], nil, nil), ("8443/udp", ["h3-29", "http/1.1"], 8443, ["h3-29"]),
      ("any", ["h2", "h3"], 9, ["h2", "h3"]),
    ] as [(String, [String], Int?, [String]?)])
  func ports(opened: String, offered: [String], port: Int?, kept: [String]?) throws {
    func list(_ names: [String]) -> [[UInt8]] {
      names.isEmpty ? [] : [parameter(1, names.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) })]
    }
    let own = port.map { [parameter(3, Messages.be16($0))] } ?? []
    let ports = try opened == "any" ? PortSet.any : PortSet([#require(PortRule(opened))])
    let records = [https(".", list(offered) + own)]
    let expected = kept.map { [Messages.be16(1) + [0] + (list($0) + own).flatMap { $0 }] } ?? []
    #expect(try data(records, with: scrubber(service: ServiceRules(ports: ports))) == expected)
  }

  @Test("without default protocols a record goes with the last that it has")
  func noDefault() throws {
    let records = [https(".", [parameter(1, [2, 104, 51]), parameter(2, [])])]
    #expect(try data(records, with: Self.opening).isEmpty)
    let other = [https(".", [parameter(1, [2, 104, 50]), parameter(2, [])])]
    #expect(try data(other, with: Self.opening).count == 1)
  }

  @Test("a name that begins with a port has its default there")
  func portOfName() throws {
    #expect(ServiceRules.defaultPort(.HTTPS, name: Messages.name("_8443._https.example.com")) == 8443)
    #expect(ServiceRules.defaultPort(.HTTPS, name: Messages.name("_x._https.example.com")) == 443)
    #expect(ServiceRules.defaultPort(.HTTPS, name: Messages.name("x8443._https.example.com")) == 443)
    #expect(ServiceRules.defaultPort(.HTTPS, name: Messages.name("example.com")) == 443)
    #expect(ServiceRules.defaultPort(.SVCB, name: Messages.name("_dns.example.com")) == nil)
  }

  @Test("an alias leads as a CNAME does: to listed names, to none where the rule is strict, never to itself")
  func alias() throws {
    let alias = https("svc.example.com", priority: 0, [parameter(1, [2, 104, 50])])
    #expect(try data([alias], with: scrubber()) == [Messages.be16(0) + Messages.name("svc.example.com")])
    #expect(try data([alias], with: scrubber(chains: .strict)).isEmpty)
    #expect(try data([https("svc.example.com", [])], with: scrubber(chains: .strict)).isEmpty)
    #expect(try data([https("www.example.com", priority: 0, [])], with: scrubber(listed: ["www.example.com"])).isEmpty)
    #expect(try data([alias], with: scrubber(forbidden: ["svc.example.com"])).isEmpty)
    #expect(try data([https(".", priority: 0, [])], with: scrubber(chains: .strict)) == [[0, 0, 0]])
  }

  @Test("names in MX, SRV and NS data are read where they stand, and point into our own message at most")
  func names() throws {
    let pointer: [UInt8] = [4, 109, 97, 105, 108, 0xC0, 12]
    let expanded = Messages.name("mail.www.example.com")
    let cases: [(RRType, [UInt8])] = [(.MX, [0, 10]), (.SRV, [0, 1, 0, 2, 1, 187]), (.NS, [])]
    for (type, head) in cases {
      let answer = try scrub([Messages.record("www.example.com", type, head + pointer)], type: type)
      let reply = try answer.reply("www.example.com", type)
      let data = try #require(reply.answers.first).rdata
      #expect(data.starts(with: head))
      #expect(try reply.name(at: reply.octets.count - data.count + head.count) == "mail.www.example.com")
      // SRV is of those that a reader may not know (RFC 3597 section 4).
      #expect((data.count < head.count + expanded.count) == (type != .SRV))
    }
  }

  @Test("names in data of older types, which some servers compress, are written out (RFC 3597 section 4)")
  func olderTypes() throws {
    let types: [(type: UInt16, head: [UInt8], names: Int)] = [
      (3, [], 1), (7, [], 1), (14, [], 2), (17, [], 2), (18, [0, 1], 1), (21, [0, 5], 1), (26, [0, 5], 2),
      (36, [0, 5], 1), (35, [0, 1, 0, 2, 1, 83, 3, 83, 73, 80, 0], 1),
    ]
    for (number, head, names) in types {
      let type = RRType(rawValue: number)
      // The data of the first record, where the names point, have another place in our message.
      let first = Messages.record("www.example.com", .CNAME, [5] + Array("other".utf8) + [0xC0, 16])
      let place = UInt8(12 + Messages.name("www.example.com").count + 4 + first.count - 8)
      let pointers = [[UInt8]](repeating: [0xC0, place], count: names).flatMap { $0 }
      let record = Messages.record("other.example.com", type, head + pointers)
      let reply = try scrub([first, record], type: type).reply("www.example.com", type)
      let written = [[UInt8]](repeating: Messages.name("other.example.com"), count: names).flatMap { $0 }
      #expect(reply.answers.last?.rdata == head + written, "\(number)")
    }
  }

  @Test("data of unknown types is handed on as it is")
  func unknownType() throws {
    let type = RRType(rawValue: 65_280)
    let answer = try scrub([Messages.record("www.example.com", type, [0xC0, 12, 1, 2])], type: type)
    #expect(try answer.reply("www.example.com", type).answers.map(\.rdata) == [[0xC0, 12, 1, 2]])
  }
}
