import DNSWire
import Testing

@Suite("The hash of names")
struct NameHashTests {
  @Test("the seed changes every hash, and one hash depends on all of name and type")
  func hash() throws {
    let (one, other) = (NameHash(seed: 1), NameHash(seed: 2))
    var seen: Set<UInt64> = []
    for index in 0..<20_000 {
      let name = try Name(hostname: "n\(index).a-rather-long-name.example").wire
      seen.insert(NameHash.of(one(name.span), .A))
      seen.insert(NameHash.of(one(name.span), .AAAA))
      seen.insert(NameHash.of(other(name.span), .A))
    }
    #expect(seen.count == 60_000)
    let zeros = (1...40).map { one([UInt8](repeating: 0, count: $0).span) }
    #expect(Set(zeros).count == 40)
  }
}
