import Glibc
import IPNetwork

/// The addresses of the host's own interfaces: no answer may lead a server to them (threats: rebinding).
enum HostAddresses {
  static func all() -> Set<IPAddress> {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&first) == 0 else { return [] }
    defer { unsafe freeifaddrs(first) }
    var found: Set<IPAddress> = []
    var next = unsafe first
    while let entry = unsafe next {
      if let address = unsafe entry.pointee.ifa_addr, let value = unsafe read(address) {
        found.insert(value)
      }
      unsafe next = entry.pointee.ifa_next
    }
    return found
  }

  private static func read(_ address: UnsafePointer<sockaddr>) -> IPAddress? {
    switch unsafe Int32(address.pointee.sa_family) {
    case AF_INET:
      // The kernel fills a whole sockaddr_in for this family.
      let raw = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self)
      return IPAddress(v4: UInt32(bigEndian: raw.sin_addr.s_addr))
    case AF_INET6:
      let raw = unsafe UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in6.self)
      let octets = unsafe withUnsafeBytes(of: raw.sin6_addr) { unsafe Array($0) }
      return IPAddress(octets: octets.span)
    default:
      return nil
    }
  }
}
