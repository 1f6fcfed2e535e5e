import Foundation
import Testing

extension EndToEnd {
  @Suite("Examples", .timeLimit(.minutes(5)))
  struct ExampleTests {
    private func run(_ example: String, _ words: String...) throws -> Command.Output {
      // The debug build that is there already: the release build is the business of `.ci/run`.
      try Command.run(
        ["\(Machine.repository)/Examples/\(example)/run"] + words, within: 240,
        environment: ["SLUICE_EXECUTABLE": try #require(Machine.executable)])
    }

    @Test("the quickstart sees its three outcomes and leaves nothing behind")
    func quickstart() throws {
      let output = try run("quickstart")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("all three outcomes seen"))
      #expect(try !Command.must("ip netns list").contains("-mcp"))
    }

    @Test(
      "a real container reaches what is listed, no raw address, and its denied name is in the log with its address",
      .enabled(if: Machine.has("dockerd"), "needs Docker's engine: apt-get install docker.io"))
    func docker() throws {
      let output = try run("docker")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("all three outcomes seen"))
      #expect(output.text.contains("\"client\":\"10.77.2.2\""))
      #expect(output.text.contains("hello from the internet"))
    }

    @Test(
      "every command shows what the documentation says it shows, with a real container as the client",
      .enabled(if: Machine.has("dockerd"), "needs Docker's engine: apt-get install docker.io"))
    func tour() throws {
      let output = try run("tour", "--check")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("every command seen"))
    }

    @Test(
      "two networks, two policies, a published port, up and down again: every event names the right server",
      .enabled(if: Machine.has("dockerd"), "needs Docker's engine: apt-get install docker.io"),
      .enabled(if: Machine.has("docker-compose"), "needs Debian's docker-compose"))
    func dockerNetworks() throws {
      let output = try run("docker-networks")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("every identity right"))
    }
  }
}
