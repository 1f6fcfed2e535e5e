import Control
import ControlAPI
import DNSWire
import EgressPolicy
import IPNetwork
import LinuxIO
import Resolver
import Settings

extension ControlCallHandler {
  /// Says what a query or a connection would get by the policy in force. Asks nothing and opens nothing.
  func explain(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "client", "name", "type", "address", "port"])
    let place = try asker(request)
    var explainer = Explainer(
      service.snapshot, ExplainedHost(settings, closed: service.enclosure.closed), now: policies.clock.seconds())
    explainer.upstreams = settings.upstreams.map(\.description)
    explainer.forwards = service.snapshot.forwards
    let client = request.query["client"].flatMap { IPAddress($0)?.unmapped }
    var explanation: ControlAPI.Explanation
    switch (try name(request), request.query["address"]) {
    case (let name?, nil):
      guard request.query["port"] == nil else { throw ControlAPI.CallError(400, "port goes with address") }
      explanation = explainer.explain(name, try type(request), of: place, client: client)
    case (nil, let text?):
      guard request.query["type"] == nil else { throw ControlAPI.CallError(400, "type goes with name") }
      guard let address = IPAddress(text) else {
        throw ControlAPI.CallError(400, "address is '\(text)'; expected IPv4 or IPv6")
      }
      explanation = explainer.explain(address.unmapped, try port(request), of: place, client: client)
    default: throw ControlAPI.CallError(400, "say what to explain: name or address")
    }
    explanation.client = request.query["client"]
    completion(ControlResponse(json: explanation))
  }

  /// The server whose client asks; nil for a client of none.
  private func asker(_ request: ControlRequest) throws(ControlAPI.CallError) -> Int? {
    switch (request.query["client"], request.query["server"]) {
    case (let text?, nil):
      guard let address = IPAddress(text) else {
        throw ControlAPI.CallError(400, "client is '\(text)'; expected IPv4 or IPv6")
      }
      return service.snapshot.server(of: address.unmapped)
    case (nil, .some): return try serverIndexes(request)[0]
    default: throw ControlAPI.CallError(400, "say whose: server or client")
    }
  }

  /// The record type that is asked for; A where the request says nothing.
  func type(_ request: ControlRequest) throws(ControlAPI.CallError) -> RRType {
    let text = request.query["type"] ?? "A"
    guard let type = RRType(mnemonic: text.uppercased()) else {
      throw ControlAPI.CallError(400, "type is '\(text)'; expected a mnemonic such as AAAA, or TYPE and a number")
    }
    return type
  }

  private func port(_ request: ControlRequest) throws(ControlAPI.CallError) -> PortRule? {
    guard let text = request.query["port"] else { return nil }
    guard let port = PortRule(text) else {
      throw ControlAPI.CallError(400, "port is '\(text)'; expected one such as 443/tcp")
    }
    return port
  }
}
