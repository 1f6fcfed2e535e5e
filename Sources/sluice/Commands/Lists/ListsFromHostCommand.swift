import ArgumentParser
import EgressPolicy
import Foundation
import LinuxIO

/// A program that fetches packages from an index.
enum PackageClient: String, CaseIterable, ExpressibleByArgument {
  case apt, pip, npm, cargo, go, maven

  /// What its configuration says; nothing is asked of the network.
  func read(_ host: HostTree) -> ClientReading {
    switch self {
    case .apt: AptClient.read(host)
    case .pip: PipClient.read(host)
    case .npm: NpmClient.read(host)
    case .cargo: CargoClient.read(host)
    case .go: GoClient.read(host)
    case .maven: MavenClient.read(host)
    }
  }
}

struct ListsFromHostCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "from-host",
    abstract:
      "Make a list of what a package client fetches from, by its own configuration on this host or in an image.",
    discussion: """
      No list of a package index is shipped: which ones are used is the host's to say, and mirrors are what its clients name. The \
      list is printed; write it into a file, read it, and include it by its path.

      Files are read, nothing is sent; of this host's go what it was built with is asked of `go env`. Where a client names \
      none and goes by a default that no file here says, what to do is printed, and the exit code is 1 if nothing else was found.

      Examples:
        sluice lists from-host apt >/etc/sluice/policies/apt.yaml
        sluice lists from-host pip --root /srv/images/agent
      """)

  @Argument(help: "One of \(PackageClient.allCases.map(\.rawValue).joined(separator: ", ")).") var client: PackageClient
  @Option(help: "The root of an image's files, instead of this host's.", completion: .directory) var root = "/"

  func validate() throws {
    var isDirectory: ObjCBool = false
    let isThere = unsafe FileManager.default.fileExists(atPath: root, isDirectory: &isDirectory)
    if !isThere || !isDirectory.boolValue { throw ValidationError("--root is '\(root)', expected a folder") }
  }

  func run() throws {
    let reading = client.read(HostTree(root: root))
    let lines = IndexEntries.lines(reading.hosts)
    if let text = reading.unknownDefault { StandardError.write("sluice: \(text)") }
    guard !lines.isEmpty else {
      if reading.unknownDefault == nil {
        StandardError.write("sluice: the configuration of \(client.rawValue) names no host")
      }
      throw ExitCode.failure
    }
    StandardOutput.write(Self.text(client, root: root, lines, reading, today: WallClock.nanoseconds() / 1_000_000_000))
  }

  /// - Parameter today: in seconds since 1970.
  static func text(
    _ client: PackageClient, root: String, _ entries: [String], _ reading: ClientReading, today: UInt64
  ) -> String {
    let notes = (reading.notes + [reading.unknownDefault].compactMap(\.self)).map { "# \($0)\n" }.joined()
    let place = root == "/" ? "this host" : "the image at \(root)"
    return """
      \(notes)list: \(client.rawValue)
      date: \(PolicyTime.text(today).prefix(10))
      source: "the configuration of \(client.rawValue) of \(place.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))"
      for: packages by \(client.rawValue)
      egress:
      \(entries.joined(separator: "\n"))
      """
  }
}
