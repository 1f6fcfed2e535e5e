import IPNetwork
import Testing

@testable import EgressPolicy

struct ForbiddenAddressesTests {
  private func prefixes(_ texts: String...) -> [IPPrefix] { texts.map { IPPrefix($0)! } }

  /// Server 1 asks; 10.77.1.0/24 and 45.77.0.0/16 are its networks, 10.77.2.0/24 and 45.78.0.0/16 those of server 2.
  private let forbidden = ForbiddenAddresses(
    serverNetworks: [
      ("10.77.1.0/24", 1), ("45.77.0.0/16", 1), ("45.77.9.0/24", 2), ("10.77.2.0/24", 2), ("45.78.0.0/16", 2),
      ("0.0.0.0/0", 3),
    ].map { ForbiddenAddresses.Network(prefix: IPPrefix($0.0)!, server: $0.1) },
    hostAddresses: ["10.0.5.1", "45.80.0.1", "2a10:80::1"].reduce(into: []) { $0.insert(IPAddress($1)!) },
    onLink: ["10.0.5.0/24", "45.80.0.0/24", "2a10:80::/64", "::/0"].map { IPPrefix($0)! })

  private func refusal(_ text: String, _ listed: [IPPrefix] = []) -> ForbiddenAddresses.Reason? {
    forbidden.refusal(of: IPAddress(text)!, private: listed, server: 1)
  }

  @Test func `ordinary public addresses are admitted`() {
    for text in ["45.11.0.10", "8.8.8.8", "2a10:77::10"] { #expect(refusal(text) == nil, "\(text)") }
  }

  @Test func `without a private prefix nothing of the host, its links or any server is admitted`() {
    for (text, reason) in [
      ("45.80.0.1", ForbiddenAddresses.Reason.hostAddress), ("2a10:80::1", .hostAddress), ("127.0.0.53", .hostAddress),
      ("45.80.0.9", .onLink), ("2a10:80::9", .onLink), ("45.77.0.9", .serverNetwork), ("45.78.0.9", .serverNetwork),
      ("168.63.129.16", .metadata), ("169.254.169.254", .metadata), ("100.100.100.200", .metadata),
      ("192.0.0.192", .metadata), ("fd00:ec2::254", .metadata), ("fd20:ce::254", .metadata), ("10.9.9.9", .notPublic),
    ] { #expect(refusal(text) == reason, "\(text)") }
  }

  @Test func `a private prefix admits what is on a link and the server's own networks, and nothing else of these`() {
    let everything = prefixes("0.0.0.0/0", "::/0")
    for text in ["10.0.5.9", "45.80.0.9", "2a10:80::9", "45.77.0.9", "10.77.1.9", "10.9.9.9", "fd12::1"] {
      #expect(refusal(text, everything) == nil, "\(text)")
    }
    #expect(refusal("10.0.5.9", prefixes("10.0.5.0/24")) == nil)
    for (text, reason) in [
      ("10.0.5.1", ForbiddenAddresses.Reason.hostAddress), ("::1", .hostAddress), ("127.0.0.1", .hostAddress),
      ("10.77.2.9", .serverNetwork), ("45.77.9.9", .serverNetwork), ("169.254.170.2", .metadata),
      ("168.63.129.16", .metadata), ("fd00:ec2::254", .metadata),
    ] { #expect(refusal(text, everything) == reason, "\(text)") }
  }

  /// Every form in which an IPv6 address carries this IPv4 address.
  private static func forms(_ text: String) -> [String] {
    let octets = IPAddress(text)!.octets
    let hex = { (index: Int, value: UInt8) in
      String(UInt16(octets[index] ^ value) << 8 | UInt16(octets[index + 1] ^ value), radix: 16)
    }
    let (high, low) = (hex(0, 0), hex(2, 0))
    let split = octets.map { String($0, radix: 16) }
    return [
      "::ffff:\(text)", "::ffff:0:\(text)", "64:ff9b::\(text)", "64:ff9b:1::\(text)",
      "64:ff9b:1:\(high):\(String(UInt16(octets[2]), radix: 16)):\(String(UInt16(octets[3]) << 8, radix: 16))::",
      "64:ff9b:1:0:\(split[0]):\(String(UInt16(octets[1]) << 8 | UInt16(octets[2]), radix: 16)):\(String(UInt16(octets[3]) << 8, radix: 16)):0",
      "2002:\(high):\(low)::1", "2001:0:\(high):\(low)::f7f7:f7f7", "2001:0:808:808::\(hex(0, 255)):\(hex(2, 255))",
      "fd12::5efe:\(text)", "2a10:99::200:5efe:\(text)", "::\(text)",
    ]
  }

  @Test(arguments: ["169.254.169.254", "127.0.0.1", "10.0.5.1", "10.77.2.9", "45.78.0.9", "168.63.129.16"])
  func `an IPv6 form of an address that is never admitted is not either, whatever is listed`(_ text: String) {
    let everything = prefixes("0.0.0.0/0", "::/0")
    for form in Self.forms(text) {
      #expect(IPAddress(form)!.embedded.contains(IPAddress(text)!), "\(form)")
      #expect(refusal(form, everything) != nil, "\(form)")
    }
    #expect(refusal("64:ff9b::\(text)", prefixes("64:ff9b::/96")) != nil)
  }

  @Test func `a form in a private prefix is admitted when its IPv4 address is`() {
    let translated = prefixes("64:ff9b::/96", "64:ff9b:1::/48")
    #expect(refusal("64:ff9b::8.8.8.8", translated) == nil)
    #expect(refusal("64:ff9b:1::8.8.8.8", translated) == nil)
    #expect(refusal("64:ff9b:1:808:8:800::", translated) == nil)
    #expect(refusal("64:ff9b::8.8.8.8") == .notPublic)
    #expect(refusal("64:ff9b::10.9.9.9", translated) == .notPublic)
    #expect(refusal("64:ff9b::10.9.9.9", translated + prefixes("10.9.0.0/16")) == nil)
    #expect(refusal("2a10:99::5efe:8.8.8.8") == nil)
    #expect(refusal("2a10:99::5efe:10.9.9.9") == .notPublic)
  }

  @Test func `addresses that carry none are read as carrying none`() {
    for text in ["::", "::1", "2a10:77::10", "fd00::1", "fe80::1", "64:ff9b:2::808:808", "8.8.8.8"] {
      #expect(IPAddress(text)!.embedded == [], "\(text)")
    }
  }

  @Test func `what is refused beside what was is told as far as an answer could have held it`() {
    let former = ForbiddenAddresses(hostAddresses: [IPAddress("10.0.5.1")!])
    #expect(former.additions(since: former, private: []) == [])
    let added = forbidden.additions(since: former, private: [])
    #expect(added.contains(IPPrefix("45.80.0.1/32")!) && added.contains(IPPrefix("45.78.0.0/16")!))
    #expect(!added.contains(IPPrefix("10.77.2.0/24")!))
    #expect(
      forbidden.additions(since: former, private: Set(prefixes("10.0.0.0/8"))).contains(IPPrefix("10.77.2.0/24")!))
    #expect(former.additions(since: forbidden, private: []) == [])
  }
}
