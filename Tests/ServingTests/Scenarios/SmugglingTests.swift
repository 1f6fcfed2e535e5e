import DNSWire
import TestSupport
import Testing

/// A client chooses all of its query, and an upstream is to learn of it the listed name and the type alone (P5).
@Suite("What goes upstream of a client's query")
struct SmugglingTests {
  @Test("is the listed name and the type, whatever its id, flags, letters, EDNS and options", arguments: RRType.asked)
  func queries(_ type: RRType) throws {
    let stage = try Stage(
      Setting(policies: "server: agent\nnetworks: [ 10.77.1.0/24 ]\negress: [ \"*.example.com\" ]\n"))
    var random = SeededRandom(seed: UInt64(type.rawValue))
    // Names of one length, each asked once: answers from the cache show nothing.
    for number in 100..<160 {
      try stage.ask("agent", Self.query("n\(number).example.com", type, &random), type, as: "\(number)")
    }
    let sent = stage.upstreams.flatMap(\.messages)
    try #require(sent.count >= 60, "each was asked: \(stage.broken)")
    let unlike = Set(sent.map(Self.withoutChance))
    #expect(unlike.count == 1, "\(unlike.map { $0.map { String($0, radix: 16) }.joined(separator: " ") })")
  }

  /// A query as a client may make it that has something to tell: all that RFC 1035, 6891 and 7873 leave to it.
  private static func query(_ name: String, _ type: RRType, _ random: inout SeededRandom) -> [UInt8] {
    let spelled = String(name.map { Bool.random(using: &random) ? Character($0.uppercased()) : $0 })
    var options: [UInt8] = []
    for code in [3, 8, 10, 12, 15, 65_001] where Bool.random(using: &random) {
      // NSID, the client's subnet, a cookie, padding, an error and one of nobody's, of lengths that their forms allow.
      let data: [UInt8] =
        switch code {
        case 8: [0, 1, 24, 0] + (0..<3).map { _ in UInt8.random(in: 1...255, using: &random) }
        case 10: (0..<8).map { _ in UInt8.random(in: 0...255, using: &random) }
        default: (0..<Int.random(in: 2...20, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
      options += Messages.be16(code) + Messages.be16(data.count) + data
    }
    let opt = Messages.opt(
      size: Int.random(in: 512...4096, using: &random), flags: Bool.random(using: &random) ? 0x8000 : 0,
      options: options)
    var message = Messages.query(
      spelled, type, id: Int.random(in: 0...0xFFFF, using: &random),
      opt: Int.random(in: 0..<4, using: &random) == 0 ? [] : opt)
    // AD and CD.
    message[3] |= UInt8.random(in: 0...3, using: &random) << 4
    return message
  }

  /// With our own chance (id and letters) and the name's number taken away.
  private static func withoutChance(_ message: [UInt8]) -> [UInt8] {
    guard message.count > 17 else { return message }
    let name = 12..<(message.count - 15)
    var result = message
    result.replaceSubrange(0..<2, with: [0, 0])
    for index in name where (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(result[index]) { result[index] |= 0x20 }
    result.replaceSubrange(14..<17, with: [0, 0, 0])
    return result
  }
}

extension RRType {
  fileprivate static let asked: [RRType] = [.A, .AAAA]
}
