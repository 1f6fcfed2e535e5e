import ArgumentParser
import EgressPolicy
import Glibc
import IPNetwork
import LinuxIO
import PolicyImport

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Print the policy that lists and policies of other tools amount to.",
    discussion: """
      Prints policy YAML that `check` takes. What a source's line loses, opens wider, or cannot be written is a comment beside \
      it; refusals stand on standard error as well. Exits with 0 where nothing was refused, with 2 where something was, which \
      needs a hand, and with 1 where a file cannot be read. `*` keeps the meaning that it has in the source's tool.

      Formats:
      \(ImportFormat.allCases.map { "  \($0.padded)\($0.summary)" }.joined(separator: "\n"))

      Examples:
        sluice import toolhive --server github --network 10.77.1.0/24 registry.yaml
        sluice import claude --server claude --network 10.77.2.0/24 settings.json
        curl -s https://lists.example.com/hosts | sluice import hosts -
      """)

  @Argument(help: "What the files are.")
  var format: ImportFormat
  @Argument(help: "The files; `-` is standard input.", completion: .file()) var files: [String]
  @Option(help: "The server's name, or where the files name several the one that is printed.") var server: String?
  @Option(help: "A network that its queries come from; may be repeated.") var network: [String] = []
  @Option(help: "What is opened where the source opens every port of a host: ports such as 443/tcp,80/tcp, or any.")
  var ports = "443/tcp"
  @Flag(help: "Of a `list`: deny what is in it.") var deny = false

  func validate() throws {
    _ = try options()
    if files.count(where: { $0 == "-" }) > 1 { throw ValidationError("Standard input can be read once") }
    if deny, format != .list { throw ValidationError("--deny is for the format list: others say what they deny") }
  }

  func run() throws {
    let policy: ImportedPolicy
    do {
      let sources = try files.map { try InputFile.read($0) }
      policy = try PolicyImport.run(format, sources, try options())
    } catch let fault as Diagnostic {
      StandardError.write(fault.description)
      throw ExitCode.failure
    } catch let fault as ImportError {
      StandardError.write("sluice: \(fault.reason)")
      throw ExitCode.failure
    }
    StandardOutput.write(lines: Array(policy.text.utf8))
    for refusal in policy.refusals { StandardError.write("refused: \(refusal)") }
    if !policy.refusals.isEmpty { throw ExitCode(2) }
  }

  private func options() throws -> ImportOptions {
    var options = ImportOptions(isDenied: deny)
    if let server {
      do {
        options.server = try ServerName(server)
      } catch {
        throw ValidationError("--server \(server) \(error.reason), expected \(error.expected(insteadOf: server))")
      }
    }
    options.networks = try network.map { (text: String) throws -> IPPrefix in
      guard let prefix = IPPrefix(text), prefix.length > 0 else {
        throw ValidationError("--network \(text) is no network, expected one such as 10.77.1.0/24")
      }
      return prefix
    }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    options.ports = try portSet()
    return options
  }

  private func portSet() throws -> PortSet {
    if ports == "any" { return .any }
    let rules = ports.split { $0 == "," || $0 == " " }.map { PortRule($0) }
    guard !rules.isEmpty, !rules.contains(nil) else {
      throw ValidationError("--ports \(ports) are none, expected ports such as 443/tcp,80/tcp, or any")
    }
    return PortSet(rules.compactMap { $0 })
  }
}

extension ImportFormat: ExpressibleByArgument {
  /// In a column as wide as the longest name.
  fileprivate var padded: String { rawValue + String(repeating: " ", count: max(1, 15 - rawValue.count)) }
}

/// Reads files of others, whatever they are: what is longer than a list can be is not read to its end.
enum InputFile {
  private static let chunk = 64 << 10

  /// - Throws: why it cannot be read, as a `Diagnostic`.
  static func read(_ path: String) throws(Diagnostic) -> ImportSource {
    let name = path == "-" ? "standard input" : path
    let whole = SourceLocation(file: name, line: 0, column: 0)
    let descriptor = path == "-" ? dup(STDIN_FILENO) : unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .error("cannot be read: \(unsafe String(cString: strerror(errno)))", at: whole) }
    let file = FileDescriptor(descriptor)
    var octets: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: chunk)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(file.raw, $0.baseAddress, $0.count) }
      if count == 0 { return ImportSource(name: name, octets: octets) }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw .error("cannot be read: \(unsafe String(cString: strerror(errno)))", at: whole)
      }
      octets += buffer[..<count]
      guard octets.count <= ImportSource.maximumOctets else {
        throw .error("is longer than \(ImportSource.maximumOctets >> 20) MiB, expected a list", at: whole)
      }
    }
  }
}
