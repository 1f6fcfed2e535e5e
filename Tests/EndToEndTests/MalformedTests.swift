import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

extension EndToEnd {
  @Suite("Malformed messages", .timeLimit(.minutes(5)))
  struct MalformedTests {
    private static let count = 12_000

    /// Each message has its index as its id, if it has one at all.
    private static func messages(seed: UInt64) -> [[UInt8]] {
      MalformedMessages(seed: seed).prefix(count).enumerated().map { index, message in
        var octets = message.octets
        for (offset, octet) in Question.be16(UInt16(index)).enumerated() where offset < octets.count {
          octets[offset] = octet
        }
        return octets
      }
    }

    @Test("twelve thousand over UDP: alive, flat memory, no answer to a response, none larger than asked for")
    func datagrams() throws {
      try Testbed.run { (bed: Testbed) throws in
        let messages = Self.messages(seed: 9)
        let socket = try bed.socket()
        try send(messages, socket)
        let (memory, descriptors) = try footprint(bed)
        for seed in 10...12 as ClosedRange<UInt64> {
          try send(Self.messages(seed: seed), socket)
        }
        try expectUnharmed(bed, memory, descriptors)
      }
    }

    private func send(_ messages: [[UInt8]], _ socket: Socket) throws {
      var answers = 0
      func take(_ octets: [UInt8]) {
        answers += 1
        guard octets.count >= 12 else { return #expect(octets.count >= 12, "an answer without a header") }
        let index = Int(octets[0]) << 8 | Int(octets[1])
        guard index < messages.count else { return #expect(index < messages.count, "an answer to nothing") }
        let message = messages[index]
        #expect(message.count >= 12 && message[2] & 0x80 == 0, "an answer to \(message)")
        #expect(octets[2] & 0x80 != 0)
        #expect(octets.count <= 1_232)
        if message.count >= 12, message[10] == 0, message[11] == 0 {
          #expect(octets.count <= 512, "no OPT was sent")
        }
      }
      for message in messages {
        socket.send(message)
        while let answer = socket.receive(within: 0) { take(answer) }
      }
      while let answer = socket.receive(within: 0.5) { take(answer) }
      #expect(answers > messages.count / 20, "the generator makes messages that deserve an answer, too")
    }

    @Test("twelve thousand over TCP: alive, flat memory, no answer to a response")
    func streams() throws {
      try Testbed.run { (bed: Testbed) throws in
        try sendOverStreams(Self.messages(seed: 9), bed)
        let (memory, descriptors) = try footprint(bed)
        try sendOverStreams(Self.messages(seed: 10), bed)
        try expectUnharmed(bed, memory, descriptors)
      }
    }

    private func sendOverStreams(_ messages: [[UInt8]], _ bed: Testbed) throws {
      for start in stride(from: 0, to: messages.count, by: 20) {
        let stream = try bed.stream()
        for message in messages[start..<min(start + 20, messages.count)] {
          guard stream.sendFramed(message) else { break }
        }
        while let answer = stream.receiveFramed(within: 0.005) {
          guard answer.count >= 12 else { #expect(answer.count >= 12); continue }
          let index = Int(answer[0]) << 8 | Int(answer[1])
          #expect(index < messages.count && messages[index].count >= 12 && messages[index][2] & 0x80 == 0)
        }
      }
    }

    private func footprint(_ bed: Testbed) throws -> (memory: Int, descriptors: Int) {
      try (Processes.residentMemory(bed.sluice.pid), Processes.openDescriptors(bed.sluice.pid))
    }

    private func expectUnharmed(_ bed: Testbed, _ memory: Int, _ descriptors: Int) throws {
      #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
      #expect(try bed.dig("api.github.com", "A", "+tcp").values == ["45.11.0.10"])
      #expect(try Processes.residentMemory(bed.sluice.pid) < memory + 8 * 1024, "KiB")
      try eventually("every connection is closed") {
        try Processes.openDescriptors(bed.sluice.pid) <= descriptors + 4
      }
    }

    @Test("a client that has said its last and reads late gets every answer")
    func halfClosed() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("big.github.com", "AAAA", "+tcp").status == "NOERROR")
        let question = Question("big.github.com", .AAAA)
        for count in [1, 600, 2500] {
          let socket = try Socket(streamTo: "10.77.1.1", 53, from: bed.client)
          socket.limitReceiveBuffer(32_768)
          #expect(socket.sendFramedAndFinish((0..<count).map { question.octets(id: UInt16($0)) }, within: 5))
          usleep(700_000)
          var ids: Set<UInt16> = []
          while let message = socket.receiveFramed(within: 3) {
            #expect(message.count > 1_000)
            ids.insert(UInt16(message[0]) << 8 | UInt16(message[1]))
          }
          #expect(ids.count == count)
        }
      }
    }

    @Test("a frame that never ends, a length of 0 and one that lies: the connection goes, the server stays")
    func frames() throws {
      try Testbed.run { (bed: Testbed) throws in
        let slow = try bed.stream()
        slow.send([0])
        for octets in [[0, 0], [0, 5, 1, 2, 3, 4, 5], [0xFF, 0xFF] + [UInt8](repeating: 0xC0, count: 65_535)]
          as [[UInt8]]
        {
          let stream = try bed.stream()
          stream.send(octets)
          #expect(stream.receiveFramed(within: 0.2) == nil)
        }
        #expect(try bed.dig("api.github.com", "A", "+tcp").values == ["45.11.0.10"])
        #expect(slow.receiveFramed(within: 15) == nil)
      }
    }

    @Test("pipelined questions are all answered, whatever order the answers come in")
    func pipelining() throws {
      try Testbed.run { (bed: Testbed) throws in
        let stream = try bed.stream()
        var ids: Set<UInt16> = []
        for index in 0..<50 as Range<UInt16> {
          stream.sendFramed(Question(index % 2 == 0 ? "n\(index).load.net" : "evil-\(index).com").octets(id: index))
        }
        while ids.count < 50, let answer = stream.receiveFramed(within: 5) {
          let reply = try #require(Reply(answer))
          #expect(reply.addresses.count == (reply.id % 2 == 0 ? 1 : 0))
          ids.insert(reply.id)
        }
        #expect(ids.count == 50)
      }
    }
  }
}
