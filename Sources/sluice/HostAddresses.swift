import EgressPolicy
import Glibc
import IPNetwork
import Settings

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

  /// Whether a listen address is there: one of an interface, or a wildcard.
  static func has(_ listen: ListenAddress) -> Bool { absent(of: [listen]).isEmpty }

  /// Those that no interface has yet; bound free, they are answered at as soon as one has.
  static func absent(of listen: [ListenAddress]) -> [ListenAddress] {
    let present = all()
    return listen.filter { !$0.isWildcard && !present.contains($0.address) && !isLoopback($0.address) }
  }

  /// A warning for each listen address that is not there yet, at its place in the configuration.
  static func diagnose(_ settings: Settings) -> [Diagnostic] {
    let absent = absent(of: settings.listen)
    return zip(settings.listen, settings.listenLocations).filter { absent.contains($0.0) }.map { listen, location in
      .warning("\(listen) is not there yet: no interface of this host has the address", at: location)
    }
  }

  /// All of 127.0.0.0/8 is the host's, whatever its interfaces list.
  private static func isLoopback(_ address: IPAddress) -> Bool { address.family == .v4 && address.low >> 24 == 127 }

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
