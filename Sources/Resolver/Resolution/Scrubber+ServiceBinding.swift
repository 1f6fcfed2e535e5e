package import DNSWire
import EgressPolicy
package import IPNetwork

extension Scrubber {
  /// The records of an SVCB or HTTPS RRset as far as they may be used, and the addresses that their hints hold: those are
  /// opened before the answer like an A record's.
  ///
  /// Hints of a name that the client has to ask for go: the answer to that has the addresses. One that may not be opened
  /// takes all hints of the RRset along (threats U16).
  ///
  /// - Throws: `invalid`, where one of them is malformed.
  func bindings(
    _ found: [Record], _ message: Span<UInt8>, _ type: RRType, asked name: [UInt8], behind chain: [[UInt8]]
  ) throws(ScrubError) -> (records: [(rdata: [UInt8], ttl: UInt32)], addresses: [IPAddress]) {
    let port = ServiceRules.defaultPort(type, name: name)
    let owner = chain.last ?? name
    var kept: [(binding: ServiceBinding, ttl: UInt32)] = []
    for record in found {
      let read: ServiceBinding
      do throws(FormatError) {
        read = try ServiceBinding(message, record.header.rdata)
      } catch {
        throw .invalid
      }
      guard leads(read, from: owner, asked: name), var binding = service.cut(read, defaultPort: port) else { continue }
      if ![[0], owner, name].contains(binding.target) { binding.removeHints() }
      kept.append((binding, record.header.ttl))
    }
    let admitted = hints(of: kept.map(\.binding), behind: chain)
    let bindings = kept.compactMap { binding, ttl -> (binding: ServiceBinding, ttl: UInt32)? in
      var binding = binding
      binding.keepHints(among: admitted)
      return binding.mandatoryKeys.allSatisfy { binding[$0] != nil } ? (binding: binding, ttl: ttl) : nil
    }
    var addresses: [IPAddress] = []
    for hint in bindings.flatMap(\.binding.hints) where !addresses.contains(hint) { addresses.append(hint) }
    return (bindings.map { ($0.binding.octets, $0.ttl) }, addresses)
  }

  /// Whether a client gets anywhere by the record: it asks for the target itself, so that has to be listed. An alias is a
  /// link of a chain as a CNAME is.
  private func leads(_ binding: ServiceBinding, from owner: [UInt8], asked name: [UInt8]) -> Bool {
    guard binding.target != [0] else { return true }
    if binding.isAlias, binding.target == owner || binding.target == name { return false }
    guard binding.target != owner, binding.target != name else { return true }
    return chains != .strict && lists(binding.target) && admitsTarget(binding.target)
  }

  /// Each once, and no more than an answer has; none where one of them may not be opened.
  private func hints(of bindings: [ServiceBinding], behind chain: [[UInt8]]) -> Set<IPAddress> {
    var found: Set<IPAddress> = []
    for address in bindings.flatMap(\.hints) where found.count < Self.maxAddresses || found.contains(address) {
      guard admitsAddress(address, chain) else { return [] }
      found.insert(address)
    }
    return found
  }
}

extension ServiceBinding {
  /// The keys of hints, and how many octets an address has there.
  private static let hintKeys: [(key: Key, octets: Int)] = [(.ipv4hint, 4), (.ipv6hint, 16)]

  /// The addresses of its hints.
  package var hints: [IPAddress] {
    Self.hintKeys.flatMap { key, octets in Self.addresses(self[key] ?? [], octets) }
  }

  private static func addresses(_ value: [UInt8], _ octets: Int) -> [IPAddress] {
    stride(from: 0, to: value.count, by: octets).compactMap { start in
      IPAddress(octets: value.span.extracting(start..<min(start + octets, value.count)))
    }
  }

  fileprivate mutating func removeHints() { keepHints(among: []) }

  fileprivate mutating func keepHints(among kept: Set<IPAddress>) {
    for (key, octets) in Self.hintKeys {
      guard let value = self[key] else { continue }
      let left = Self.addresses(value, octets).filter(kept.contains)
      self[key] = left.isEmpty ? nil : left.flatMap(\.octets)
    }
  }
}
