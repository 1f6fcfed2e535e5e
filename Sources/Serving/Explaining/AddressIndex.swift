package import ControlAPI
import DNSWire
import GrantLedger
import IPNetwork

/// Which names share an address, by what the resolver has open for all servers: an address admits every site behind it.
struct AddressIndex: Sendable {
  /// As many as are told of one address.
  private static let maximumTold = 16

  private var names: [IPAddress: Set<Name>] = [:]

  mutating func add(_ name: Name, at address: IPAddress) { names[address, default: []].insert(name) }

  /// The other names at an address, sorted by their text; nil where there is none.
  func others(than name: Name, at address: IPAddress) -> [String]? {
    guard let all = names[address], all.count > 1 else { return nil }
    return Array(all.subtracting([name]).map(\.description).sorted().prefix(Self.maximumTold))
  }
}

/// What `check` says of addresses that are more than one name's.
package enum SharedAddresses {
  /// Grants of rules with `verify: address` whose address is another name's as well, one line for each name.
  package static func texts(_ grants: [ControlAPI.Grant]) -> [(server: String, name: String, text: String)] {
    let shared = grants.filter { $0.verify == "address" && $0.shared?.isEmpty == false }
    return Dictionary(grouping: shared) { [$0.server, $0.name] }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
      .compactMap { key, grants in
        guard let first = grants.min(by: { $0.address < $1.address }), let others = first.shared else { return nil }
        let named = others.prefix(3).joined(separator: ", ") + (others.count > 3 ? " and \(others.count - 3) more" : "")
        return (
          key[0], key[1],
          "\(first.address), open for \(key[1]), is that of \(named) too: with verify: address it admits all"
        )
      }
  }
}
