import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Examples", .timeLimit(.minutes(8)))
  struct ExampleTests {
    private func run(_ example: String, _ words: String...) throws -> Command.Output {
      try run(script: "Examples/\(example)/run", words)
    }

    private func run(script: String, _ words: [String]) throws -> Command.Output {
      // The debug build that is there already: the release build is the business of `.ci/run`.
      try Command.run(
        ["\(Machine.repository)/\(script)"] + words, within: 240,
        environment: [
          "SLUICE_EXECUTABLE": try #require(Machine.executable), "SLUICE_DEBIAN_ROOT": Self.debian,
          "SLUICE_PACKAGE": Self.package, "SWIFT_BACKTRACE": "enable=no",
        ])
    }

    /// A Debian 12 that the first example to need it makes and the next one finds.
    private static let debian = FileManager.default.temporaryDirectory.appending(
      path: "sluice-e2e-debian-\(getpid()).tar"
    ).path

    /// The same of the package.
    private static let package = FileManager.default.temporaryDirectory.appending(path: "sluice-e2e-\(getpid()).deb")
      .path

    /// Whether Debian's mirror can be had: debootstrap needs it.
    private static let hasMirror: Bool = {
      (try? Command.run(["\(Machine.repository)/Examples/debian/mirror"]))?.status == 0
    }()

    @Test("the quickstart sees its three outcomes and leaves nothing behind")
    func quickstart() throws {
      let output = try run("quickstart")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("all three outcomes seen"))
      let left = try Command.must("ip netns list").split(whereSeparator: \.isWhitespace).filter { $0.hasSuffix("-mcp") }
      #expect(left.isEmpty, "\(left)")
    }

    @Test("a hook of Git keeps back what check refuses, with the place, and takes the rest")
    func preCommit() throws {
      let output = try run("pre-commit")
      #expect(output.status == 0, "\(output.text)\n\(output.errors)")
      #expect(output.text.contains("refused and taken as it should be"))
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

    @Test(
      "the Debian package, its boot and the image: it serves, comes back, leaves no rule behind, and no packet goes first",
      .enabled(
        if: Machine.has("debootstrap") && Machine.has("systemd-nspawn"), "needs debootstrap and systemd-container"),
      .enabled(
        if: Machine.has("dockerd") && Machine.has("docker-compose"), "needs Debian's docker.io and docker-compose"),
      .enabled(if: hasMirror, "no Debian mirror answers, and debootstrap needs one"))
    func packages() throws {
      defer {
        for file in [Self.debian, Self.package] { try? FileManager.default.removeItem(atPath: file) }
      }
      let package = try run("debian")
      #expect(package.status == 0, "\(package.text)\n\(package.errors)")
      #expect(package.text.contains("installed, run, removed and purged"))
      let boot = try run(script: "Tests/Long/boot", ["1"])
      #expect(boot.status == 0, "\(boot.text)\n\(boot.errors)")
      #expect(boot.text.contains("no packet left before policy was in force"))
      let image = try run("container")
      #expect(image.status == 0, "\(image.text)\n\(image.errors)")
      #expect(image.text.contains("built, run, stopped and removed"))
    }
  }
}
