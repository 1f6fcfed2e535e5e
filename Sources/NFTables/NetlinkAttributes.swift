import CNetfilter

/// Walks the attributes of a netlink message: every length is held against the octets that are left.
@safe
struct NetlinkAttributes {
  private let start: UnsafePointer<nlattr>?
  private let count: Int

  /// The attributes behind the nfnetlink header of a message.
  init(of message: UnsafePointer<nlmsghdr>) {
    let header = MemoryLayout<nfgenmsg>.size
    let left = unsafe mnl_nlmsg_get_payload_len(message) - header
    guard left > 0, let payload = unsafe mnl_nlmsg_get_payload_offset(message, header) else {
      unsafe start = nil
      count = 0
      return
    }
    unsafe start = UnsafePointer(payload.assumingMemoryBound(to: nlattr.self))
    count = left
  }

  /// The attributes inside an attribute.
  private init(inside attribute: UnsafePointer<nlattr>) {
    unsafe start = UnsafePointer(mnl_attr_get_payload(attribute)?.assumingMemoryBound(to: nlattr.self))
    count = unsafe Int(mnl_attr_get_payload_len(attribute))
  }

  /// The octets of the first attribute of a type.
  subscript(type: Int) -> [UInt8]? {
    guard let attribute = unsafe find(type), let payload = unsafe mnl_attr_get_payload(attribute) else { return nil }
    return unsafe Array(UnsafeRawBufferPointer(start: payload, count: Int(mnl_attr_get_payload_len(attribute))))
  }

  /// The attributes inside the first attribute of a type.
  func nested(_ type: Int) -> NetlinkAttributes? {
    guard let attribute = unsafe find(type) else { return nil }
    return unsafe NetlinkAttributes(inside: attribute)
  }

  /// The text of the first attribute of a type, up to its first zero: the kernel ends names with one, but nothing here
  /// depends on it.
  func text(_ type: Int) -> String? {
    self[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  /// A big-endian number in the first attribute of a type; nil where its length is another.
  func number<T: FixedWidthInteger & UnsignedInteger>(_ type: Int, as _: T.Type = T.self) -> T? {
    guard let octets = self[type], octets.count == T.bitWidth / 8 else { return nil }
    return octets.reduce(0) { $0 << 8 | T($1) }
  }

  private func find(_ type: Int) -> UnsafePointer<nlattr>? {
    guard var attribute = unsafe start else { return nil }
    var left = count
    while unsafe mnl_attr_ok(attribute, Int32(clamping: left)) {
      if unsafe Int(mnl_attr_get_type(attribute)) == type { return unsafe attribute }
      left -= unsafe (Int(attribute.pointee.nla_len) + 3) & ~3
      guard left > 0, let next = unsafe mnl_attr_next(attribute) else { return nil }
      unsafe attribute = unsafe UnsafePointer(next)
    }
    return nil
  }
}

/// Appends an attribute to a message whose buffer has room for it: requests here are far shorter than theirs.
func putAttribute(_ octets: [UInt8], _ type: UInt32, into header: UnsafeMutablePointer<nlmsghdr>) {
  unsafe octets.withUnsafeBytes { unsafe mnl_attr_put(header, UInt16(type), $0.count, $0.baseAddress) }
}
