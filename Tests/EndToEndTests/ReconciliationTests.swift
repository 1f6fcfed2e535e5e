import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("What a restart finds in the kernel", .timeLimit(.minutes(5)))
  struct ReconciliationTests {
    @Test(
      "what policy still admits stays open, the rest is closed, whatever way the last run ended",
      arguments: [SIGTERM, SIGKILL])
    func takenOver(_ signal: Int32) throws {
      try Testbed.run { (bed: Testbed) throws in
        let names = [
          "api.github.com": "45.11.0.10", "uploads.github.com": "45.11.0.11", "www.vendor.net": "45.11.0.12",
        ]
        for name in names.keys { #expect(try bed.dig(name, "A").status == "NOERROR") }
        let connection = try Socket(streamTo: "45.11.0.11", 443, from: bed.client)
        bed.sluice.signal(signal)
        _ = try bed.sluice.status()
        for address in names.values { #expect(try bed.connects(address), "open while no serve runs") }
        try eventually("the bridge is gone too") { try Command.must("ip netns pids \(bed.host.name)").isEmpty }
        // While nothing watched: a foreign element, and a name that policy lost.
        _ = try bed.nft("add element inet sluice github-mcp-4 { 45.11.0.66 . tcp . 443 timeout 1h }")
        let changed = TestbedSettings.standardPolicies.replacing("  - uploads.github.com\n", with: "")
        try Data(changed.utf8).write(to: bed.sluice.policyFile)
        try bed.sluice.startAgain()
        let kernel = try KernelView(bed)
        #expect(try kernel.holds(#require(IPAddress("45.11.0.10"))))
        #expect(try kernel.holds(#require(IPAddress("45.11.0.12"))))
        #expect(try !kernel.holds(#require(IPAddress("45.11.0.11"))))
        #expect(try !kernel.holds(#require(IPAddress("45.11.0.66"))))
        try eventually("the connection to what is not listed any more is cut") { !connection.isAlive() }
        // Taken over means known: a PTR, a flush that is healed, a reload that closes it.
        #expect(try bed.dig("-x", "45.11.0.12").values == ["www.vendor.net."])
        _ = try bed.nft("flush set inet sluice github-mcp-4")
        try eventually("what was taken over is committed again") { try kernel.holds(#require(IPAddress("45.11.0.10"))) }
        try Data(changed.replacing("  - api.github.com\n  - onlya", with: "  - onlya").utf8).write(
          to: bed.sluice.policyFile)
        bed.sluice.signal(SIGHUP)
        try eventually("what was taken over is closed by a reload") { try !bed.connects("45.11.0.10") }
      }
    }

    @Test("a second serve on the same table is refused and disturbs nothing")
    func oneOwner() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let second = bed.folder.appending(path: "second.yaml")
        let first = try String(contentsOfFile: bed.sluice.configurationFile, encoding: .utf8)
        let text = first.replacing(":53\"", with: ":5399\"").replacing("audit.jsonl", with: "second.jsonl")
        try Data(text.utf8).write(to: second)
        let executable = try #require(Machine.executable)
        let output = try Command.run([executable, "serve", "--config", second.path], in: bed.host)
        #expect(output.status == 1)
        #expect(output.errors.contains("inet sluice"))
        let removal = try bed.sluice.command("firewall", "remove")
        #expect(removal.status == 1, "the table of a running sluice is not taken away")
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.sluice.events().allSatisfy { $0["code"] as? String != "enforcement-degraded" })
      }
    }

    @Test("with keep-in-use an address that carries a connection stays open beyond its lifetime, up to the bound")
    func keepInUse() throws {
      var settings = TestbedSettings()
      settings.records = settings.records.replacing("api.github.com. IN A ", with: "api.github.com. 1 IN A ")
        .replacing("uploads.github.com. IN A ", with: "uploads.github.com. 1 IN A ")
        .replacing("onlya.github.com. IN A ", with: "onlya.github.com. 1 IN A ")
      settings.configuration += "firewall: { min-lifetime: 8s, grace: 2s, keep-in-use: 35s }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("onlya.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        // The host itself translates the destination of this one.
        try bed.translate("203.0.113.13", to: "45.11.0.13")
        let translated = try Socket(streamTo: "203.0.113.13", 443, from: bed.client)
        let kernel = try KernelView(bed)
        let (used, idle) = (try #require(IPAddress("45.11.0.10")), try #require(IPAddress("45.11.0.11")))
        try eventually("what is not used ends", within: 20) { try !kernel.holds(idle) }
        #expect(try kernel.holds(used))
        #expect(try kernel.holds(#require(IPAddress("45.11.0.13"))) && translated.isAlive())
        try eventually("the bound ends it all the same", within: 60) { try !kernel.holds(used) }
        #expect(connection.isAlive(), "an established connection lives on")
        #expect(try !bed.connects("45.11.0.10"))
      }
    }
  }
}
