import Foundation
import Testing

extension EndToEnd {
  @Suite("Events are true", .timeLimit(.minutes(3)))
  struct TruthTests {
    /// Speaks as the client: DNS by hand, connections at once, so that what follows what is known to the millisecond.
    private static let speaker = """
      import socket, struct, sys, time
      def ask(name):
          u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)
          q = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + bytes(1)
          u.sendto(struct.pack('!6H', 7, 256, 1, 0, 0, 0) + q + struct.pack('!2H', 1, 1), ('10.77.1.1', 53))
          r = u.recv(4096)
          assert r[3] & 15 == 0 and r[7] > 0, (name, r)
      def knock(address, port=443, source=None):
          s = socket.socket(); s.settimeout(5)
          if source: s.bind((source, 0))
          try: s.connect((address, port)); print('connected', address, port)
          except ConnectionRefusedError: pass
          except OSError as e: print('error', e, address, port)
          s.close()
      def address(i): return '45.11.%d.%d' % (i >> 8 & 255, i & 255)

      """

    private func speak(_ bed: Testbed, _ script: String) throws {
      let said = try Command.run(["python3", "-c", Self.speaker + script], in: bed.client)
      #expect(said.status == 0 && said.text.isEmpty, "\(said.text) \(said.errors)")
    }

    /// What an event must say: code, destination, address, port, client.
    private struct Truth: Hashable {
      var code: String
      var destination: String
      var address: String
      var port = 443
      var client = "10.77.1.2"
    }

    @Test("200 refused connections, each with its own code, name and place in time")
    func script() throws {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { min-lifetime: 3s, grace: 1s, max-lifetime: 3s }\n"
      for index in 200..<220 {
        settings.records += "m\(index).bulk.net. IN A \(TestbedSettings.address(0x1000 + index))\n"
      }
      try Testbed.run(settings) { (bed: Testbed) throws in
        var truths: [Truth] = []
        func address(_ index: Int) -> String { TestbedSettings.address(0x1000 + index) }
        // Refused first and resolved then, as close as it comes: nothing had been open.
        try speak(
          bed,
          "for i in range(60):\n knock(address(0x1000 + i)); time.sleep((0, .005, .02)[i % 3]); ask('n%d.bulk.net' % i)"
        )
        for index in 0..<60 {
          truths.append(Truth(code: "raw-address", destination: address(index), address: address(index)))
        }
        // Open, on another port; and another server's.
        try speak(
          bed,
          "for i in range(100, 120):\n ask('n%d.bulk.net' % i); knock(address(0x1000 + i), 80)\n"
            + "for i in range(100, 120):\n ask('n%d.load.net' % i); knock(address(0x4000 + i), 80)\n"
            + "for i in range(300, 360):\n ask('n%d.bulk.net' % i); knock(address(0x1000 + i), 443, '10.77.1.200')")
        for index in 100..<120 {
          truths.append(
            Truth(code: "wrong-port", destination: "n\(index).bulk.net", address: address(index), port: 80))
          truths.append(
            Truth(
              code: "wrong-port", destination: "n\(index).load.net", address: TestbedSettings.address(0x4000 + index),
              port: 80))
        }
        for index in 300..<360 {
          truths.append(
            Truth(
              code: "never-resolved", destination: address(index), address: address(index), client: "10.77.1.200"))
        }
        // Two names at one address, one after the other, both over: it is the last one's.
        try speak(
          bed,
          "for i in range(200, 220): ask('n%d.bulk.net' % i)\ntime.sleep(4)\n"
            + "for i in range(200, 220): ask('m%d.bulk.net' % i)\ntime.sleep(4)\n"
            + "for i in range(200, 220): knock(address(0x1000 + i))")
        for index in 200..<220 {
          truths.append(Truth(code: "expired", destination: "m\(index).bulk.net", address: address(index)))
        }
        // Closed by an operator, long before its time, and met after that would have been over as well.
        try speak(bed, "for i in range(500, 520): ask('n%d.load.net' % i)")
        #expect(try bed.sluice.command("grants", "revoke", "--server", "github-mcp").status == 0)
        try speak(bed, "time.sleep(4)\nfor i in range(500, 520): knock(address(0x4000 + i))")
        for index in 500..<520 {
          truths.append(
            Truth(
              code: "withdrawn", destination: "n\(index).load.net", address: TestbedSettings.address(0x4000 + index)))
        }
        #expect(truths.count == 200)

        var events: [[String: Any]] = []
        try eventually("all events", within: 20) {
          events = try bed.sluice.events().filter { $0["address"] != nil }
          return events.count >= truths.count
        }
        let told = events.map { event in
          Truth(
            code: event["code"] as? String ?? "", destination: event["destination"] as? String ?? "",
            address: event["address"] as? String ?? "", port: event["port"] as? Int ?? 0,
            client: event["client"] as? String ?? "")
        }
        #expect(Set(told).subtracting(truths).isEmpty, "untrue")
        #expect(Set(truths).subtracting(told).isEmpty, "not told")
        #expect(told.count == truths.count)
        // By the time of the packet: before the name was resolved.
        let all = try bed.sluice.events()
        for index in 0..<60 {
          let refused = events.first { $0["address"] as? String == address(index) }?["ts"] as? String
          let granted =
            all.first {
              $0["code"] as? String == "granted" && $0["destination"] as? String == "n\(index).bulk.net"
            }?["ts"] as? String
          #expect(refused != nil && granted != nil && refused! <= granted!, "\(index)")
        }
        for event in events where ["expired", "withdrawn"].contains(event["code"] as? String) {
          let (opened, closed) = (event["opened"] as? String, event["closed"] as? String)
          #expect(opened != nil && closed != nil && opened! < closed! && closed! <= event["ts"] as! String, "\(event)")
          #expect(event["closed_by"] as? String == (event["code"] as? String == "withdrawn" ? "operator" : nil))
        }

        // A server that leaves right after its packet had it, and what was so then was so.
        let policies = try String(contentsOf: bed.sluice.policyFile, encoding: .utf8)
        let alone = policies.components(separatedBy: "---\n")[0]
        for turn in 0..<4 {
          try speak(bed, "knock('45.11.9.\(turn)', 443, '10.77.1.200')")
          for text in [alone, policies] {
            let before = bed.sluice.errors.split(separator: "is in force").count
            try Data(text.utf8).write(to: bed.sluice.policyFile)
            bed.sluice.signal(SIGHUP)
            try eventually("the policy is in force") {
              bed.sluice.errors.split(separator: "is in force").count > before
            }
          }
          var event: [String: Any]?
          try eventually("the event of a server that left") {
            event = try bed.sluice.events().first { $0["address"] as? String == "45.11.9.\(turn)" }
            return event != nil
          }
          #expect(
            event?["server"] as? String == "other-mcp" && event?["code"] as? String == "raw-address", "\(event ?? [:])")
        }

        // What an earlier run opened is known to this one.
        bed.sluice.stop()
        try bed.sluice.startAgain()
        try speak(bed, "knock(address(0x1000 + 205))")
        var after: [String: Any]?
        try eventually("the event of the next run") {
          after = try bed.sluice.events().last {
            $0["address"] as? String == address(205) && $0["code"] as? String == "expired"
          }
          return after?["closed_by"] != nil
        }
        #expect(after?["destination"] as? String == "m205.bulk.net" && after?["closed_by"] as? String == "restart")
      }
    }
  }
}
