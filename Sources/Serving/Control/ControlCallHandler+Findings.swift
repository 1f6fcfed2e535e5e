import Control
import ControlAPI

/// What inspectors tell.
extension ControlCallHandler {
  private static let expected =
    "expected a JSON object with connection (Sluice-Connection of the CONNECT), kind, action (block or flag) and, if known, "
    + "evidence and octets"

  /// A call on the socket for findings, by which nothing else can be asked.
  func takeFinding(_ request: ControlRequest, _ completion: Completion) {
    guard request.path == [ControlAPI.version, ControlAPI.Call.findings.rawValue] else {
      return completion(.error(404, "no such path here; expected \(ControlAPI.Call.findings.path)"))
    }
    guard request.method == .post else {
      return completion(.error(405, "findings does not take \(request.method.rawValue)"))
    }
    do throws(ControlAPI.CallError) {
      try find(request, completion)
    } catch {
      completion(error.response)
    }
  }

  func find(_ request: ControlRequest, _ completion: Completion) throws(ControlAPI.CallError) {
    try check(request, [])
    let finding: ControlAPI.Finding
    do {
      finding = try ControlAPI.decode(ControlAPI.Finding.self, request.body)
    } catch {
      throw ControlAPI.CallError(400, "the body is no finding; \(Self.expected)")
    }
    if let fault = finding.fault { throw ControlAPI.CallError(400, "\(fault); \(Self.expected)") }
    do throws(ResolutionService.FindingRefusal) {
      let lived = try service.take(finding)
      completion(ControlResponse(json: ControlAPI.FindingTaken(live: lived), status: 201))
    } catch {
      switch error {
      case .unknownConnection:
        throw ControlAPI.CallError(404, "no connection is known by this id, or it ended more than a minute ago")
      case .unrecorded(let wasCut):
        throw ControlAPI.CallError(
          503,
          "the finding could not be recorded\(wasCut ? "; the connection was cut all the same" : ""): tell it again")
      }
    }
  }
}
