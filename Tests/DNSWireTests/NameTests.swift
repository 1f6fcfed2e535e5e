import DNSWire
import TestSupport
import Testing

@Suite("Names")
struct NameTests {
  @Test(
    "a printed name is read as the same name, whatever octets it has (threats N10)", arguments: 0..<400 as Range<UInt64>
  )
  func roundTrip(_ seed: UInt64) throws {
    let name = Self.randomName(seed)
    #expect(try Name(presentation: name.description) == name, "\(name)")
    #expect(try Name(presentation: name.description + (name == .root ? "" : ".")) == name)
    #expect(name.description.utf8.allSatisfy { (0x21...0x7E).contains($0) }, "printable, whatever came in")
  }

  @Test("each of the 256 octets survives printing (threats N1, N2, N3)", arguments: 0...255 as ClosedRange<UInt8>)
  func everyOctet(_ octet: UInt8) throws {
    let message = [UInt8](repeating: 0, count: 12) + [3, 97, octet, 98, 3, 99, 111, 109, 0]
    let wire = try Reading.name(message, at: 12).wire
    let name = Name(canonical: wire.span)
    #expect(try Name(presentation: name.description) == name)
    #expect(name.labelCount == 2, "no octet splits a label")
    #expect(
      name.isHostname == Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_".utf8).contains(octet))
  }

  @Test("a label with a dot, a NUL or a line feed prints its escape (threats N1, N2, L1)")
  func escapes() {
    func text(_ label: [UInt8]) -> String {
      let wire = [UInt8(label.count)] + label + [3, 99, 111, 109, 0]
      return Name(canonical: wire.span).description
    }
    #expect(text(Array("api.evil".utf8)) == "api\\.evil.com")
    #expect(text(Array("allowed".utf8) + [0]) == "allowed\\000.com")
    #expect(text([10, 13, 27, 0x7F, 0xE9]) == "\\010\\013\\027\\127\\233.com")
    #expect(text(Array("a\\b\"c".utf8)) == "a\\\\b\\\"c.com")
  }

  @Test("the longest name of the worst octets prints whole (threats W8)")
  func longest() throws {
    let label = { (count: Int) in [UInt8(count)] + [UInt8](repeating: 0xFF, count: count) }
    let wire = label(63) + label(63) + label(63) + label(61) + [0]
    let name = Name(canonical: wire.span)
    #expect(name.description.utf8.count == 4 * 250 + 3)
    #expect(try Name(presentation: name.description) == name)
  }

  @Test("case and a trailing dot do not matter (threats N4, N5)")
  func caseAndDot() throws {
    let name = try Name(hostname: "api.github.com")
    for text in ["API.GITHUB.COM", "aPi.GitHub.com.", "api.github.com."] {
      #expect(try Name(hostname: text) == name)
      #expect(try Name(presentation: text) == name)
    }
  }

  @Test(
    "what no host name has is refused: Unicode look-alikes too (threats N3, N4, N5)",
    arguments: [
      "", ".", "..", ".a", "a..b", "a..", " a", "a b", "a\0b", "\u{212A}itten.com", "g\u{0131}thub.com", "ä.com",
      "*.com",
      "a;b", "a\"b", "$a", "{a}", "a\\.b", "a/b", "a:b", "a\n",
    ])
  func refusedHostnames(_ text: String) {
    #expect(throws: NameError.self) { try Name(hostname: text) }
  }

  @Test("an empty text is no name, and not the root")
  func empty() {
    #expect(throws: NameError.empty) { try Name(hostname: "") }
    #expect(throws: NameError.empty) { try Name(presentation: "") }
    #expect(Name(written: "") == nil)
  }

  @Test("a label of 63 octets and a name of 255 are read, one more is refused (threats W7)")
  func limits() throws {
    let label = { (count: Int) in String(repeating: "a", count: count) }
    #expect(try Name(hostname: label(63)).wire.count == 65)
    #expect(throws: NameError.labelTooLong) { try Name(hostname: label(64)) }
    let longest = [label(63), label(63), label(63), label(61)].joined(separator: ".")
    #expect(try Name(hostname: longest).wire.count == 255)
    #expect(throws: NameError.nameTooLong) { try Name(hostname: longest + "a") }
    #expect(throws: NameError.nameTooLong) { try Name(presentation: String(repeating: "a.", count: 128)) }
  }

  @Test(
    "a broken escape is refused (threats N10)",
    arguments: ["\\", "a\\", "\\25", "\\256", "\\2a5", "\\999.com", "\\00a", "\\0/1", "\\00:"])
  func brokenEscapes(_ text: String) {
    #expect(throws: NameError.escape) { try Name(presentation: text) }
  }

  @Test("a name is below another by whole labels only (threats N6)")
  func subdomains() throws {
    let parent = try Name(hostname: "github.com")
    for inside in ["github.com", "api.github.com", "a.b.github.com"] {
      #expect(try Name(hostname: inside).isSubdomain(of: parent))
    }
    for outside in ["evilgithub.com", "github.com.evil.com", "com", "github.co", "api.github-com"] {
      #expect(try Name(hostname: outside).isSubdomain(of: parent) == false, "\(outside)")
    }
    #expect(try Name(presentation: "api\\.github.com").isSubdomain(of: parent) == false, "one label with a dot in it")
    #expect(parent.isSubdomain(of: .root) && Name.root.isSubdomain(of: .root) && !Name.root.isSubdomain(of: parent))
  }

  @Test("a name is below exactly its ancestors (threats N6, N8)", arguments: 0..<200 as Range<UInt64>)
  func ancestors(_ seed: UInt64) {
    let name = Self.randomName(seed)
    let other = Self.randomName(seed &+ 7919)
    var ancestors: [Name] = []
    var current: Name? = name
    while let ancestor = current {
      ancestors.append(ancestor)
      current = ancestor.parent
    }
    #expect(ancestors.count == name.labelCount + 1)
    #expect(ancestors.last == .root)
    for ancestor in ancestors { #expect(name.isSubdomain(of: ancestor)) }
    #expect(name.isSubdomain(of: other) == ancestors.contains(other))
  }

  @Test("names sort by labels from the right (RFC 4034 section 6.1)")
  func order() throws {
    // The example of the RFC.
    let sorted = [
      "example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example", "\\001.z.example",
      "*.z.example", "\\200.z.example",
    ]
    let names = try sorted.map { try Name(presentation: $0) }
    #expect(names.reversed().sorted() == names)
  }

  @Test("octets are a name where they are all of one, in canonical form", arguments: 1...20)
  func whole(seed: UInt64) {
    let name = Self.randomName(seed)
    #expect(Name(whole: name.wire.span) == name)
    for count in name.wire.indices { #expect(Name(whole: name.wire.span.extracting(first: count)) == nil) }
    #expect(Name(whole: (name.wire + [0]).span) == nil, "something behind it")
    #expect(Name(whole: ([1, 0x41] + name.wire).span) == nil, "an upper-case letter")
    #expect(Name(whole: ([0xC0, 0x0C] + name.wire).span) == nil, "a pointer")
    let longest = [UInt8](repeating: 1, count: 254) + [0]
    #expect(Name(whole: longest.span)?.wire == longest && Name(whole: ([1, 1] + longest).span) == nil)
    #expect(Name(whole: ([64] + [UInt8](repeating: 0x61, count: 64) + [0]).span) == nil, "a label of 64 octets")
  }

  /// Few different labels, so that names are related; some of any octets.
  private static func randomName(_ seed: UInt64) -> Name {
    var random = SeededRandom(seed: seed)
    var wire: [UInt8] = []
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      let label: [UInt8] =
        Bool.random(using: &random)
        ? [UInt8.random(in: 97...99, using: &random)]
        : (0..<Int.random(in: 1...20, using: &random)).map { _ in
          NameWire.lowercased(UInt8.random(in: 0...255, using: &random))
        }
      wire += [UInt8(label.count)] + label
    }
    wire.append(0)
    return Name(canonical: wire.span)
  }
}
