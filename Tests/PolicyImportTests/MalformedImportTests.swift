import EgressPolicy
import Foundation
import Testing

@testable import PolicyImport

@Suite("Files that are no lists")
struct MalformedImportTests {
  struct Wrong: Sendable {
    let format: ImportFormat
    let text: String
    /// `line:column: message`.
    let fault: String
  }

  static let wrong: [Wrong] = [
    Wrong(
      format: .toolhive, text: "a: b", fault: "source: error: holds no permissions, expected network: { outbound: … }"),
    Wrong(
      format: .toolhive, text: "network:\n  outbound: { allow_host: { a: b } }",
      fault: "source:2:27: error: a mapping found, expected a list of hosts"),
    Wrong(
      format: .toolhive, text: "network: { outbound: { allow_host: [ a.b ], allow_port: [ 70000 ] } }",
      fault: "source:1:59: error: '70000' found, expected a port from 1 to 65535"),
    Wrong(format: .dockerMCP, text: "[ { name: a, image: b } ]", fault: "source: error: names no allowHosts"),
    Wrong(format: .claude, text: "{\"a\": }}", fault: "source:1:8: error: is not YAML"),
    Wrong(format: .claude, text: "{}", fault: "source: error: names no domains"),
    Wrong(
      format: .codex, text: "[a\nb", fault: "source:1:1: error: is no TOML: the end of the line in a header, expected ]"
    ),
    Wrong(format: .codex, text: "a = 1\na = 2", fault: "source:2:1: error: is no TOML: 'a' is in line 1 already"),
    Wrong(
      format: .codex, text: "[permissions.w.network.domains]\n\"a.b\" = 1",
      fault: "source:2:1: error: the domain 'a.b' has no word, expected allow or deny"),
    Wrong(format: .hardenRunner, text: "jobs: { a: b }", fault: "source: error: holds no allowed-endpoints"),
    Wrong(format: .cilium, text: "kind: Pod", fault: "source: error: holds no CiliumNetworkPolicy"),
    Wrong(
      format: .cilium, text: "kind: CiliumNetworkPolicy\nspec:\n  egress: 5",
      fault: "source:3:11: error: '5' found, expected a list of rules"),
    Wrong(format: .compose, text: "services: {}", fault: "source: error: has no service with a label"),
    Wrong(format: .agenticWorkflow, text: "---\non: push\n---\n# x", fault: "source: error: has no network:"),
    Wrong(format: .openshell, text: "version: 1", fault: "source: error: holds no network_policies"),
    Wrong(
      format: .cargowall, text: "{\"rules\":[{\"value\":\"a.b\"}]}",
      fault: "source:1:11: error: a rule has no action, expected allow or deny"),
    Wrong(format: .responsePolicy, text: "a CNAME", fault: "source:1:1: error:"),
    Wrong(
      format: .hosts, text: "0.0.0.0 a.b\nads.example.com",
      fault: "source:2:1: error: expected an address and names, such as 0.0.0.0 ads.example.com"),
    Wrong(format: .list, text: "a.b\n\u{0}", fault: "source:2:1: error: is no text: binary octets begin in this line"),
  ]

  @Test("the error says file, line and what was expected", arguments: wrong)
  func faults(wrong: Wrong) throws {
    let fault = try #require(throws: Diagnostic.self) { try imported(wrong.format, text: wrong.text) }
    #expect(fault.description.hasPrefix(wrong.fault), "\(fault.description)")
  }

  @Test("octets that are no text are told by their line, in every format", arguments: ImportFormat.allCases)
  func binary(format: ImportFormat) throws {
    let source = ImportSource(name: "source", octets: Array("a.example\n".utf8) + [0xFF, 0xFE, 0x00, 0x9C])
    #expect(throws: Diagnostic.self) { try PolicyImport.run(format, [source]) }
  }

  @Test("nothing of a source gets out of its comment or its entry")
  func comments() throws {
    let name = "x\\n  - evil.example  # \\u2028\\u0085\\r\\u202E"
    let policy = try imported(.claude, text: #"{"sandbox":{"network":{"allowedDomains":["a b\#(name)","a.example"]}}}"#)
    #expect(policy.snapshot.servers[0].rules.map(\.pattern.description) == ["a.example"], "\(policy.text)")
    #expect(policy.text.unicodeScalars.allSatisfy { $0 == "\n" || $0 == "…" || ($0.isASCII && $0.value >= 0x20) })
  }

  @Test("patterns beyond what a policy holds below one suffix are refused, the others stand")
  func tooManyPatterns() throws {
    let text = (0..<200).map { "a*.x\($0).*.example.com" }.joined(separator: "\n")
    let policy = try imported(.list, text: text)
    #expect(policy.counts.refusedEntries == 136 && policy.findings.allSatisfy { !$0.contains("error:") })
  }

  @Test("an entry that stands often and that the policy cannot have is refused each time")
  func repeatedRefusals() throws {
    let policy = try imported(.list, text: String(repeating: "*.co.uk\n", count: 50) + "a.example")
    #expect(policy.counts.refusedEntries == 50 && policy.counts.kept == 1)
    #expect(policy.refusals[0].contains("covers a public suffix"))
  }

  /// Mutated files of each format.
  private static let rounds =
    ProcessInfo.processInfo.environment["SLUICE_IMPORT_MUTATIONS"].flatMap { Int($0) } ?? 500

  @Test("what stands behind an address and is no network is refused, and not passed over")
  func wrongNetworks() throws {
    let text =
      "10.0.0.0/33\n10.0.0.0/255.0.0.0\n10.0.0.0/8:443\n2001:db8::/129\n10.0.0.5/8\nhttps://192.0.2.1/x\n192.0.2.2:123/udp\n0.0.0.0/0\n::/0\n8.8.8.8:53/udp\n2001:db8:1::/48\n[2001:db8::1]:443"
    let policy = try imported(.list, text: text)
    #expect(policy.counts.refusedEntries == 6, "\(policy.text)")
    let written = policy.snapshot.servers[0].prefixes.map { "\($0.prefix) \($0.ports)" }
    #expect(
      written == [
        "10.0.0.0/8 443/tcp", "192.0.2.1/32 443/tcp", "192.0.2.2/32 123/udp", "2001:db8:1::/48 443/tcp",
        "2001:db8::1/128 443/tcp",
      ])
  }

  @Test("whatever octets come, there is a policy that check takes, or an error", arguments: ImportFormat.allCases)
  func mutations(format: ImportFormat) throws {
    var seeds = MeaningTests.questions.filter { $0.format == format }.map { Array($0.source.utf8) }
    seeds += try SampleTests.samples.filter { $0.0 == format }.map { try fixture($0.1).octets }.filter {
      $0.count < 1_500
    }
    var random = Random(seed: UInt64(format.rawValue.utf8.reduce(17) { $0 &* 31 &+ UInt64($1) }))
    for _ in 0..<Self.rounds {
      var octets = seeds[random.below(seeds.count)]
      for _ in 0...random.below(4) { mutate(&octets, &random) }
      do {
        let policy = try PolicyImport.run(format, [ImportSource(name: "source", octets: octets)])
        #expect(policy.findings.allSatisfy { !$0.contains("error:") })
      } catch let fault as Diagnostic {
        #expect(fault.location.file == "source")
      } catch is ImportError {
        // Nothing of the format is in it.
      }
    }
  }

  /// A small generator of its own, so that a run can be repeated.
  private struct Random {
    private var state: UInt64

    init(seed: UInt64) {
      state = seed | 1
    }

    mutating func below(_ bound: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % UInt64(max(bound, 1)))
    }
  }

  private static let pieces: [[UInt8]] = [
    "*", ".", "**.", ":", "[", "]", "{", "}", "\n", "\"", "'", "&a ", "*a", "<<: ", "---\n", "://", "@", "/24", "::1",
    "#", "\\",
    "\t", " ", "$INCLUDE x\n", "= ", "[[a]]\n", "xn--", "ä", "\u{202E}", "0", "65536", "true", "null",
  ].map { Array($0.utf8) }

  private func mutate(_ octets: inout [UInt8], _ random: inout Random) {
    guard !octets.isEmpty else { return octets = [UInt8(truncatingIfNeeded: random.below(256))] }
    let at = random.below(octets.count)
    switch random.below(6) {
    case 0: octets[at] = UInt8(truncatingIfNeeded: random.below(256))
    case 1: octets.remove(at: at)
    case 2: octets.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: at)
    case 3: octets.removeSubrange(at..<min(octets.count, at + 1 + random.below(40)))
    case 4:
      octets.insert(
        contentsOf: octets[at..<min(octets.count, at + 1 + random.below(60))], at: random.below(octets.count))
    default: octets = Array(octets[..<at])
    }
  }
}
