import ArgumentParser
import Control
import ControlAPI
import Foundation
import LinuxIO

/// Calls the running server for a command.
struct ControlCaller {
  let socket: String

  /// Prints why not, and exits with 1, where the call comes to nothing.
  ///
  /// - Parameter query: without those that are nil.
  func call<Answer: Decodable>(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)] = [], as type: Answer.Type
  ) throws -> (answer: Answer, octets: [UInt8]) {
    let response = try respond(method, call, query)
    guard response.status < 300 else {
      // Where the body is no failure of the API the status alone is told.
      let failure = try? ControlAPI.decode(ControlAPI.Failure.self, response.body)
      for finding in failure?.findings ?? [] { StandardError.write(finding) }
      StandardError.write("sluice: \(failure?.error ?? "the server answered with status \(response.status)")")
      throw ExitCode.failure
    }
    do {
      return (try ControlAPI.decode(type, response.body), response.body)
    } catch {
      StandardError.write("sluice: the answer is not what this version expects: \(error)")
      throw ExitCode.failure
    }
  }

  private func respond(
    _ method: ControlRequest.Method, _ call: ControlAPI.Call, _ query: [(String, String?)]
  ) throws -> ControlResponse {
    var target = call.path
    let pairs = query.compactMap { key, value in value.map { "\(key)=\(Self.escaped($0))" } }
    if !pairs.isEmpty { target += "?" + pairs.joined(separator: "&") }
    do {
      return try Progress.during("waiting for sluice") {
        try ControlClient(path: socket).call(method, target)
      }
    } catch let error as SystemError {
      let hint =
        switch error.errno {
        case ENOENT, ECONNREFUSED: "no sluice is serving there; --config or --control names another place"
        case EACCES, EPERM: "this user may not; root or the group of the socket may"
        default: "\(error)"
        }
      StandardError.write("sluice: \(socket): \(hint)")
    } catch {
      StandardError.write("sluice: \(socket): \(error)")
    }
    throw ExitCode.failure
  }

  private static func escaped(_ text: String) -> String {
    var allowed = CharacterSet.alphanumerics
    allowed.insert(charactersIn: "-._~*:")
    return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? text
  }
}
