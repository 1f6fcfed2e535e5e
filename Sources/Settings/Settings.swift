package import DNSWire
package import EgressPolicy
import Foundation
package import IPNetwork

/// Everything `sluice` is told in its configuration, checked and with defaults filled in.
package struct Settings: Sendable {
  package var listen: [ListenAddress]
  /// Where the configuration names each of `listen`, in the same order.
  package var listenLocations: [SourceLocation] = []
  package var upstreamsLocation = SourceLocation(file: "", line: 0, column: 0)
  /// Of the audit log's path, or of what has none.
  package var auditLocation = SourceLocation(file: "", line: 0, column: 0)
  /// Of the keys that name the state folder and the control socket, or of what has none.
  package var stateLocation = SourceLocation(file: "", line: 0, column: 0)
  package var controlLocation = SourceLocation(file: "", line: 0, column: 0)
  package var workers: Int
  package var upstreams: [UpstreamAddress]
  /// Zones whose names have upstreams of their own.
  package var forwards: [ForwardSettings] = []
  /// What entries of policies that say nothing of it admit beside public addresses; nil where it is not said either.
  package var privatePrefixes: [IPPrefix]?
  /// Which chains of CNAMEs they allow.
  package var cname: ChainPolicy?
  /// What entries of policies that say nothing of it hold connections to.
  package var nameChecks = NameCheckDefaults()
  /// What entries of policies that say nothing of it are bounded by.
  package var limits = ByteLimits()
  /// What entries of policies that say nothing of it ask of signatures; nil where it is not said either.
  package var dnssec: ValidationMode?
  /// The files with the keys that signatures are traced to; without one nothing can be validated.
  package var trustAnchors: [TrustAnchorFile] = []
  package var zones: [ZoneSource]
  package var sinkhole: SinkholeSettings
  package var unknownClients: UnknownClientAnswer
  package var firewall: FirewallSettings
  package var cache: CacheSettings
  package var audit: AuditSettings
  package var control: ControlSettings
  /// Who may tell what an inspector found; nobody but who may change anything where nil.
  package var findingsUser: ServiceUser?
  /// Where metrics are served by HTTP over TCP; nowhere when nil.
  package var metrics: ListenAddress?
  /// Networks that no policy governs any more and that need not stay closed.
  package var released: [IPPrefix] = []
  /// The folder in which the bridge keeps what outlives every process.
  package var state: String
  /// Who a serve that root started becomes.
  package var user: ServiceUser
  /// Under what stands above all of them.
  package var policies: [ServerPolicy]
  package var permits = PermitSettings()
  /// The folders in which lists are looked for by name; empty where the configuration names none, and the shipped ones are meant.
  package var listFolders: [String] = []
  /// The files of the lists that policies include.
  package var listFiles: Set<String> = []
  /// The files of the layers above all documents.
  package var layerFiles: Set<String> = []
  /// The files that say what servers may reach: documents, the lists that they include, and layers.
  package var policyFiles: Set<String> { Set(policies.map(\.location.file)).union(listFiles).union(layerFiles) }
  /// Whether files are read again as soon as they are written.
  package var watches = false
  /// The folders of the configuration and of `policyFiles`.
  package var folders: Set<String> = []
  /// Those of them that are named as a whole: another one may take their place.
  package var wholeFolders: Set<String> = []
}

/// An address that is served over UDP and TCP.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
  package let address: IPAddress
  package let port: UInt16

  package init(address: IPAddress, port: UInt16 = 53) {
    self.address = address
    self.port = port
  }

  package var description: String {
    address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
  }

  /// `0.0.0.0` or `[::]`.
  package var isWildcard: Bool { address.high == 0 && address.low == 0 }
}

/// A server that allowed questions are forwarded to.
package struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
  /// How questions reach it: plain DNS by datagrams or by TCP alone, DNS over TLS (RFC 7858), or DNS over HTTPS (RFC 8484).
  package enum Scheme: String, Sendable, CaseIterable {
    case udp
    case tcp
    case tls
    case https

    /// Whether the server must show who it is, and no other can read what it is asked.
    package var isEncrypted: Bool { self == .tls || self == .https }
  }

  package let scheme: Scheme
  package let address: IPAddress
  package let port: UInt16
  /// The name that the certificate of an encrypted server must carry.
  package let tlsName: String?
  /// Where an `https` server is asked, such as `/dns-query`.
  package let path: String?
  /// The file with the authorities that may stand for the name; the system's without one.
  package var authorities: String?
  /// Keys of which an encrypted server must have one, if there are any.
  package var pins: [KeyPin] = []

  package init(
    scheme: Scheme = .udp, address: IPAddress, port: UInt16 = 53, tlsName: String? = nil, path: String? = nil
  ) {
    self.scheme = scheme
    self.address = address
    self.port = port
    self.tlsName = tlsName
    self.path = path
  }

  package var description: String {
    "\(scheme.rawValue)://\(ListenAddress(address: address, port: port))\(path ?? "")"
      + (tlsName.map { "#\($0)" } ?? "")
  }

  /// All that is said of it.
  var texts: [String] {
    [description] + (authorities.map { ["ca \($0)"] } ?? []) + pins.map(\.description)
  }
}

/// A key that a server may have: SHA-256 of its SubjectPublicKeyInfo (RFC 7469 section 2.4), written
/// `sha256/` and base64.
package struct KeyPin: Hashable, Sendable, CustomStringConvertible {
  /// 32 octets.
  package let octets: [UInt8]

  package init?(_ text: String) {
    guard text.hasPrefix("sha256/"), let data = Data(base64Encoded: String(text.dropFirst(7))), data.count == 32 else {
      return nil
    }
    octets = Array(data)
  }

  package var description: String { "sha256/" + Data(octets).base64EncodedString() }
}

/// A zone whose names are asked of upstreams of their own.
package struct ForwardSettings: Hashable, Sendable {
  package var zone: Name
  package var upstreams: [UpstreamAddress]
  /// What its names admit beside public addresses.
  package var privatePrefixes: [IPPrefix]
  package var location: SourceLocation

  package init(zone: Name, upstreams: [UpstreamAddress], privatePrefixes: [IPPrefix], location: SourceLocation) {
    self.zone = zone
    self.upstreams = upstreams
    self.privatePrefixes = privatePrefixes
    self.location = location
  }
}

extension Settings {
  /// The same upstreams, each with `ca` and `pins` as other settings have them for it.
  package func trusting(as other: Settings) -> Settings {
    var settings = self
    settings.upstreams = upstreams.map { known in
      other.upstreams.first { $0.description == known.description } ?? known
    }
    return settings
  }

  /// What decides on names.
  package var forwardZones: ForwardZones {
    ForwardZones(
      forwards.map {
        ForwardZone(zone: $0.zone, upstreams: $0.upstreams.map(\.description), privatePrefixes: $0.privatePrefixes)
      })
  }
}

/// Where a master file comes from.
package enum ZoneSource: Hashable, Sendable {
  case file(path: String, location: SourceLocation)
  /// A zone that ships with the executable and was found nowhere on disk.
  case builtIn(name: String)
}

/// A file with DS and DNSKEY records that the operator trusts.
package struct TrustAnchorFile: Hashable, Sendable {
  package let path: String
  package let location: SourceLocation

  package init(path: String, location: SourceLocation) { (self.path, self.location) = (path, location) }
}

/// What a denied query gets.
package struct SinkholeSettings: Hashable, Sendable {
  /// What the reply says: a response code, no data, or addresses of the operator's.
  package enum Answer: Hashable, Sendable {
    case nxdomain
    case nodata
    case refused
    case addresses([IPAddress])
  }

  package var answer = Answer.nxdomain
  package var ttlSeconds = 5
}

/// What a client outside every network gets.
package enum UnknownClientAnswer: String, Sendable {
  case nxdomain
  case refused
  case drop
}

/// How resolved addresses are opened.
package struct FirewallSettings: Hashable, Sendable {
  /// Who writes the firewall.
  package enum Mode: String, Sendable {
    /// Table, sets and rules are Sluice's.
    case managed
    /// The user's table and rules, our elements.
    case sets
    case off
  }

  /// The address family of the table, as nft names it.
  package enum Family: String, Sendable {
    case inet
    case ip
    case ip6
  }

  package var mode = Mode.managed
  package var family = Family.inet
  package var table = "sluice"
  /// A grant lives clamp(TTL + grace, minimum, maximum); all in seconds.
  package var minLifetime = 60
  package var grace = 30
  package var maxLifetime = 3600
  /// A commit later than this is a failure.
  package var deadlineMilliseconds = 250
  /// Whether the servers' networks may reach only the resolver on the host.
  package var inputFence = true
  /// The TCP port of the host by which connections come to the gate that have to say a name.
  package var gatePort: UInt16 = 61_443
  /// Whether no other program may change the managed table.
  package var exclusive = false
  package var maxElementsPerServer = 65_536
  package var maxElementsPerName = 1024
  /// How long an address that carries connections is refreshed after its first opening; nil: never.
  package var keepInUseSeconds: Int?
  /// Whether connections to an address that is closed early are cut.
  package var cutFlows = true
  /// Between two readings of the elements' counters.
  package var harvestSeconds = 10
}

/// What operators may allow for a time beside the policies.
package struct PermitSettings: Hashable, Sendable {
  /// Which ports a permit may open.
  package enum Ports: String, Sendable {
    /// Those that an entry of the server opens, and that of an entry that names none.
    case listed
    case any
  }

  /// The longest; 0 for no permits at all.
  package var maxSeconds = 86_400
  package var ports = Ports.listed

  /// The ports that a permit for a server may open.
  package func ports(of policy: ServerPolicy?) -> PortSet {
    ports == .any ? .any : PortSet.https.union(policy?.rules.openPorts ?? PortSet([]))
  }
}

/// Bounds of each server's cache; times in seconds.
package struct CacheSettings: Hashable, Sendable {
  package var maxEntriesPerServer = 10_000
  package var maxTTL = 3600
  package var maxNegativeTTL = 300
  /// Whether an answer that is asked for in the last tenth of its TTL is asked for anew.
  package var prefetches = true
  /// For how many seconds after its end an answer is given where no upstream has another one; nil: not at all.
  package var maxStale: Int?
}

/// Where decisions are recorded.
package struct AuditSettings: Hashable, Sendable {
  /// Which allowed queries are recorded besides the denied ones.
  package enum Allowed: String, Sendable {
    case none
    case grants
    case all
  }

  package var path = "/var/log/sluice/audit.jsonl"
  package var maxSizeOctets = 64 << 20
  /// Rotated files kept besides the current one.
  package var keep = 10
  /// Whether rotated files are compressed.
  package var compress = false
  package var allowed = Allowed.grants
  /// Between two `egress-volume` events of a destination; nil: none.
  package var volumeSeconds: Int?
  /// Whether refused connections are recorded.
  package var drops = true

  /// What holds where the configuration says nothing.
  package static let `default` = AuditSettings()
}

/// The account under which everything from outside is read.
package struct ServiceUser: Equatable, Sendable {
  /// The one that the packages make.
  package static let standardName = "sluice"

  package var name: String
  /// Of the key, or of the configuration that has none.
  package var location: SourceLocation

  package init(name: String = ServiceUser.standardName, location: SourceLocation) {
    self.name = name
    self.location = location
  }

  /// The command that makes it.
  package var creation: String { "useradd --system --no-create-home --shell /usr/sbin/nologin \(name)" }
}

/// Where the control API is.
package struct ControlSettings: Equatable, Sendable {
  /// Of the Unix socket.
  package var path: String
  /// Whether the configuration says nothing of it: then a place that cannot be had is no reason not to serve.
  package var isDefault: Bool

  /// Of the socket beside it on which inspectors tell what they found, and can ask nothing.
  package var findingsPath: String {
    let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
    return folder + "findings.sock"
  }

  package static let `default` = ControlSettings(path: "/run/sluice/control.sock", isDefault: true)

  package init(path: String, isDefault: Bool) {
    self.path = path
    self.isDefault = isDefault
  }
}
