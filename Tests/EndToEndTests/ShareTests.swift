import DNSWire
import Foundation
import Glibc
import Testing

extension EndToEnd {
  /// What one server can make many of has a share: its neighbours get theirs (P8).
  @Suite("Shares", .timeLimit(.minutes(5)))
  struct ShareTests {
    /// Three servers, the third a neighbour of two that ask for what no upstream answers.
    private static var settings: TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = ["10.77.1.2", "10.77.1.200", "10.77.1.201"].enumerated().map { index, address in
        """
        server: mcp-\(index)
        networks: [ \(address)/32 ]
        egress: [ "*.silent.net", "*.bulk.net", api.github.com ]

        """
      }.joined(separator: "---\n")
      return settings
    }

    /// The upstream never hears of names of five octets under silent.net, in whatever letters: 8 octets of UDP, 12 of DNS, 6 of
    /// the label.
    private static func silence(_ bed: Testbed) throws {
      try bed.client.ip("address add 10.77.1.201/24 dev eth0")
      try Command.must("nft add table inet silence", in: bed.internet)
      try Command.must(
        "nft add chain inet silence arrived { type filter hook input priority -200 ; }", in: bed.internet)
      try Command.must(
        "nft add rule inet silence arrived udp dport 53 @th,208,56 & 0xffdfdfdfdfdfdf == 0x0653494c454e54 drop",
        in: bed.internet)
    }

    @Test("two servers with 2,048 unanswered names each: a third one's new names are answered, and opened")
    func unanswered() throws {
      try Testbed.run(Self.settings) { (bed: Testbed) throws in
        try Self.silence(bed)
        let hostile = try ["10.77.1.2", "10.77.1.200"].map { try bed.socket(from: $0) }
        var next = 0
        // Names of five octets that were not asked for before.
        func press(_ count: Int) {
          for number in next..<next + count {
            for (index, socket) in hostile.enumerated() {
              let name = String(1_679_616 + 2 * number + index, radix: 36) + ".silent.net"
              socket.send(Question(name).octets(id: UInt16(number)))
            }
            if number % 16 == 0 { while hostile.contains(where: { $0.receive(within: 0.001) != nil }) {} }
          }
          next += count
        }
        press(3_000)
        let neighbour = try bed.socket(from: "10.77.1.201")
        for number in 0..<100 {
          press(20)
          let reply = neighbour.ask(Question("n\(number).bulk.net"), id: UInt16(number))
          #expect(reply?.code == .NOERROR && reply?.addresses.count == 1, "n\(number): \(String(describing: reply))")
        }
      }
    }

    @Test("thirty names of a zone that does not answer: Sluice stays ready, and its upstream healthy")
    func silentZone() throws {
      var settings = Self.settings
      settings.configuration += "metrics: \"127.0.0.1:9153\"\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        try Self.silence(bed)
        let hostile = try bed.socket(from: "10.77.1.2")
        for number in 0..<30 { hostile.send(Question("s\(1_000 + number).silent.net").octets(id: UInt16(number))) }
        var codes: [ResponseCode] = []
        while codes.count < 30, let octets = hostile.receive(within: 8) {
          if let reply = Reply(octets) { codes.append(reply.code) }
        }
        #expect(codes == [ResponseCode](repeating: .SERVFAIL, count: 30))
        let ready = try Command.run(
          ["curl", "-s", "--max-time", "10", "http://127.0.0.1:9153/readyz"], in: bed.host
        ).text
        #expect(ready == "ready\n")
        let upstreams = try bed.sluice.command("status").text
        #expect(!upstreams.contains("unhealthy"), "\(upstreams)")
        // And it says so when nothing is answered at all.
        try bed.upstream.signal(SIGSTOP)
        let neighbour = try bed.socket(from: "10.77.1.201")
        #expect(neighbour.ask(Question("n1.bulk.net"), id: 1, within: 8)?.code == .SERVFAIL)
        try eventually("the upstream is found to be silent") {
          try bed.sluice.command("status").text.contains("unhealthy")
        }
        try bed.upstream.signal(SIGCONT)
        try eventually("the upstream is found to answer again", within: 20) {
          try !bed.sluice.command("status").text.contains("unhealthy")
        }
      }
    }

    // MARK: - A neighbour

    /// Eight servers, and a neighbour of theirs.
    private static let others = (1...8).map { "10.77.1.\(100 + $0)" }
    private static let neighbour = "10.77.1.120"

    /// A server alone and a commit late on a busy machine are not what is asked about here.
    private static var neighbourly: TestbedSettings {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { deadline: 5s }\n"
      settings.policies = (others + [neighbour]).enumerated().map { index, address in
        """
        server: mcp-\(index)
        networks: [ \(address)/32 ]
        egress: [ "*.silent.net", "*.bulk.net", api.github.com ]

        """
      }.joined(separator: "---\n")
      return settings
    }

    /// Asks for what is cached, for new names, and for what is denied; a fifth by TCP, each with a connection of its own.
    private func succeeds(_ bed: Testbed, beside load: String, names: Range<Int>, _ meanwhile: () throws -> Void = {})
      throws
    {
      let datagrams = try bed.socket(from: Self.neighbour)
      for number in names {
        try meanwhile()
        let name = ["api.github.com", "n\(number).bulk.net", "evil.example.com"][number % 3]
        let question = Question(name)
        var reply: Reply?
        if number % 5 == 0 {
          let stream = try Socket(streamTo: "10.77.1.1", 53, from: bed.client, bind: Self.neighbour)
          stream.sendFramed(question.octets(id: UInt16(number)))
          reply = stream.receiveFramed(within: 20).flatMap(Reply.init)
        } else {
          reply = datagrams.ask(question, id: UInt16(number), within: 20)
        }
        let isRight =
          number % 3 == 2 ? reply?.code == .NXDOMAIN : reply?.code == .NOERROR && reply?.addresses.count == 1
        #expect(isRight, "\(load): \(name), \(number): \(String(describing: reply))")
      }
    }

    @Test("beside unanswered names, pipelines, idle connections, taken slots and foreign flushes every query succeeds")
    func neighbour() throws {
      try Testbed.run(Self.neighbourly) { (bed: Testbed) throws in
        try Self.silence(bed)
        for address in Self.others + [Self.neighbour] { try bed.client.ip("address add \(address)/24 dev eth0") }
        var silent = 1_679_616
        func slow() -> [UInt8] {
          silent += 1
          return Question(String(silent, radix: 36) + ".silent.net").octets(id: UInt16(truncatingIfNeeded: silent))
        }
        func connection(_ server: Int) throws -> Socket {
          try Socket(streamTo: "10.77.1.1", 53, from: bed.client, bind: Self.others[server % Self.others.count])
        }
        try succeeds(bed, beside: "nothing", names: 0..<30)

        let hostile = try bed.socket(from: Self.others[0])
        func press(_ count: Int) {
          for number in 0..<count {
            hostile.send(slow())
            if number % 16 == 0 { while hostile.receive(within: 0) != nil {} }
          }
        }
        press(2_300)
        try succeeds(bed, beside: "unanswered names", names: 30..<90) { press(20) }

        let pipeline = (0..<900).flatMap { number in
          let message = Question(number % 2 == 0 ? "api.github.com" : "evil.example.com").octets(id: UInt16(number))
          return [UInt8(message.count >> 8), UInt8(message.count & 0xFF)] + message
        }
        var piped = try (0..<128).map { _ in try connection(0) }
        for stream in piped { stream.send(pipeline) }
        try succeeds(bed, beside: "pipelines", names: 90..<150)
        piped = []

        var idle = try (0..<1_000).map { try connection($0) }
        try succeeds(bed, beside: "idle connections", names: 150..<210)
        #expect(!idle.isEmpty)
        idle = []

        // More than all slots, and again and again.
        var taken: [Socket] = []
        func take(_ count: Int) {
          for _ in 0..<count {
            guard let stream = try? connection(taken.count) else { continue }
            stream.sendFramed(slow())
            taken.append(stream)
          }
        }
        take(1_100)
        try succeeds(bed, beside: "taken slots", names: 210..<270) { take(8) }
        taken = []

        for (load, pause, names) in [("set mcp-8-4", "0", 270..<480), ("ruleset", "0.5", 480..<570)] {
          let target = load.replacing("set mcp", with: "set inet sluice mcp")
          let flushes = try RunningCommand(
            ["sh", "-c", "while :; do nft flush \(target); sleep \(pause); done"], in: bed.host, folder: bed.folder)
          defer { flushes.signal(SIGKILL) }
          try succeeds(bed, beside: "flushes of \(load)", names: names)
        }
      }
    }
  }
}
