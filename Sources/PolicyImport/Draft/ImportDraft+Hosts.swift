import EgressPolicy
import IPNetwork
import Settings

/// What a line says beside its text.
struct ListedHost {
  let text: String
  /// As it stands in the source, where that is not the text.
  var written: String?
  let location: SourceLocation
  /// What is open; nil where the text says it, or nothing does.
  var ports: PortSet?
  var isDenied = false
  var privatePrefixes: [IPPrefix] = []
  /// Of a network, those in it that are not meant.
  var exceptions: [IPPrefix] = []
  /// What else is to be said of it.
  var remarks: [ImportRemark] = []

  init(
    _ text: some StringProtocol, at location: SourceLocation, ports: PortSet? = nil, isDenied: Bool = false,
    privatePrefixes: [IPPrefix] = [], remarks: [ImportRemark] = []
  ) {
    self.text = String(text)
    self.location = location
    self.ports = ports
    self.isDenied = isDenied
    self.privatePrefixes = privatePrefixes
    self.remarks = remarks
  }
}

/// Hosts of lists, as every format has them.
extension ImportDraft {
  /// Takes one line of a list.
  mutating func add(_ listed: ListedHost, _ meaning: NameMeaning, to server: Int) throws(Diagnostic) {
    var item = ImportItem(written: listed.written ?? listed.text, location: listed.location, isDenied: listed.isDenied)
    let written = WrittenHost(listed.text)
    let (ports, fault) = ports(of: written, listed, meaning, server)
    if let remark = fault ?? Self.special(written.host, listed.isDenied) {
      item.remarks = [remark]
      return try add(item, to: server)
    }
    item.remarks = listed.remarks
    if written.meantPort == .any, listed.ports == nil, !meaning.opensEveryPort, !listed.isDenied {
      let text = "every port there; here \(ports) is open (--ports says what)"
      item.remarks.append(ImportRemark(kind: .lost, text: text))
    }
    if let network = WrittenHost.network(written.host) {
      let reason = listed.isDenied ? nil : Self.reasonForNone(network, ports)
      let remarks = reason.map { [$0] } ?? Self.fault(of: written, network, listed)
      let isClosed = reason != nil || remarks.contains { $0.kind == .refused }
      item.remarks = isClosed ? remarks : item.remarks + remarks
      if !isClosed {
        let (networks, remark) = network.written(without: listed.exceptions)
        item.entries = networks.map { ImportEntry(target: .network($0), ports: ports) }
        item.remarks += remark.map { [$0] } ?? []
      }
    } else {
      let (patterns, remarks) = meaning.patterns(of: written.host, isDenied: listed.isDenied)
      item.entries = patterns.map {
        ImportEntry(target: .host($0), ports: ports, privatePrefixes: listed.privatePrefixes)
      }
      item.remarks += patterns.isEmpty ? remarks : remarks + Self.path(written, listed.isDenied)
      if patterns.isEmpty { item.remarks.removeAll { $0.kind != .refused } }
    }
    try add(item, to: server)
  }

  /// Something that is no list of hosts and opens, or closes, something all the same.
  mutating func refuse(
    _ written: String, at location: SourceLocation, isDenied: Bool = false, _ why: String, of server: Int
  ) throws(Diagnostic) {
    try note(ImportRemark(kind: .refused, text: why), written, at: location, isDenied: isDenied, of: server)
  }

  /// Something of the list that has no entry here.
  mutating func note(
    _ remark: ImportRemark, _ written: String, at location: SourceLocation, isDenied: Bool = false, of server: Int
  ) throws(Diagnostic) {
    var item = ImportItem(written: written, location: location, isDenied: isDenied)
    item.remarks = [remark]
    item.isSwitch = true
    try add(item, to: server)
  }

  private mutating func ports(
    of written: WrittenHost, _ listed: ListedHost, _ meaning: NameMeaning, _ server: Int
  ) -> (ports: PortSet, fault: ImportRemark?) {
    if let ports = listed.ports { return (ports, nil) }
    switch written.meantPort {
    case .one(let port): return (.ports([port]), nil)
    case .wrong(let text):
      let range =
        "port '\(text)' is none that can be written, expected a number from 1 to 65535; a range is each of its ports"
      return (.https, ImportRemark(kind: .refused, text: range))
    case .any, nil:
      if meaning.opensEveryPort, !listed.isDenied, Self.special(written.host, false) == nil {
        remark(
          .lost,
          "\(meaning.tool) opens every port of a host that has none beside it; here \(options.ports) is open (--ports says what)",
          of: server)
      }
      return (options.ports, nil)
    }
  }

  /// What is said of a host that needs no entry, or can have none.
  private static func special(_ host: String, _ isDenied: Bool) -> ImportRemark? {
    let name = host.lowercased()
    if ["*", "**", "*.", "**.", "*.*", "."].contains(name) {
      let why = isDenied ? "denies every name, whatever is allowed" : "would allow every name"
      return ImportRemark(kind: .refused, text: "\(why), expected an entry for each host")
    }
    guard let why = reasonForNone(name) else { return nil }
    if isDenied { return ImportRemark(kind: .lost, text: "never forwarded, and so needs no denial") }
    return why
  }

  private static func reasonForNone(_ name: String) -> ImportRemark? {
    if IPAddress(name).map({ Self.isOwn($0.unmapped) }) ?? (name == "localhost" || name.hasSuffix(".localhost")) {
      return ImportRemark(kind: .lost, text: "the container itself, which it reaches in any case")
    }
    if enginesHosts.contains(name) {
      return ImportRemark(kind: .refused, text: "a service of the host: no name opens the host's ports")
    }
    if name.hasPrefix("_"), name.contains("._tcp.") || name.contains("._udp.") {
      return ImportRemark(
        kind: .lost, text: "the name of a service (SRV) and no host: what it leads to has an entry of its own")
    }
    guard !name.isEmpty, !name.contains("."), !name.contains("*"), WrittenHost.network(name) == nil else { return nil }
    return ImportRemark(
      kind: .lost, text: "a name of one label: the container engine answers it, and it is never forwarded")
  }

  /// Loopback, and the unspecified address, which connects to it.
  private static func isOwn(_ address: IPAddress) -> Bool { address.isLoopback || address.isUnspecified }

  /// Of Docker and Podman.
  private static let enginesHosts: Set<String> = [
    "host.docker.internal", "gateway.docker.internal", "host.containers.internal",
  ]

  /// What is said of a network that needs no entry, or should have none.
  private static func reasonForNone(_ network: IPPrefix, _ ports: PortSet) -> ImportRemark? {
    if network.length == 0 {
      return ImportRemark(kind: .refused, text: "opens every address, expected each network by itself")
    }
    // Names that another resolver answers are in no list of Sluice's.
    guard case .ports(let rules) = ports, !rules.isEmpty, rules.allSatisfy({ $0.port == 53 }) else { return nil }
    return ImportRemark(kind: .lost, text: "a resolver: here Sluice is asked, and needs no entry")
  }

  /// What behind an address is none of a network: a length that it cannot have, a mask, a path.
  private static func fault(of written: WrittenHost, _ network: IPPrefix, _ listed: ListedHost) -> [ImportRemark] {
    if written.path.isEmpty {
      guard IPAddress(written.host) == nil, IPPrefix(written.host) == nil else { return [] }
      return [ImportRemark(kind: .lost, text: "bits of the host behind the network's length: here it is \(network)")]
    }
    guard written.scheme == nil else { return path(written, listed.isDenied) }
    let form = PastedForm.of(listed.text).map { "\($0.what), expected \($0.instead)" }
    return [ImportRemark(kind: .refused, text: form ?? "is no network, expected one such as 192.0.2.0/24")]
  }

  private static func path(_ written: WrittenHost, _ isDenied: Bool) -> [ImportRemark] {
    guard !written.path.isEmpty, written.path != "/*" else { return [] }
    let what = "the path \(written.path) alone there; here all of \(written.host)"
    return [ImportRemark(kind: isDenied ? .lost : .widened, text: what)]
  }
}
