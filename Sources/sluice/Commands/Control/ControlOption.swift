import ArgumentParser
import Control
import ControlAPI
import Settings

/// Where the running server is asked.
struct ControlOption: ParsableArguments {
  @Option(
    name: [.long, .short],
    help: "The configuration file, for its control socket. (default: /etc/sluice/sluice.yaml, if there is one)",
    completion: .file(extensions: ["yaml", "yml"]))
  var config: String?
  @Option(help: "The control socket itself.", completion: .file()) var control: String?

  /// The configuration that is named, or the one that is installed.
  var configuration: String? {
    config ?? ConfigurationOption.installedIfReadable
  }

  private func path() throws -> String {
    if let control { return control }
    guard let config = configuration else { return ControlSettings.default.path }
    return try ConfigurationOption.paths(config).control.path
  }

  /// As `ControlCaller.call`.
  func call<Answer: Decodable>(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)] = [], as type: Answer.Type
  ) throws -> (answer: Answer, octets: [UInt8]) {
    try ControlCaller(socket: try self.path()).call(method, call, query, as: type)
  }
}
