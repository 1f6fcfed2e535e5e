import DNSWire
import IPNetwork

@testable import EgressPolicy

func location(_ line: Int = 1) -> SourceLocation { SourceLocation(file: "policy.yaml", line: line, column: 5) }

func rule(
  _ pattern: String, ports: PortSet = .https, types: [RRType] = EgressRule.defaultTypes,
  private prefixes: [IPPrefix] = [],
  line: Int = 1
) throws -> EgressRule {
  EgressRule(
    pattern: try NamePattern(pattern), ports: ports, types: types, privatePrefixes: prefixes, location: location(line))
}

func server(
  _ name: String, networks: [String] = ["10.77.1.0/24"], interface: String? = nil, _ patterns: [String] = [],
  line: Int = 1
) throws -> ServerPolicy {
  try server(name, networks: networks, interface: interface, rules: patterns.map { try rule($0) }, line: line)
}

func server(_ patterns: [String]) throws -> ServerPolicy {
  try server(rules: patterns.map { try rule($0) })
}

func server(
  _ name: String = "mcp", networks: [String] = ["10.77.1.0/24"], interface: String? = nil, rules: [EgressRule],
  prefixes: [StaticPrefixRule] = [], line: Int = 1
) throws -> ServerPolicy {
  ServerPolicy(
    name: try ServerName(name),
    networks: try networks.map { ServerNetwork(prefix: try IPPrefix.parse($0), location: location(line)) },
    interface: interface, rules: RuleList(rules), prefixes: prefixes, location: location(line))
}

/// Wire octets of labels given as text, any octet allowed.
func wire(_ labels: [String]) -> [UInt8] {
  labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}

extension PolicySnapshot {
  func verdict(_ labels: [String], type: RRType = .A, server: Int = 0) -> Verdict {
    decide(server: server, name: wire(labels).span, type: type)
  }

  func verdict(_ name: String, type: RRType = .A, server: Int = 0) -> Verdict {
    verdict(name.split(separator: ".").map(String.init), type: type, server: server)
  }
}
