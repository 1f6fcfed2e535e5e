import CNetfilter
package import FirewallModel
import Glibc
import IPNetwork
import LinuxIO

/// An element of one set on its way into or out of the kernel.
package struct KernelElement: Hashable {
  /// Index into the transaction's list of sets.
  package var set: Int
  package var key: ElementKey
  package var lifetimeMilliseconds: UInt64
  /// When it ends, where that is to be another time than its lifetime from now.
  package var expirationMilliseconds: UInt64?
  /// Its quota and its counter begin again.
  package var startsAnew: Bool

  package init(
    set: Int, key: ElementKey, lifetimeMilliseconds: UInt64 = 0, expirationMilliseconds: UInt64? = nil,
    startsAnew: Bool = false
  ) {
    self.set = set
    self.key = key
    self.lifetimeMilliseconds = lifetimeMilliseconds
    self.expirationMilliseconds = expirationMilliseconds
    self.startsAnew = startsAnew
  }
}

/// An element that the kernel has just let go, with the last reading of its counter.
package struct ClosedElement: Hashable {
  package var set: Int
  package var key: ElementKey
  package var counts: ElementCounts
}

/// Builds one nf_tables batch in a buffer and carries it out: all of it or nothing.
@safe
package final class ElementTransaction {
  /// Room for the largest batch three times over (`add; delete; add`) with a wide margin; touched only where used.
  private static let bufferOctets = 8 << 20
  /// One message with its header and elements stays far below this and below a 16-bit attribute length.
  private static let messageOctets = 32_768
  private static let elementsPerMessage = 200

  private let socket: NetlinkSocket
  private let buffer: UnsafeMutableRawPointer
  private var used = 0
  private var overflowed = false
  private var firstSequence: UInt32 = 0
  private var lastMessage: UnsafeMutablePointer<nlmsghdr>?
  /// What the kernel let go in the last batch.
  package private(set) var closed: [ClosedElement] = []
  /// Index by name of the sets that a batch takes elements from: the kernel's echo names sets by their text.
  private var echoed: [String: (index: Int, octets: Int)] = [:]

  package init(_ socket: NetlinkSocket) {
    self.socket = socket
    unsafe buffer = .allocate(byteCount: Self.bufferOctets, alignment: 4_096)
    socket.setSendBuffer(octets: Int32(Self.bufferOctets))
    // Room for the echo of a full set that is emptied at once.
    socket.setReceiveBuffer(octets: 32 << 20)
  }

  deinit {
    unsafe buffer.deallocate()
  }

  /// Opens elements for the lifetime each carries, from now, whether they exist or not.
  package func open(_ elements: [KernelElement], sets: [KernelSet], refresh: RefreshMethod) -> Int32 {
    begin()
    for group in Self.grouped(elements) {
      guard let first = group.first else { continue }
      let set = sets[first.set]
      put(NFT_MSG_NEWSETELEM, set, group, timed: true)
      let again = refresh == .replace ? group : group.filter(\.startsAnew)[...]
      if !again.isEmpty {
        echoed[set.name] = (first.set, first.key.octets)
        put(NFT_MSG_DELSETELEM, set, again, timed: false)
        put(NFT_MSG_NEWSETELEM, set, again, timed: true)
      }
    }
    return commit()
  }

  /// Closes elements; ENOENT when one of them is gone already, and then none is closed.
  package func close(_ elements: [KernelElement], sets: [KernelSet]) -> Int32 {
    begin()
    for group in Self.grouped(elements) {
      guard let first = group.first else { continue }
      echoed[sets[first.set].name] = (first.set, first.key.octets)
      put(NFT_MSG_DELSETELEM, sets[first.set], group, timed: false)
    }
    return commit()
  }

  /// Adds an empty table and a set of plain IPv4 addresses with timeouts, to try something out.
  package func makeProbe(_ set: KernelSet) -> Int32 {
    begin()
    putTable(NFT_MSG_NEWTABLE, set)
    guard let description = unsafe nftnl_set_alloc() else { return ENOMEM }
    defer { unsafe nftnl_set_free(description) }
    let shape = SetShape(family: .v4, kind: .anyPort)
    unsafe Self.name(description, set)
    unsafe nftnl_set_set_u32(description, UInt16(NFTNL_SET_FLAGS.rawValue), UInt32(NFT_SET_TIMEOUT.rawValue))
    unsafe nftnl_set_set_u32(description, UInt16(NFTNL_SET_KEY_TYPE.rawValue), shape.keyType)
    unsafe nftnl_set_set_u32(description, UInt16(NFTNL_SET_KEY_LEN.rawValue), UInt32(shape.keyOctets))
    unsafe nftnl_set_set_u32(description, UInt16(NFTNL_SET_ID.rawValue), 1)
    if let header = unsafe header(NFT_MSG_NEWSET, set.family, NLM_F_CREATE) {
      unsafe nftnl_set_nlmsg_build_payload(header, description)
      unsafe finish(header)
    }
    return commit()
  }

  /// Deletes the table of a set with all that is in it; the kernel's error number, or 0.
  package func deleteTable(_ set: KernelSet) -> Int32 {
    begin()
    putTable(NFT_MSG_DELTABLE, set)
    return commit()
  }

  private func begin() {
    used = 0
    overflowed = false
    unsafe lastMessage = nil
    closed.removeAll(keepingCapacity: true)
    echoed.removeAll(keepingCapacity: true)
    let start = unsafe buffer.assumingMemoryBound(to: CChar.self)
    firstSequence = socket.nextSequence()
    if let header = unsafe nftnl_batch_begin(start, firstSequence) {
      used = Int(unsafe header.pointee.nlmsg_len)
    }
  }

  private func put(_ type: nf_tables_msg_types, _ set: KernelSet, _ elements: ArraySlice<KernelElement>, timed: Bool) {
    var rest = elements
    repeat {
      let chunk = rest.prefix(Self.elementsPerMessage)
      rest = rest.dropFirst(chunk.count)
      // The echo of what goes carries its counter's last reading, taken in the same transaction.
      let flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : NLM_F_ECHO
      guard let list = unsafe nftnl_set_alloc(), let header = unsafe header(type, set.family, flags) else {
        overflowed = true
        return
      }
      defer { unsafe nftnl_set_free(list) }
      unsafe Self.name(list, set)
      for element in chunk {
        guard unsafe Self.add(element, timed: timed, to: list) else {
          overflowed = true
          return
        }
      }
      unsafe nftnl_set_elems_nlmsg_build_payload(header, list)
      unsafe finish(header)
    } while !rest.isEmpty
  }

  private func putTable(_ type: nf_tables_msg_types, _ set: KernelSet) {
    guard let table = unsafe nftnl_table_alloc() else {
      overflowed = true
      return
    }
    defer { unsafe nftnl_table_free(table) }
    unsafe set.table.withCString { name in
      _ = unsafe nftnl_table_set_str(table, UInt16(NFTNL_TABLE_NAME.rawValue), name)
    }
    let flags = type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0
    if let header = unsafe header(type, set.family, flags) {
      unsafe nftnl_table_nlmsg_build_payload(header, table)
      unsafe finish(header)
    }
  }

  /// Starts a message where there is room for the largest one.
  private func header(
    _ type: nf_tables_msg_types, _ family: FirewallPlan.Family, _ flags: Int32
  ) -> UnsafeMutablePointer<nlmsghdr>? {
    guard Self.bufferOctets - used >= 2 * Self.messageOctets else {
      overflowed = true
      return nil
    }
    let position = unsafe (buffer + used).assumingMemoryBound(to: CChar.self)
    return unsafe nftnl_nlmsg_build_hdr(
      position, UInt16(nfTables(type)), UInt16(family.rawValue), UInt16(flags | NLM_F_REQUEST), socket.nextSequence())
  }

  private func finish(_ header: UnsafeMutablePointer<nlmsghdr>) {
    used += (Int(unsafe header.pointee.nlmsg_len) + 3) & ~3
    unsafe lastMessage = unsafe header
  }

  /// Sends the batch; returns 0 or the error number of the first thing the kernel refused.
  private func commit() -> Int32 {
    guard !overflowed, let last = unsafe lastMessage else { return overflowed ? ENOMEM : 0 }
    // One ack, for the last message: the kernel reports errors unasked.
    unsafe last.pointee.nlmsg_flags |= UInt16(NLM_F_ACK)
    let lastSequence = unsafe last.pointee.nlmsg_seq
    let end = unsafe (buffer + used).assumingMemoryBound(to: CChar.self)
    guard let header = unsafe nftnl_batch_end(end, socket.nextSequence()) else { return ENOMEM }
    used += Int(unsafe header.pointee.nlmsg_len)
    do {
      try unsafe socket.send(UnsafeRawBufferPointer(start: buffer, count: used))
      return try takeAck(lastSequence)
    } catch {
      return error.errno
    }
  }

  private func takeAck(_ last: UInt32) throws(SystemError) -> Int32 {
    var failure: Int32 = 0
    var acknowledged = false
    while !acknowledged {
      let more = try unsafe socket.receive(waiting: false) { message throws(SystemError) in
        // An echo bears the batch's sequence numbers or, as on 6.18, none; `echoed` knows what this batch closed.
        guard unsafe Int32(message.pointee.nlmsg_type) == NLMSG_ERROR else {
          unsafe takeEcho(message)
          return
        }
        // What an earlier batch left behind says nothing about this one.
        let position = unsafe message.pointee.nlmsg_seq &- firstSequence
        guard position <= last &- firstSequence else { return }
        let error = unsafe NetlinkSocket.error(of: message)
        if failure == 0 {
          failure = error
        }
        acknowledged = acknowledged || position == last &- firstSequence
      }
      guard more else { break }
    }
    return failure == 0 && !acknowledged ? EBADMSG : failure
  }

  private func takeEcho(_ message: UnsafePointer<nlmsghdr>) {
    guard unsafe Int32(message.pointee.nlmsg_type) == nfTables(NFT_MSG_DELSETELEM),
      let list = unsafe nftnl_set_alloc()
    else { return }
    defer { unsafe nftnl_set_free(list) }
    guard unsafe nftnl_set_elems_nlmsg_parse(message, list) == 0,
      let name = unsafe nftnl_set_get_str(list, UInt16(NFTNL_SET_NAME.rawValue)),
      let (index, octets) = unsafe echoed[String(cString: name)]
    else { return }
    unsafe SetElements.each(list) { element in
      guard let key = unsafe SetElements.key(element), key.count == octets else { return }
      let counts = unsafe SetElements.counts(element) ?? ElementCounts(octets: 0, packets: 0)
      closed.append(ClosedElement(set: index, key: ElementKey(key), counts: counts))
    }
  }

  private static func name(_ target: OpaquePointer, _ set: KernelSet) {
    unsafe set.table.withCString { text in
      _ = unsafe nftnl_set_set_str(target, UInt16(NFTNL_SET_TABLE.rawValue), text)
    }
    unsafe set.name.withCString { text in
      _ = unsafe nftnl_set_set_str(target, UInt16(NFTNL_SET_NAME.rawValue), text)
    }
    unsafe nftnl_set_set_u32(target, UInt16(NFTNL_SET_FAMILY.rawValue), UInt32(set.family.rawValue))
  }

  private static func add(_ element: KernelElement, timed: Bool, to list: OpaquePointer) -> Bool {
    guard let item = unsafe nftnl_set_elem_alloc() else { return false }
    let copied = unsafe element.key.withOctets { key in
      unsafe nftnl_set_elem_set(item, UInt16(NFTNL_SET_ELEM_KEY), key.baseAddress, UInt32(key.count))
    }
    if timed {
      // Both, because a live element whose timeout stays the same would otherwise keep its old end.
      let lifetime = max(element.lifetimeMilliseconds, 1)
      let expiration = element.expirationMilliseconds ?? lifetime
      unsafe nftnl_set_elem_set_u64(item, UInt16(NFTNL_SET_ELEM_TIMEOUT), lifetime)
      unsafe nftnl_set_elem_set_u64(item, UInt16(NFTNL_SET_ELEM_EXPIRATION), expiration)
    }
    unsafe nftnl_set_elem_add(list, item)
    return copied == 0
  }

  /// Elements by set, each key once with the longest lifetime asked for.
  private static func grouped(_ elements: [KernelElement]) -> [ArraySlice<KernelElement>] {
    guard elements.count > 1 else { return [elements[...]] }
    var distinct: [KernelElement] = []
    distinct.reserveCapacity(elements.count)
    let sorted = elements.sorted {
      ($0.set, $0.key, $0.lifetimeMilliseconds) < ($1.set, $1.key, $1.lifetimeMilliseconds)
    }
    for element in sorted {
      if let last = distinct.last, last.set == element.set, last.key == element.key {
        distinct[distinct.count - 1] = element
      } else {
        distinct.append(element)
      }
    }
    var groups: [ArraySlice<KernelElement>] = []
    var rest = distinct[...]
    while let first = rest.first {
      let group = rest.prefix { $0.set == first.set }
      rest = rest.dropFirst(group.count)
      groups.append(group)
    }
    return groups
  }
}
