import DNSWire
import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("A firewall that fails", .timeLimit(.minutes(5)))
  struct FirewallFaultTests {
    /// Asks the names of a block again and again until `end`; returns which of them were answered with an address, and
    /// how many answers had one that the kernel did not hold.
    private func ask(
      _ block: Range<Int>, _ socket: Socket, _ kernel: KernelView, until end: (Set<Int>) throws -> Bool
    ) throws -> (answered: Set<Int>, misses: Int) {
      var result: (answered: Set<Int>, misses: Int) = ([], 0)
      while true {
        for index in block where !result.answered.contains(index) {
          if try end(result.answered) { return result }
          let reply = socket.ask(Question("n\(index).load.net"), id: UInt16(truncatingIfNeeded: index), within: 1)
          for address in reply?.addresses ?? [] {
            result.answered.insert(index)
            if try !kernel.holds(address) { result.misses += 1 }
          }
        }
        if try end(result.answered) { return result }
      }
    }

    /// Asks until fifty names that were not asked for before are answered.
    private func expectAnswers(_ block: Range<Int>, _ socket: Socket, _ kernel: KernelView) throws {
      let deadline = Deadline(20)
      let result = try ask(block, socket, kernel) { $0.count == 50 || deadline.isOver }
      #expect(result.answered.count == 50, "answers again")
      #expect(result.misses == 0)
    }

    @Test("a stopped bridge: no address without its commit, and answers again when it goes on")
    func stoppedBridge() throws {
      try Testbed.run { (bed: Testbed) throws in
        let load = try Load((10_000..<20_000).map { "n\($0).load.net" }, queriesPerSecond: 300, on: bed)
        let (socket, kernel) = (try bed.socket(), try KernelView(bed))
        for round in 0..<3 {
          let start = round * 2_000
          let bridge = try bed.sluice.bridge
          Processes.signal(bridge, SIGSTOP)
          defer { Processes.signal(bridge, SIGCONT) }
          let deadline = Deadline(2)
          let stopped = try ask(start..<(start + 1_000), socket, kernel) { _ in deadline.isOver }
          #expect(stopped.misses == 0)
          Processes.signal(bridge, SIGCONT)
          try expectAnswers((start + 1_000)..<(start + 2_000), socket, kernel)
        }
        #expect(try load.stop() > 300)
        #expect(bed.sluice.isRunning)
      }
    }

    @Test("a killed bridge: no address without its commit, and a new bridge within seconds")
    func killedBridge() throws {
      try Testbed.run { (bed: Testbed) throws in
        let load = try Load((10_000..<20_000).map { "n\($0).load.net" }, queriesPerSecond: 300, on: bed)
        let (socket, kernel) = (try bed.socket(), try KernelView(bed))
        for round in 0..<5 {
          let bridge = try bed.sluice.bridge
          Processes.signal(bridge, SIGKILL)
          try eventually("another bridge") {
            let start = round * 1_000
            let deadline = Deadline(0.1)
            let down = try ask(start..<(start + 900), socket, kernel) { _ in deadline.isOver }
            #expect(down.misses == 0)
            return (try? bed.sluice.bridge).map { $0 != bridge } ?? false
          }
          try expectAnswers((round * 1_000 + 900)..<(round * 1_000 + 1_000), socket, kernel)
        }
        #expect(try load.stop() > 300)
      }
    }

    @Test("when every process of the bridge is killed, serve ends with an error, and starts anew with what is open")
    func killedBridgeWhole() throws {
      try Testbed.run { (bed: Testbed) throws in
        let (socket, kernel) = (try bed.socket(), try KernelView(bed))
        try expectAnswers(0..<100, socket, kernel)
        for process in Processes.descendants(of: try bed.sluice.pid) {
          Processes.signal(process, SIGKILL)
        }
        let down = try ask(1_000..<2_000, socket, kernel) { _ in !bed.sluice.isRunning }
        #expect(down.misses == 0)
        #expect(try bed.sluice.status() == 1)
        #expect(bed.sluice.errors.contains("sluice has to be started anew"), "\(bed.sluice.errors)")
        #expect(try bed.connects(TestbedSettings.address(0x4000)), "what was opened stays open")
        #expect(try !bed.connects("45.11.0.66"))
        #expect(
          try bed.sluice.events().contains {
            $0["code"] as? String == "enforcement-degraded" && $0["cause"] as? String == "bridge-gone"
          })
        try bed.sluice.startAgain()
        try expectAnswers(2_000..<2_100, try bed.socket(), kernel)
      }
    }

    /// Stops supervisor and worker, takes the table away, and waits until it is seen that they do not run.
    private func silence(_ bed: Testbed) throws -> [Int32] {
      let bridge = Processes.descendants(of: try bed.sluice.pid)
      for process in bridge { Processes.signal(process, SIGSTOP) }
      _ = try bed.nft("flush ruleset")
      try eventually("the cached name is not answered any more") {
        try bed.dig("api.github.com", "A").status == "SERVFAIL"
      }
      return bridge
    }

    @Test("a bridge that is alive but does not run: no cached answer without its element, and every interface tells it")
    func silentBridge() throws {
      try Testbed.run { (bed: Testbed) throws in
        let (socket, kernel) = (try bed.socket(), try KernelView(bed))
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        for _ in 0..<2 {
          let bridge = try silence(bed)
          for id: UInt16 in 0..<40 {
            for name in ["api.github.com", "n\(id).load.net"] {
              let reply = socket.ask(Question(name), id: id, within: 1)
              #expect(reply?.code == .SERVFAIL && reply?.addresses.isEmpty == true)
            }
          }
          #expect(socket.ask(Question("a.evil-silence.com"), id: 99)?.code == .NXDOMAIN, "denials go on")
          let status = try bed.sluice.command("status", "--json")
          #expect(status.text.contains("\"state\":\"down\""), "\(status.text)")
          for process in bridge { Processes.signal(process, SIGCONT) }
          try eventually("it is answered again, with its element") {
            guard try bed.dig("api.github.com", "A").values == ["45.11.0.10"] else { return false }
            #expect(try kernel.holds(try #require(IPAddress("45.11.0.10"))))
            return true
          }
          try eventually("the incident is over") {
            let events = try bed.sluice.events()
            let degraded = events.filter { $0["code"] as? String == "enforcement-degraded" }
            return degraded.contains { $0["cause"] as? String == "bridge-silent" }
              && events.filter { $0["code"] as? String == "enforcement-restored" }.count == degraded.count
          }
          #expect(try bed.sluice.command("status", "--json").text.contains("\"state\":\"up\""))
        }
      }
    }

    @Test("a bridge that does not come back ends serve with an error")
    func lostBridge() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        let bridge = try silence(bed)
        defer { for process in bridge { Processes.signal(process, SIGKILL) } }
        #expect(try bed.sluice.status(within: 30) == 1)
        for process in bridge { Processes.signal(process, SIGKILL) }
        try bed.sluice.startAgain()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try bed.connects("45.11.0.10"))
      }
    }

    @Test("flushing the set: no answer whose address is missing, and what is cached is opened again")
    func flushedSet() throws {
      try withForeignChange("flush set inet sluice github-mcp-4")
    }

    @Test("deleting the table: no answer whose address is missing, and the table comes back")
    func deletedTable() throws {
      try withForeignChange("delete table inet sluice")
    }

    private func withForeignChange(_ change: String) throws {
      try Testbed.run { (bed: Testbed) throws in
        let cached = (0..<20).map { "n\($0).bulk.net" }
        let load = try Load(cached, queriesPerSecond: 300, on: bed)
        let (socket, kernel) = (try bed.socket(), try KernelView(bed))
        for name in cached {
          #expect(socket.ask(Question(name), id: 1)?.code == .NOERROR)
        }
        var id: UInt16 = 0
        for round in 0..<30 {
          _ = try bed.nft(change)
          var answered: Set<String> = []
          try eventually("every cached name answers after change \(round)", within: 20) {
            for name in cached where !answered.contains(name) {
              id &+= 1
              guard let reply = socket.ask(Question(name), id: id, within: 1), let address = reply.addresses.first
              else {
                continue
              }
              let isHeld = try kernel.holds(address)
              #expect(isHeld, "\(name) was answered before its address was back")
              answered.insert(name)
            }
            return answered.count == cached.count
          }
        }
        #expect(try load.stop() > 50)
        #expect(try !bed.connects("45.11.0.66"), "the rules are in force again")
      }
    }

    @Test("the table and its elements outlive the process, and nothing else is open while it is gone")
    func survives() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        bed.sluice.signal(SIGKILL)
        _ = try bed.sluice.status()
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.66"))
        try bed.sluice.startAgain()
        #expect(try bed.connects("45.11.0.10"), "a start keeps what is open")
      }
    }

    @Test("without the right to change the firewall serve does not start")
    func withoutPrivilege() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let executable = try #require(Machine.executable)
        let output = try Command.run(
          [
            "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", executable, "serve", "--config",
            bed.sluice.configurationFile,
          ], in: bed.host, within: 20)
        #expect(output.status == 1)
        #expect(output.errors.contains("firewall"), "\(output.errors)")
      }
    }

    @Test("serve keeps no capability and its bridge only CAP_NET_ADMIN")
    func privileges() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        for field in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
          #expect(try Processes.status(bed.sluice.pid, field) == "0000000000000000", "\(field)")
          for bridge in Processes.descendants(of: try bed.sluice.pid) {
            let kept = try Processes.status(bridge, field)
            #expect(["0000000000000000", "0000000000001000"].contains(kept), "\(field) of \(bridge)")
          }
        }
        #expect(try Processes.status(bed.sluice.bridge, "CapEff") == "0000000000001000")
        #expect(try Processes.status(bed.sluice.pid, "Uid")?.hasPrefix("0\t") == false)
      }
    }
  }
}
