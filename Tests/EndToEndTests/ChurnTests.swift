import Foundation
import Testing

extension EndToEnd {
  @Suite("Churn", .timeLimit(.minutes(6)))
  struct ChurnTests {
    /// A minute of what `Tests/Benchmarks/churn.py` proves over half an hour. What is asserted is what connects and
    /// what does not, never how fast a foreign deletion heals: hence the long limit.
    @Test(
      "under churn nothing outside policy connects, and what an answer promised does",
      .enabled(if: Machine.has("python3"), "needs python3: apt-get install python3"),
      .enabled(if: Machine.has("nsd"), "needs nsd: apt-get install nsd"),
      .enabled(if: Machine.has("nft"), "needs nft: apt-get install nftables"))
    func churn() throws {
      let executable = try #require(Machine.executable)
      func namespaces() throws -> Set<Substring> { Set(try Command.must("ip netns list").split(separator: "\n")) }
      let before = try namespaces()
      let output = try Command.run(
        [
          "python3", "\(Machine.repository)/Tests/Benchmarks/churn.py", "--sluice", executable, "--minutes", "1",
          "--rate", "400", "--heal-limit", "3",
        ], within: 280)
      #expect(output.status == 0, "\(output.text.suffix(12_000))\n\(output.errors.suffix(4_000))")
      #expect(output.text.contains("\nviolations: 0"))
      let left = try namespaces().subtracting(before)
      #expect(!left.contains { $0.contains("sluice-churn-") }, "its namespaces are gone: \(left)")
    }
  }
}
