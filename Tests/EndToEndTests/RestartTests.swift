import DNSWire
import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("Restarts", .timeLimit(.minutes(8)))
  struct RestartTests {
    @Test("a hundred kills under load: every answered denial is in the log, the sets keep their elements")
    func hundredKills() throws {
      try Testbed.run { (bed: Testbed) throws in
        let load = try Load((0..<10_000).map { "n\($0).load.net" }, queriesPerSecond: 300, on: bed)
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        let kernel = try KernelView(bed)
        let address = try #require(IPAddress("45.11.0.10"))
        var denials = 0
        var slowest = Duration.zero
        for round in 0..<100 {
          let socket = try bed.socket()
          // On a slow machine a hundred rounds take longer than what was opened stays open.
          if round % 10 == 9 { _ = try bed.dig("api.github.com", "A") }
          for index in 0..<10 {
            // Each name under a domain of its own.
            let question = Question("a.evil-\(round)-\(index).com")
            if socket.ask(question, id: UInt16(index), within: 1)?.code == .NXDOMAIN { denials += 1 }
          }
          bed.sluice.signal(SIGKILL)
          _ = try bed.sluice.status()
          #expect(try kernel.holds(address), "round \(round)")
          let clock = ContinuousClock.now
          try bed.sluice.startAgain()
          slowest = max(slowest, ContinuousClock.now - clock)
        }
        #expect(denials > 900)
        _ = try load.stop()
        print("slowest start of a hundred: \(slowest)")
        // Every line is whole: events() throws for a torn one.
        try eventually("all \(denials) answered denials are in the log", within: 30) {
          let events = try bed.sluice.events().filter { $0["code"] as? String == "not-listed" }
          return events.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } >= denials
        }
      }
    }

    @Test("SIGTERM finishes and exits with 0, and what was recorded is in the log")
    func termination() throws {
      try Testbed.run { (bed: Testbed) throws in
        let socket = try bed.socket()
        for index in 0..<50 {
          #expect(socket.ask(Question("a.end-\(index).com"), id: UInt16(index))?.code == .NXDOMAIN)
        }
        bed.sluice.signal(SIGTERM)
        #expect(try bed.sluice.status() == 0)
        let names = Set(try bed.sluice.events().compactMap { $0["destination"] as? String })
        for index in 0..<50 {
          #expect(names.contains("a.end-\(index).com"))
        }
      }
    }

    @Test("SIGHUP: what is listed now answers, what is not any more is closed at once, the rest stays open")
    func reload() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        let changed = TestbedSettings.standardPolicies.replacing("uploads.github.com", with: "evil.example.com")
        try Data(changed.utf8).write(to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("the new policy is in force") { try bed.dig("evil.example.com", "A").status == "NOERROR" }
        #expect(try bed.dig("uploads.github.com", "A").status == "NXDOMAIN")
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.connects("45.11.0.66"))
        try eventually("what is not listed any more is closed") { try !bed.connects("45.11.0.11") }
      }
    }

    @Test("SIGHUP with a broken policy changes nothing")
    func brokenReload() throws {
      try Testbed.run { (bed: Testbed) throws in
        try Data("server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negres: []\n".utf8).write(to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("the refusal is said") { bed.sluice.errors.contains("policies.yaml:3") }
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
      }
    }
  }
}
