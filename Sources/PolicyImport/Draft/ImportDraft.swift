import EgressPolicy
import IPNetwork

/// What came of a line of a source beside what is written for it.
package struct ImportRemark: Hashable, Sendable {
  /// How the policy differs from the source there.
  package enum Kind: String, Sendable {
    /// Something of the source has no place here, and nothing is closed that somebody needs: a path, a name of the host's own.
    case lost
    /// More opens than there.
    case widened
    /// What opens there stays closed, or what is denied there is not: it needs a hand.
    case refused
  }

  package let kind: Kind
  package let text: String
}

/// One line of the policy.
struct ImportEntry: Hashable, Sendable {
  enum Target: Hashable, Sendable {
    case host(NamePattern)
    case network(IPPrefix)
  }

  let target: Target
  var ports: PortSet
  /// Private networks whose addresses its names may have.
  var privatePrefixes: [IPPrefix] = []
}

/// One line of a source, and what came of it.
struct ImportItem: Sendable {
  /// As it stands there.
  let written: String
  let location: SourceLocation
  let isDenied: Bool
  /// None where nothing is written for it.
  var entries: [ImportEntry] = []
  var remarks: [ImportRemark] = []
  /// A switch of the source, such as one that opens everything, and no entry of a list.
  var isSwitch = false
}

/// One server of the sources.
struct ServerDraft: Sendable {
  /// As the source calls it; nil where it has no name there.
  let name: String?
  let location: SourceLocation
  var items: [ImportItem] = []
  /// Of the list as a whole.
  var remarks: [ImportRemark] = []
  /// Where the source says that it is.
  var networks: [IPPrefix] = []
}

/// What the sources say, as far as they were read.
struct ImportDraft: Sendable {
  /// Lines of all sources: as many names as a policy is meant to hold.
  static let maximumItems = 1_000_000

  let options: ImportOptions
  private(set) var servers: [ServerDraft] = []
  /// Of the sources as a whole.
  var remarks: [ImportRemark] = []
  private struct ServerKey: Hashable {
    let scope: String
    let name: String?
  }

  private var indexes: [ServerKey: Int] = [:]
  private var itemCount = 0

  init(options: ImportOptions) {
    self.options = options
  }

  /// The server of this name, made at its first mention; lists without a name are one server's.
  ///
  /// - Parameter scope: where names are given, such as a file: the same name of another one is another server.
  mutating func server(_ name: String?, at location: SourceLocation, scope: String = "") -> Int {
    let key = ServerKey(scope: name == nil ? "" : scope, name: name)
    if let index = indexes[key] { return index }
    indexes[key] = servers.count
    servers.append(ServerDraft(name: name, location: location))
    return servers.count - 1
  }

  mutating func add(_ item: ImportItem, to server: Int) throws(Diagnostic) {
    itemCount += 1
    guard itemCount <= Self.maximumItems else {
      throw .error("is one entry too many, expected at most \(Self.maximumItems) in all files", at: item.location)
    }
    servers[server].items.append(item)
  }

  /// A remark on a server's list as a whole, once.
  mutating func remark(_ kind: ImportRemark.Kind, _ text: String, of server: Int) {
    let remark = ImportRemark(kind: kind, text: text)
    if !servers[server].remarks.contains(remark) { servers[server].remarks.append(remark) }
  }

  /// A remark on all that was read, once.
  mutating func remark(_ kind: ImportRemark.Kind, _ text: String) {
    let remark = ImportRemark(kind: kind, text: text)
    if !remarks.contains(remark) { remarks.append(remark) }
  }

  mutating func add(networks: [IPPrefix], to server: Int) {
    servers[server].networks += networks.filter { !servers[server].networks.contains($0) }
  }

  /// Refuses items of a server for a reason; nil is none.
  mutating func refuse(of server: Int, _ reason: (ImportItem) -> String?) {
    for index in servers[server].items.indices {
      guard let why = reason(servers[server].items[index]) else { continue }
      servers[server].items[index].entries = []
      servers[server].items[index].remarks = [ImportRemark(kind: .refused, text: why)]
    }
  }
}
