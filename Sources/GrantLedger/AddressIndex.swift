import IPNetwork

/// Which server resolved an address last, for refusals of another one: bounded, the oldest address leaves first.
struct AddressIndex {
  private var servers: [IPAddress: UInt16] = [:]
  private var order: [IPAddress] = []
  private var oldest = 0

  /// Addresses over all servers; some megabytes. What is forgotten is only named less precisely in a log.
  static let capacity = 65_536

  subscript(address: IPAddress) -> UInt16? { servers[address] }

  mutating func record(_ address: IPAddress, server: UInt16) {
    guard servers.updateValue(server, forKey: address) == nil else { return }
    guard order.count == Self.capacity else { return order.append(address) }
    servers[order[oldest]] = nil
    order[oldest] = address
    oldest = (oldest + 1) % Self.capacity
  }
}
