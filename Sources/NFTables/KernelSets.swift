import CNetfilter
package import FirewallModel
import Glibc
package import GrantLedger
package import IPNetwork
package import LinuxIO

/// Reads tables, sets and elements straight from the kernel; needs CAP_NET_ADMIN.
package final class KernelSets {
  private let socket: NetlinkSocket

  package convenience init() throws(SystemError) {
    self.init(try NetlinkSocket())
  }

  package init(_ socket: NetlinkSocket) {
    self.socket = socket
  }

  /// An element and the milliseconds until it expires; nil for an element that never does.
  package struct Found: Hashable, Sendable {
    package var address: IPAddress
    package var transport: UInt8
    package var port: UInt16
    package var remainingMilliseconds: UInt64?
    /// What its counter has seen; nil where the set counts nothing.
    package var octets: UInt64?
    package var packets: UInt64?
  }

  /// The ruleset's generation: every change by any program counts it up.
  package func generation() throws(SystemError) -> UInt32 {
    var generation: UInt32 = 0
    try unsafe socket.exchange(
      type: nfTables(NFT_MSG_GETGEN), family: 0, flags: 0, { _ in },
      { message in
        generation = unsafe NetlinkAttributes(of: message).number(Int(NFTA_GEN_ID.rawValue)) ?? generation
      })
    return generation
  }

  /// What becomes of a table whose owner ends.
  package enum TableKind: Sendable {
    /// It has no owner, or goes with it.
    case plain
    /// It stays, and another socket may take it over.
    case persistent
  }

  /// - Returns: nil where there is no such table.
  package func kind(family: FirewallPlan.Family, table: String) throws(SystemError) -> TableKind? {
    var flags: UInt32 = 0
    let isThere = try exists { () throws(SystemError) in
      try unsafe socket.exchange(
        type: nfTables(NFT_MSG_GETTABLE), family: family.rawValue, flags: 0,
        { unsafe Self.put(table, NFTA_TABLE_NAME.rawValue, into: $0) },
        { flags = unsafe NetlinkAttributes(of: $0).number(Int(NFTA_TABLE_FLAGS.rawValue)) ?? 0 })
    }
    return isThere ? (flags & NetlinkBatch.persists != 0 ? .persistent : .plain) : nil
  }

  /// The named sets of a table; empty when there is no such table.
  package func sets(
    family: FirewallPlan.Family, table: String
  ) throws(SystemError) -> [String: SetDescription] {
    var found: [String: SetDescription] = [:]
    let isThere = try exists { () throws(SystemError) in
      try unsafe socket.dump(
        NetlinkSocket.DumpRequest(type: nfTables(NFT_MSG_GETSET), family: family.rawValue),
        { unsafe Self.put(table, NFTA_SET_TABLE.rawValue, into: $0) },
        { message in
          guard let set = unsafe nftnl_set_alloc() else { return }
          defer { unsafe nftnl_set_free(set) }
          guard unsafe nftnl_set_nlmsg_parse(message, set) == 0,
            unsafe Self.text(nftnl_set_get_str(set, UInt16(NFTNL_SET_TABLE.rawValue))) == table,
            let name = unsafe Self.text(nftnl_set_get_str(set, UInt16(NFTNL_SET_NAME.rawValue)))
          else { return }
          let flags = unsafe nftnl_set_get_u32(set, UInt16(NFTNL_SET_FLAGS.rawValue))
          // Anonymous sets are parts of rules.
          guard flags & UInt32(NFT_SET_ANONYMOUS.rawValue) == 0 else { return }
          found[name] = SetDescription(
            name: name,
            keyType: unsafe nftnl_set_get_u32(set, UInt16(NFTNL_SET_KEY_TYPE.rawValue)),
            keyOctets: unsafe nftnl_set_get_u32(set, UInt16(NFTNL_SET_KEY_LEN.rawValue)),
            flags: flags,
            size: unsafe nftnl_set_get_u32(set, UInt16(NFTNL_SET_DESC_SIZE.rawValue)),
            hasStatement: unsafe nftnl_set_is_set(set, UInt16(NFTNL_SET_EXPR.rawValue))
              || nftnl_set_is_set(set, UInt16(NFTNL_SET_EXPRESSIONS.rawValue)))
        })
    }
    return isThere ? found : [:]
  }

  /// The names of a table's chains.
  package func chains(family: FirewallPlan.Family, table: String) throws(SystemError) -> Set<String> {
    var found: Set<String> = []
    let isThere = try exists { () throws(SystemError) in
      try unsafe socket.dump(
        NetlinkSocket.DumpRequest(type: nfTables(NFT_MSG_GETCHAIN), family: family.rawValue),
        { _ in },
        { message in
          guard let chain = unsafe nftnl_chain_alloc() else { return }
          defer { unsafe nftnl_chain_free(chain) }
          guard unsafe nftnl_chain_nlmsg_parse(message, chain) == 0,
            unsafe Self.text(nftnl_chain_get_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue))) == table,
            let name = unsafe Self.text(nftnl_chain_get_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue)))
          else { return }
          found.insert(name)
        })
    }
    return isThere ? found : []
  }

  /// The packets that the named counters of a table have seen; empty when there is no such table.
  package func counters(family: FirewallPlan.Family, table: String) throws(SystemError) -> [String: ElementCounts] {
    var found: [String: ElementCounts] = [:]
    let isThere = try exists { () throws(SystemError) in
      try unsafe socket.dump(
        NetlinkSocket.DumpRequest(type: nfTables(NFT_MSG_GETOBJ), family: family.rawValue),
        { header in
          unsafe Self.put(table, UInt32(NFTA_OBJ_TABLE.rawValue), into: header)
          unsafe mnl_attr_put_u32(header, UInt16(NFTA_OBJ_TYPE.rawValue), UInt32(NFT_OBJECT_COUNTER).bigEndian)
        },
        { message in
          let attributes = unsafe NetlinkAttributes(of: message)
          guard attributes.text(Int(NFTA_OBJ_TABLE.rawValue)) == table,
            let name = attributes.text(Int(NFTA_OBJ_NAME.rawValue)),
            let data = attributes.nested(Int(NFTA_OBJ_DATA.rawValue)),
            let packets = data.number(Int(NFTA_COUNTER_PACKETS.rawValue), as: UInt64.self),
            let octets = data.number(Int(NFTA_COUNTER_BYTES.rawValue), as: UInt64.self)
          else { return }
          found[name] = ElementCounts(octets: octets, packets: packets)
        })
    }
    return isThere ? found : [:]
  }

  /// All live elements of a set; throws ENOENT when there is no such set.
  ///
  /// Of a dump of elements the kernel does not tell that a change interrupted it (Linux 6.18).
  package func elements(_ set: KernelSet, shape: SetShape) throws(SystemError) -> [Found] {
    var found: [Found] = []
    try unsafe socket.exchange(
      type: nfTables(NFT_MSG_GETSETELEM), family: set.family.rawValue, flags: NLM_F_DUMP,
      { unsafe Self.name(set, into: $0) }, { unsafe Self.parse($0, shape: shape, into: &found) })
    return found
  }

  /// One element, asked for by its key; nil when the set does not hold it.
  package func element(
    _ set: KernelSet, shape: SetShape, address: IPAddress, transport: UInt8, port: UInt16
  ) throws(SystemError) -> Found? {
    guard address.family == shape.family else { return nil }
    let key = shape.key(address: address, transport: transport, port: port)
    var found: [Found] = []
    do {
      try unsafe socket.exchange(
        type: nfTables(NFT_MSG_GETSETELEM), family: set.family.rawValue, flags: NLM_F_ACK,
        { unsafe Self.ask(key, in: set, into: $0) }, { unsafe Self.parse($0, shape: shape, into: &found) })
    } catch  where error.errno == ENOENT {
      return nil
    }
    return found.first
  }

  /// The element of a grant in the set that `plan` gives its server.
  package func element(_ grant: GrantElement, plan: FirewallPlan) throws(SystemError) -> Found? {
    guard Int(grant.server) < plan.servers.count else { return nil }
    let kind: SetName.Kind = grant.transport == 0 ? .anyPort : .ports
    let name = SetName(server: plan.servers[Int(grant.server)].name, family: grant.address.family, kind: kind)
    return try element(
      KernelSet(family: plan.family, table: plan.table, name: name.text),
      shape: SetShape(family: grant.address.family, kind: kind), address: grant.address,
      transport: grant.transport, port: grant.port)
  }

  /// Whether what `body` asks about is there, also while it was read.
  private func exists(_ body: () throws(SystemError) -> Void) throws(SystemError) -> Bool {
    do {
      try body()
      return true
    } catch  where error.errno == ENOENT {
      return false
    }
  }

  private static func parse(_ message: UnsafePointer<nlmsghdr>, shape: SetShape, into found: inout [Found]) {
    guard let list = unsafe nftnl_set_alloc() else { return }
    defer { unsafe nftnl_set_free(list) }
    guard unsafe nftnl_set_elems_nlmsg_parse(message, list) == 0 else { return }
    unsafe SetElements.each(list) { element in
      guard let key = unsafe SetElements.key(element), let parts = shape.element(of: key) else { return }
      let counts = unsafe SetElements.counts(element)
      found.append(
        Found(
          address: parts.address, transport: parts.transport, port: parts.port,
          remainingMilliseconds: unsafe SetElements.remainingMilliseconds(element), octets: counts?.octets,
          packets: counts?.packets))
    }
  }

  private static func name(_ set: KernelSet, into header: UnsafeMutablePointer<nlmsghdr>) {
    unsafe put(set.table, NFTA_SET_ELEM_LIST_TABLE.rawValue, into: header)
    unsafe put(set.name, NFTA_SET_ELEM_LIST_SET.rawValue, into: header)
  }

  private static func ask(_ key: ElementKey, in set: KernelSet, into header: UnsafeMutablePointer<nlmsghdr>) {
    unsafe name(set, into: header)
    guard let list = unsafe mnl_attr_nest_start(header, UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)),
      let item = unsafe mnl_attr_nest_start(header, 1),
      let nest = unsafe mnl_attr_nest_start(header, UInt16(NFTA_SET_ELEM_KEY.rawValue))
    else { return }
    unsafe key.withOctets { octets in
      unsafe mnl_attr_put(header, UInt16(NFTA_DATA_VALUE.rawValue), octets.count, octets.baseAddress)
    }
    unsafe mnl_attr_nest_end(header, nest)
    unsafe mnl_attr_nest_end(header, item)
    unsafe mnl_attr_nest_end(header, list)
  }

  private static func put(_ text: String, _ type: UInt32, into header: UnsafeMutablePointer<nlmsghdr>) {
    unsafe text.withCString { unsafe mnl_attr_put_strz(header, UInt16(type), $0) }
  }

  private static func text(_ pointer: UnsafePointer<CChar>?) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    return unsafe String(cString: pointer)
  }
}
