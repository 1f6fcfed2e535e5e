import Control
import ControlAPI
import DNSWire
import EgressPolicy
import LinuxIO
import Resolver
import Settings
import Transport

extension ControlCallHandler {
  /// Ports, and types, of one permit.
  private static let mostListed = 64
  /// Octets of a justification.
  private static let justification = 1...500

  func listPermits(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server"])
    let names = Set(try serverIndexes(request).map { service.snapshot.policy.servers[$0].name })
    let permits = policies.permits.filter { names.contains($0.allowed.server) }
    completion(
      ControlResponse(json: ControlAPI.PermitList(permits: permits.map { ControlAPI.Permit($0, service.now) })))
  }

  /// Allows a name for a time; answers when it is in force.
  func permit(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["server", "name", "seconds", "justification", "ports", "types"])
    let server = try serverName(try parameter(request, "server"))
    let name = try parameter(request, "name")
    let duration = try duration(try parameter(request, "seconds"))
    let justification = try parameter(request, "justification")
    guard Self.justification.contains(justification.utf8.count) else {
      throw ControlAPI.CallError(
        400, "justification has \(justification.utf8.count) octets; expected \(Self.justification.upperBound) at most")
    }
    // Nor what turns the direction of a line, or ends it.
    let unseen: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator]
    guard !justification.unicodeScalars.contains(where: { unseen.contains($0.properties.generalCategory) }),
      !justification.allSatisfy(\.isWhitespace)
    else {
      throw ControlAPI.CallError(400, "justification is blank or holds a control character; expected a line of text")
    }
    guard policies.permitCount < PolicyController.maxPermits else {
      throw ControlAPI.CallError(409, "\(policies.permitCount) permits are given; expected fewer: withdraw some")
    }
    let (ports, types) = (list(request, "ports"), list(request, "types"))
    guard ports.count <= Self.mostListed, types.count <= Self.mostListed else {
      throw ControlAPI.CallError(
        400, "\(ports.count) ports and \(types.count) types; expected \(Self.mostListed) of each at most")
    }
    let entry: (rule: EgressRule, warnings: [String])
    let id = policies.nextID()
    do throws(EgressEntry.EntryError) {
      entry = try EgressEntry.rule(
        host: name, ports: ports, types: types,
        until: policies.clock.seconds() + duration, named: "permit \(id)")
    } catch {
      throw ControlAPI.CallError(400, "what was asked for is no rule", findings: error.problems)
    }
    try checkPorts(entry.rule.ports, of: server)
    let policy = service.snapshot.policy.servers.first { $0.name == server }
    if let objection = policy?.objection(to: entry.rule.pattern) { throw ControlAPI.CallError(409, objection) }
    let permit = Permit(
      id: id, allowed: PermitRule(server: server, rule: entry.rule), justification: justification, peer: request.peer,
      given: service.shared.clock().wall, deadline: service.now + duration * 1_000_000_000)
    policies.permit(permit) { [service] activation in
      guard case .inForce = activation else { return completion(.error(503, activation.text)) }
      var given = ControlAPI.Permit(permit, service.now)
      given.warnings = entry.warnings
      completion(ControlResponse(json: given, status: 201))
    }
  }

  /// Ends permits: one, or all, or all of a server.
  func withdraw(_ request: ControlRequest, _ completion: @escaping Completion) throws(ControlAPI.CallError) {
    try check(request, ["id", "server"])
    guard !request.query.isEmpty else { throw ControlAPI.CallError(400, "say what to withdraw: id or server") }
    let server = try request.query["server"].map { text throws(ControlAPI.CallError) in try serverName(text) }
    var permits = policies.permits.filter { server == nil || $0.allowed.server == server }
    if let text = request.query["id"] {
      permits = permits.filter { "\($0.id)" == text }
      guard !permits.isEmpty else { throw ControlAPI.CallError(404, "there is no permit \(text)") }
    }
    let ids = Set(permits.map(\.id))
    guard !ids.isEmpty else {
      return completion(ControlResponse(json: ControlAPI.Withdrawn(permits: 0, addressesClosed: 0, flowsCut: 0)))
    }
    policies.withdraw(ids, by: request.peer) { activation in
      guard case .inForce(let applied) = activation else { return completion(.error(503, activation.text)) }
      completion(
        ControlResponse(
          json: ControlAPI.Withdrawn(
            permits: ids.count, addressesClosed: applied.addressesClosed, flowsCut: applied.flowsCut)))
    }
  }

  func parameter(_ request: ControlRequest, _ key: String) throws(ControlAPI.CallError) -> String {
    guard let text = request.query[key], !text.isEmpty else {
      throw ControlAPI.CallError(400, "parameter \(key) is missing")
    }
    return text
  }

  private func serverName(_ text: String) throws(ControlAPI.CallError) -> ServerName {
    guard let serverIndex = service.snapshot.policy.server(named: text) else {
      throw unknownServer(text)
    }
    return service.snapshot.policy.servers[serverIndex].name
  }

  private func duration(_ text: String) throws(ControlAPI.CallError) -> UInt64 {
    let max = UInt64(clamping: policies.permitSettings.maxSeconds)
    guard max > 0 else {
      throw ControlAPI.CallError(409, "the configuration allows no permits (permits: max): put the name into a policy")
    }
    let bound = "\(Quantity.duration(seconds: max)) at most (permits: max of the configuration)"
    guard let seconds = UInt64(text), seconds > 0 else {
      throw ControlAPI.CallError(400, "seconds is '\(text)'; expected a number of seconds, \(bound)")
    }
    guard seconds <= max else {
      throw ControlAPI.CallError(
        400,
        "a permit for \(Quantity.duration(seconds: seconds)) is too long; expected \(bound): what is needed for longer "
          + "belongs into the policy, with `until:`")
    }
    return seconds
  }

  private func checkPorts(_ ports: PortSet, of server: ServerName) throws(ControlAPI.CallError) {
    let listed = policies.listedPorts(of: server)
    guard !ports.isWithin(listed) else { return }
    let others = ports == .any ? ["any"] : ports.texts.filter { !listed.texts.contains($0) }
    throw ControlAPI.CallError(
      409,
      "no entry of \(server) opens \(others.joined(separator: ", ")); expected some of "
        + "\(listed.texts.joined(separator: ", ")), or `permits: { ports: any }` in the configuration")
  }

  private func list(_ request: ControlRequest, _ key: String) -> [String] {
    (request.query[key] ?? "").split(separator: ",").map { $0.trimmingPrefix(" ").description }
  }
}

extension ControlAPI.Permit {
  init(_ permit: Permit, _ now: UInt64) {
    let rule = permit.allowed.rule
    self.init(
      id: permit.id, server: permit.allowed.server.text, name: rule.pattern.description, ports: rule.ports.texts,
      types: rule.types.map(\.description), justification: permit.justification,
      given: ControlAPI.time(nanoseconds: permit.given), until: ControlAPI.time(seconds: permit.until),
      remainingMs: (permit.deadline - min(now, permit.deadline)) / 1_000_000, uid: permit.peer.uid,
      pid: permit.peer.pid)
  }
}
