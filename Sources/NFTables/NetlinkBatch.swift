import CNetfilter
import FirewallModel
import Glibc
package import IPNetwork
import LinuxIO

/// One nf_tables batch about one table of family inet, as octets: encoded once, sent whenever it is needed.
package struct NetlinkBatch {
  /// What a packet has to meet.
  package enum Match {
    /// How what a packet has is held against a value.
    package enum Comparison {
      case equal, atLeast, atMost
    }

    /// From the host itself.
    case loopback
    case family(IPAddress.Family)
    case transport(UInt8)
    case interface(in: String)
    case source(IPAddress.Family, in: String)
    case destination(IPAddress.Family, in: String)
    case address(IPAddress)
    /// Octets of the network header.
    case network(offset: UInt32, [UInt8])
    /// Octets of the transport header.
    case payload(offset: UInt32, [UInt8], Comparison)
  }

  /// What becomes of a packet that met everything before it.
  package enum Verdict: Equatable {
    case drop, accept
    case jump(String)
  }

  // The numbers of <linux/netfilter.h>, which does not go together with the C library's headers.
  private static let (drop, accept): (UInt32, UInt32) = (0, 1)

  /// Where a base chain meets packets, as the kernel numbers it.
  package enum Hook: UInt32 {
    /// Every packet that comes in, before anything is decided about it: prerouting.
    case arrival = 0
    /// What is forwarded.
    case passage = 2
  }

  /// One message with its header and elements stays far below this and below a 16-bit attribute length.
  private static let messageOctets = 32_768
  private static let elementsPerMessage = 200
  // nft's numbers of element types.
  private static let interfaceName: UInt32 = 41

  package let table: String
  private var messages: [UInt8] = []
  private var sequence: UInt32 = 1
  private var lastMessage = 0
  private var lastSet: UInt32 = 0

  package init(table: String) {
    self.table = table
    unsafe append { unsafe nftnl_batch_begin($0, 1) }
  }

  /// The number of the message that the kernel acknowledges.
  package var acknowledged: UInt32 { sequence }

  /// The whole batch, of which the last message is acknowledged.
  package func encoded() -> [UInt8] {
    var whole = self
    guard lastMessage > 0 else { return [] }
    unsafe whole.messages.withUnsafeMutableBytes { octets in
      // nlmsg_flags lies behind a length of four octets and a type of two.
      let position = lastMessage + 6
      let flags = unsafe octets.loadUnaligned(fromByteOffset: position, as: UInt16.self)
      unsafe octets.storeBytes(of: flags | UInt16(NLM_F_ACK), toByteOffset: position, as: UInt16.self)
    }
    unsafe whole.append { unsafe nftnl_batch_end($0, sequence + 1) }
    return whole.messages
  }

  // MARK: Tables, sets, chains, rules

  /// Makes the table. It belongs to the socket that does: another program's flush leaves it, and it ends with the socket.
  ///
  /// - Parameter outlivesOwner: it stays when the socket ends, and is nobody's then: the next socket that asks so takes it over
  ///   (Linux 6.9).
  package mutating func addTable(outlivesOwner: Bool = false) {
    table(NFT_MSG_NEWTABLE, NFT_TABLE_F_OWNER.rawValue | (outlivesOwner ? Self.persists : 0))
  }

  /// NFT_TABLE_F_PERSIST, which the headers of Debian 12 lack.
  static let persists: UInt32 = 4

  /// Deletes the table with all that is in it; the whole batch fails where there is none.
  package mutating func deleteTable() { table(NFT_MSG_DELTABLE, nil) }

  private mutating func table(_ type: nf_tables_msg_types, _ flags: UInt32?) {
    guard let item = unsafe nftnl_table_alloc() else { return }
    defer { unsafe nftnl_table_free(item) }
    unsafe nftnl_table_set_str(item, UInt16(NFTNL_TABLE_NAME.rawValue), table)
    if let flags { unsafe nftnl_table_set_u32(item, UInt16(NFTNL_TABLE_FLAGS.rawValue), flags) }
    unsafe put(type, flags == nil ? 0 : NLM_F_CREATE) { unsafe nftnl_table_nlmsg_build_payload($0, item) }
  }

  /// A set of address ranges that neither overlap nor touch, in order.
  package mutating func addRanges(_ name: String, _ family: IPAddress.Family, _ ranges: [ClosedRange<UInt128>]) {
    let shape = SetShape(family: family, kind: .anyPort)
    add(set: name, type: shape.keyType, octets: shape.keyOctets, flags: NFT_SET_INTERVAL)
    let highest: UInt128 = family == .v4 ? 0xFFFF_FFFF : .max
    let keys = ranges.flatMap { range -> [(key: [UInt8], ends: Bool)] in
      let start = (key: IPAddress(family: family, value: range.lowerBound).octets, ends: false)
      guard range.upperBound < highest else { return [start] }
      return [start, (key: IPAddress(family: family, value: range.upperBound + 1).octets, ends: true)]
    }
    add(keys, to: name)
  }

  /// A set of interface names.
  package mutating func addInterfaces(_ name: String, _ interfaces: [String]) {
    add(set: name, type: Self.interfaceName, octets: Int(IFNAMSIZ), flags: nft_set_flags(0))
    let keys = interfaces.map { interface in
      (
        key: Array((Array(interface.utf8) + [UInt8](repeating: 0, count: Int(IFNAMSIZ))).prefix(Int(IFNAMSIZ))),
        ends: false
      )
    }
    add(keys, to: name)
  }

  private mutating func add(set name: String, type: UInt32, octets: Int, flags: nft_set_flags) {
    guard let set = unsafe named(name) else { return }
    defer { unsafe nftnl_set_free(set) }
    lastSet += 1
    unsafe nftnl_set_set_u32(set, UInt16(NFTNL_SET_FLAGS.rawValue), UInt32(flags.rawValue))
    unsafe nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_TYPE.rawValue), type)
    unsafe nftnl_set_set_u32(set, UInt16(NFTNL_SET_KEY_LEN.rawValue), UInt32(octets))
    unsafe nftnl_set_set_u32(set, UInt16(NFTNL_SET_ID.rawValue), lastSet)
    // What nft keeps there: the first entry, of four octets, is the order of a key's octets; 1 is the host's, 2 the network's.
    let order: [UInt8] = [0, 4, type == Self.interfaceName ? 1 : 2, 0, 0, 0]
    unsafe nftnl_set_set_data(set, UInt16(NFTNL_SET_USERDATA.rawValue), order, UInt32(order.count))
    unsafe put(NFT_MSG_NEWSET, NLM_F_CREATE) { unsafe nftnl_set_nlmsg_build_payload($0, set) }
  }

  private mutating func add(_ keys: [(key: [UInt8], ends: Bool)], to name: String) {
    var rest = keys[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Self.elementsPerMessage)
      rest = rest.dropFirst(chunk.count)
      guard let list = unsafe named(name) else { return }
      defer { unsafe nftnl_set_free(list) }
      for (key, ends) in chunk {
        guard let element = unsafe nftnl_set_elem_alloc() else { return }
        unsafe nftnl_set_elem_set(element, UInt16(NFTNL_SET_ELEM_KEY), key, UInt32(key.count))
        if ends {
          unsafe nftnl_set_elem_set_u32(
            element, UInt16(NFTNL_SET_ELEM_FLAGS), UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue))
        }
        unsafe nftnl_set_elem_add(list, element)
      }
      unsafe put(NFT_MSG_NEWSETELEM, NLM_F_CREATE) { unsafe nftnl_set_elems_nlmsg_build_payload($0, list) }
    }
  }

  private func named(_ name: String) -> OpaquePointer? {
    guard let set = unsafe nftnl_set_alloc() else { return nil }
    unsafe nftnl_set_set_str(set, UInt16(NFTNL_SET_TABLE.rawValue), table)
    unsafe nftnl_set_set_str(set, UInt16(NFTNL_SET_NAME.rawValue), name)
    unsafe nftnl_set_set_u32(set, UInt16(NFTNL_SET_FAMILY.rawValue), UInt32(FirewallPlan.Family.inet.rawValue))
    return unsafe set
  }

  /// A chain that others jump to.
  package mutating func addChain(_ name: String) {
    unsafe chain(name, NFT_MSG_NEWCHAIN, NLM_F_CREATE) { _ in }
  }

  /// A chain that filters at a hook and accepts what no rule of it takes.
  package mutating func addChain(_ name: String, hook: Hook, priority: Int) {
    unsafe chain(name, NFT_MSG_NEWCHAIN, NLM_F_CREATE) { chain in
      unsafe nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TYPE.rawValue), "filter")
      unsafe nftnl_chain_set_u32(chain, UInt16(NFTNL_CHAIN_HOOKNUM.rawValue), hook.rawValue)
      unsafe nftnl_chain_set_s32(chain, UInt16(NFTNL_CHAIN_PRIO.rawValue), Int32(priority))
    }
  }

  /// Takes a chain away with its rules.
  package mutating func deleteChain(_ name: String) {
    unsafe chain(name, NFT_MSG_DELCHAIN, 0) { _ in }
  }

  private mutating func chain(
    _ name: String, _ type: nf_tables_msg_types, _ flags: Int32, _ fill: (OpaquePointer) -> Void
  ) {
    guard let chain = unsafe nftnl_chain_alloc() else { return }
    defer { unsafe nftnl_chain_free(chain) }
    unsafe nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_TABLE.rawValue), table)
    unsafe nftnl_chain_set_str(chain, UInt16(NFTNL_CHAIN_NAME.rawValue), name)
    unsafe fill(chain)
    unsafe put(type, flags) { unsafe nftnl_chain_nlmsg_build_payload($0, chain) }
  }

  /// A counter of packets and octets that rules share.
  package mutating func addCounter(_ name: String) {
    guard let counter = unsafe nftnl_obj_alloc() else { return }
    defer { unsafe nftnl_obj_free(counter) }
    unsafe nftnl_obj_set_str(counter, UInt16(NFTNL_OBJ_TABLE), table)
    unsafe nftnl_obj_set_str(counter, UInt16(NFTNL_OBJ_NAME), name)
    unsafe nftnl_obj_set_u32(counter, UInt16(NFTNL_OBJ_TYPE), Self.counterType)
    unsafe put(NFT_MSG_NEWOBJ, NLM_F_CREATE) { unsafe nftnl_obj_nlmsg_build_payload($0, counter) }
  }

  private static let counterType = UInt32(NFT_OBJECT_COUNTER)

  /// A rule at the end of a chain.
  ///
  /// - Parameter counter: counts what meets all of `matches`.
  package mutating func addRule(_ chain: String, _ matches: [Match], _ verdict: Verdict, counter: String? = nil) {
    guard let rule = unsafe nftnl_rule_alloc() else { return }
    defer { unsafe nftnl_rule_free(rule) }
    unsafe nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_TABLE.rawValue), table)
    unsafe nftnl_rule_set_str(rule, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
    unsafe nftnl_rule_set_u32(rule, UInt16(NFTNL_RULE_FAMILY.rawValue), UInt32(FirewallPlan.Family.inet.rawValue))
    for match in matches { unsafe Self.add(match, to: rule) }
    if let counter {
      unsafe Self.add("objref", to: rule) { expression in
        unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_OBJREF_IMM_TYPE), Self.counterType)
        unsafe nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_OBJREF_IMM_NAME), counter)
      }
    }
    unsafe Self.add("immediate", to: rule) { expression in
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_DREG), UInt32(NFT_REG_VERDICT.rawValue))
      switch verdict {
      case .drop: unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_VERDICT), Self.drop)
      case .accept: unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_IMM_VERDICT), Self.accept)
      case .jump(let chain):
        unsafe nftnl_expr_set_u32(
          expression, UInt16(NFTNL_EXPR_IMM_VERDICT), UInt32(bitPattern: NFT_JUMP.rawValue))
        unsafe nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_IMM_CHAIN), chain)
      }
    }
    unsafe put(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND) { unsafe nftnl_rule_nlmsg_build_payload($0, rule) }
  }

  // MARK: Expressions

  private static func add(_ match: Match, to rule: OpaquePointer) {
    switch match {
    case .loopback:
      unsafe meta(NFT_META_IIF, to: rule)
      // LOOPBACK_IFINDEX of the kernel, in the host's order; both architectures are little-endian.
      unsafe compare([1, 0, 0, 0], .equal, to: rule)
    case .family(let family):
      unsafe meta(NFT_META_NFPROTO, to: rule)
      unsafe compare([(family == .v4 ? FirewallPlan.Family.ip : .ip6).rawValue], .equal, to: rule)
    case .transport(let number):
      unsafe meta(NFT_META_L4PROTO, to: rule)
      unsafe compare([number], .equal, to: rule)
    case .interface(let set):
      unsafe meta(NFT_META_IIFNAME, to: rule)
      unsafe look(in: set, to: rule)
    case .source(let family, let set):
      unsafe load(NFT_PAYLOAD_NETWORK_HEADER, family == .v4 ? 12 : 8, family.addressOctets, to: rule)
      unsafe look(in: set, to: rule)
    case .destination(let family, let set):
      unsafe load(NFT_PAYLOAD_NETWORK_HEADER, family == .v4 ? 16 : 24, family.addressOctets, to: rule)
      unsafe look(in: set, to: rule)
    case .address(let address):
      unsafe load(
        NFT_PAYLOAD_NETWORK_HEADER, address.family == .v4 ? 16 : 24, address.family.addressOctets, to: rule)
      unsafe compare(address.octets, .equal, to: rule)
    case .network(let offset, let octets):
      unsafe load(NFT_PAYLOAD_NETWORK_HEADER, offset, octets.count, to: rule)
      unsafe compare(octets, .equal, to: rule)
    case .payload(let offset, let octets, let comparison):
      unsafe load(NFT_PAYLOAD_TRANSPORT_HEADER, offset, octets.count, to: rule)
      unsafe compare(octets, comparison, to: rule)
    }
  }

  private static let register = UInt32(NFT_REG_1.rawValue)

  private static func meta(_ key: nft_meta_keys, to rule: OpaquePointer) {
    unsafe add("meta", to: rule) { expression in
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_META_KEY), UInt32(key.rawValue))
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_META_DREG), register)
    }
  }

  private static func load(_ base: nft_payload_bases, _ offset: UInt32, _ count: Int, to rule: OpaquePointer) {
    unsafe add("payload", to: rule) { expression in
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_PAYLOAD_DREG), register)
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_PAYLOAD_BASE), UInt32(base.rawValue))
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_PAYLOAD_OFFSET), offset)
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_PAYLOAD_LEN), UInt32(count))
    }
  }

  private static func compare(_ octets: [UInt8], _ comparison: Match.Comparison, to rule: OpaquePointer) {
    let operation =
      switch comparison {
      case .equal: NFT_CMP_EQ
      case .atLeast: NFT_CMP_GTE
      case .atMost: NFT_CMP_LTE
      }
    unsafe add("cmp", to: rule) { expression in
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_CMP_SREG), register)
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_CMP_OP), UInt32(operation.rawValue))
      unsafe nftnl_expr_set(expression, UInt16(NFTNL_EXPR_CMP_DATA), octets, UInt32(octets.count))
    }
  }

  private static func look(in set: String, to rule: OpaquePointer) {
    unsafe add("lookup", to: rule) { expression in
      unsafe nftnl_expr_set_u32(expression, UInt16(NFTNL_EXPR_LOOKUP_SREG), register)
      unsafe nftnl_expr_set_str(expression, UInt16(NFTNL_EXPR_LOOKUP_SET), set)
    }
  }

  /// The rule owns the expression from then on.
  private static func add(_ name: String, to rule: OpaquePointer, _ fill: (OpaquePointer) -> Void) {
    guard let expression = unsafe nftnl_expr_alloc(name) else { return }
    unsafe fill(expression)
    unsafe nftnl_rule_add_expr(rule, expression)
  }

  // MARK: Messages

  private mutating func put(
    _ type: nf_tables_msg_types, _ flags: Int32, _ fill: (UnsafeMutablePointer<nlmsghdr>) -> Void
  ) {
    sequence += 1
    let (number, position) = (sequence, messages.count)
    unsafe append { start in
      let header = unsafe nftnl_nlmsg_build_hdr(
        start, UInt16(nfTables(type)), UInt16(FirewallPlan.Family.inet.rawValue), UInt16(flags | NLM_F_REQUEST), number)
      if let header = unsafe header { unsafe fill(header) }
      return unsafe header
    }
    lastMessage = position
  }

  /// Appends what `build` writes, padded to the next message.
  private mutating func append(_ build: (UnsafeMutablePointer<CChar>) -> UnsafeMutablePointer<nlmsghdr>?) {
    let room = UnsafeMutableRawPointer.allocate(byteCount: Self.messageOctets, alignment: 16)
    defer { unsafe room.deallocate() }
    unsafe room.initializeMemory(as: UInt8.self, repeating: 0, count: Self.messageOctets)
    guard let header = unsafe build(room.assumingMemoryBound(to: CChar.self)) else { return }
    let count = (Int(unsafe header.pointee.nlmsg_len) + 3) & ~3
    unsafe messages.append(contentsOf: UnsafeRawBufferPointer(start: room, count: count))
  }
}

extension NetlinkSocket {
  /// Carries a batch out: all of it or nothing. Returns 0 or the error number of the first thing the kernel refused.
  package func carryOut(_ batch: NetlinkBatch) -> Int32 {
    carryOut(batch.encoded(), acknowledged: batch.acknowledged)
  }

  /// - Parameter acknowledged: the number of the message that is acknowledged.
  package func carryOut(_ batch: [UInt8], acknowledged: UInt32) -> Int32 {
    do throws(SystemError) {
      // What an earlier batch left behind says nothing about this one.
      while try unsafe receive(waiting: false, { _ in }) {}
      let refusal: SystemError? = unsafe batch.withUnsafeBytes { octets in
        do throws(SystemError) {
          try unsafe send(octets)
          return nil
        } catch {
          return error
        }
      }
      if let refusal { throw refusal }
      var failure: Int32 = 0
      var isAcknowledged = false
      while !isAcknowledged {
        let more = try unsafe receive(waiting: false) { message throws(SystemError) in
          guard unsafe Int32(message.pointee.nlmsg_type) == NLMSG_ERROR else { return }
          let error = unsafe Self.error(of: message)
          if failure == 0 { failure = error }
          isAcknowledged = unsafe isAcknowledged || message.pointee.nlmsg_seq == acknowledged
        }
        guard more else { break }
      }
      return failure == 0 && !isAcknowledged ? EBADMSG : failure
    } catch {
      return error.errno
    }
  }
}
