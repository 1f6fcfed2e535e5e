import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite(
    "A table that is Sluice's alone", .timeLimit(.minutes(5)),
    .enabled(
      if: ProcessInfo.processInfo.isOperatingSystemAtLeast(
        OperatingSystemVersion(majorVersion: 6, minorVersion: 9, patchVersion: 0)),
      "needs Linux 6.9: tables that outlive their owner"))
  struct ExclusiveTableTests {
    @Test("beside a flood of foreign flushes every name is answered and opened, and a policy changes; nothing is amiss")
    func flood() throws {
      var settings = TestbedSettings()
      settings.configuration += "firewall: { exclusive: on }\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let harms = "nft flush ruleset; nft delete table inet sluice; nft flush set inet sluice github-mcp-4"
        let flood = try RunningCommand(
          ["sh", "-c", "while :; do \(harms); done"], in: bed.host, folder: bed.folder)
        defer { flood.signal(SIGKILL) }
        for number in 0..<8 {
          #expect(try bed.dig("n\(number).bulk.net", "A").status == "NOERROR")
          #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
          #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        }
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.66"))
        let other = settings.policies.replacing("  - www.vendor.net\n", with: "  - evil.example.com\n")
        try Data(other.utf8).write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        #expect(try bed.dig("evil.example.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.66"))
        flood.signal(SIGKILL)
        let codes = Set(try bed.sluice.events().compactMap { $0["code"] as? String })
        #expect(codes.isDisjoint(with: ["enforcement-degraded", "enforcement-restored"]))
        #expect(try bed.nft("list chains inet").contains("sluice/closing"))
        #expect(try !bed.nft("list chains inet").contains("passing/hook"), "nothing was closed")
        // Without Sluice the rules stay, as they always do, and are nobody's.
        bed.sluice.signal(SIGKILL)
        try eventually("its owner is gone") { (try? bed.nft("add chain inet sluice later")) != nil }
        #expect(try !bed.connects("45.11.0.13"))
      }
    }
  }
}
