import Foundation
import HostNetwork

/// Ways by which packets leave a governed interface without passing the IP layer of this host, or without passing it as
/// policy wants: facts of the kernel go in, findings of `doctor` come out.
struct WaysOut {
  /// Which packets that a bridge forwards pass the IP hooks (br_netfilter).
  struct BridgeFilter: Equatable {
    var v4: Bool
    var v6: Bool
  }

  /// Connections in it pass no chain (nft(8), flowtables).
  struct Flowtable: Equatable {
    var title: String
    /// A name may end with `*`.
    var devices: [String]
  }

  /// The servers behind each interface that leads to one's network.
  var serversByInterface: [String: Set<String>]
  var host: HostNetwork
  var bridgeFilter: BridgeFilter
  var flowtables: [Flowtable]

  var findings: [Finding] {
    serversByInterface.sorted { $0.key < $1.key }.flatMap { name, servers -> [Finding] in
      guard let interface = host.interface(named: name) else { return [] }
      let stacked = host.interfaces.filter { $0.controller == interface.index }
      return shares(interface) + ports(interface, stacked) + above([interface] + stacked, of: interface)
        + neighbours(interface, stacked, servers)
    } + offloads()
  }

  // MARK: - Links

  /// Links of these kinds pass frames to and from what they stand on, beside the host's own IP layer.
  private static let beside: Set<String> = ["macvlan", "macvtap", "ipvlan", "ipvtap"]

  /// A server's interface that is one of several on the same link.
  private func shares(_ interface: HostNetwork.Interface) -> [Finding] {
    guard Self.beside.contains(interface.kind) else { return [] }
    let below = host.interface(index: interface.lower).map { " on \($0.name)" } ?? ""
    return [
      .serious(
        .linkShared, "ways out",
        "\(interface.name) is \(interface.kind)\(below): its neighbours there are reached beside this host, and no rule sees it",
        "put the servers behind a bridge of their own")
    ]
  }

  private func ports(_ bridge: HostNetwork.Interface, _ ports: [HostNetwork.Interface]) -> [Finding] {
    guard bridge.kind == "bridge" else { return [] }
    return ports.filter { !["veth", "tun"].contains($0.kind) }.map { port in
      .serious(
        .portForeign, "ways out",
        "\(port.name) (\(port.kind.isEmpty ? "a device" : port.kind)) is a port of \(bridge.name): what is behind it is reached "
          + "as a neighbour, below the rules",
        "take it out, and let this host route: ip link set \(port.name) nomaster")
    }
  }

  /// What stands on an interface, or on a port of it, gets frames before it, or instead of it.
  private func above(_ below: [HostNetwork.Interface], of governed: HostNetwork.Interface) -> [Finding] {
    host.interfaces.filter { upper in
      upper.kind != "veth" && serversByInterface[upper.name] == nil && below.contains { $0.index == upper.lower }
    }.map { upper in
      let lower = below.first { $0.index == upper.lower }?.name ?? governed.name
      return .serious(
        .linkAbove, "ways out",
        "\(upper.name) (\(upper.kind)) stands on \(lower): frames for it come by \(upper.name) and not by \(governed.name), "
          + "which is the one that is enclosed",
        "remove it: ip link delete \(upper.name)")
    }
  }

  /// Servers that are neighbours on a bridge.
  private func neighbours(
    _ bridge: HostNetwork.Interface, _ ports: [HostNetwork.Interface], _ servers: Set<String>
  ) -> [Finding] {
    // Between isolated ports nothing passes.
    guard bridge.kind == "bridge", servers.count > 1, ports.isEmpty || !ports.allSatisfy(\.isIsolated) else {
      return []
    }
    let names = servers.sorted().joined(separator: ", ")
    let remedy = "give each server a network of its own"
    let open = [
      bridgeFilter.v4 || bridge.callsIPTables ? nil : ("IPv4", "bridge-nf-call-iptables"),
      bridgeFilter.v6 || bridge.callsIP6Tables ? nil : ("IPv6", "bridge-nf-call-ip6tables"),
    ].compactMap(\.self)
    guard !open.isEmpty else {
      return [
        .warning(
          .neighboursFrames, "ways out",
          "\(names) are neighbours on \(bridge.name): frames that are not IP, or are tagged (802.1Q), pass between them past every rule",
          remedy)
      ]
    }
    return [
      .serious(
        .neighboursOpen, "ways out",
        "\(names) are neighbours on \(bridge.name), which passes \(open.map(\.0).joined(separator: " and ")) between them "
          + "below the rules",
        "\(remedy), or: modprobe br_netfilter && sysctl -w "
          + open.map { "net.bridge.\($0.1)=1" }.joined(separator: " "))
    ]
  }

  // MARK: - Flowtables

  private func offloads() -> [Finding] {
    guard !flowtables.isEmpty else { return [] }
    let governed = Set(serversByInterface.keys)
    let indexes = Set(host.interfaces.filter { governed.contains($0.name) }.map(\.index))
    let names = governed.union(host.interfaces.filter { indexes.contains($0.controller) }.map(\.name))
    let found = flowtables.compactMap { flowtable -> Finding? in
      let taken = names.filter { name in flowtable.devices.contains { Self.matches($0, name) } }.sorted()
      guard !taken.isEmpty else { return nil }
      return .serious(
        .flowtableGoverned, "ways out",
        "flowtable \(flowtable.title) holds \(taken.joined(separator: ", ")): connections in it pass no chain, so that closing "
          + "an address does not end them, and nothing counts them",
        "take the interfaces of servers out of it: nft list flowtables")
    }
    return found.isEmpty
      ? [
        .warning(
          .flowtableOther, "table", "there is a flowtable: what comes back to a server by it passes no chain",
          "keep servers' interfaces out of it, or: \(flowtables.map { "nft delete flowtable \($0.title)" }.joined(separator: "; "))"
        )
      ] : found
  }

  private static func matches(_ pattern: String, _ name: String) -> Bool {
    pattern.last == "*" ? name.hasPrefix(pattern.dropLast()) : pattern == name
  }
}

// MARK: - Of this host

extension WaysOut {
  /// - Throws: when interfaces cannot be read.
  init(_ enclosure: EnclosureDiagnosis) throws {
    serversByInterface = enclosure.serversByInterface
    host = try RouteSocket().read { _ in false }
    bridgeFilter = BridgeFilter(v4: Self.isOn("bridge-nf-call-iptables"), v6: Self.isOn("bridge-nf-call-ip6tables"))
    do {
      let listing = try HostProgram.run(["/usr/sbin/nft", "-j", "list", "flowtables"], input: "")
      flowtables = try Self.flowtables(listing.output)
    } catch {
      // Where nft cannot be run, or may not list anything, the finding about the table says so.
      flowtables = []
    }
  }

  /// Not there without the module.
  private static func isOn(_ key: String) -> Bool {
    (HostFile.number("/proc/sys/net/bridge/\(key)") ?? 0) != 0
  }

  /// What `nft -j list flowtables` prints (libnftables-json(5)).
  ///
  /// - Throws: for anything else, such as what it prints to a user who may not list them.
  static func flowtables(_ json: String) throws -> [Flowtable] {
    let listing = try JSONDecoder().decode(Listing.self, from: Data(json.utf8))
    return listing.nftables.compactMap(\.flowtable).map {
      Flowtable(title: "\($0.family) \($0.table) \($0.name)", devices: $0.dev?.names ?? [])
    }
  }

  private struct Listing: Decodable {
    struct Element: Decodable {
      var flowtable: Flow?
    }

    struct Flow: Decodable {
      var family: String
      var table: String
      var name: String
      var dev: Names?
    }

    /// One name stands as it is, several in an array.
    struct Names: Decodable {
      var names: [String]

      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
          names = [try container.decode(String.self)]
        } catch DecodingError.typeMismatch {
          names = try container.decode([String].self)
        }
      }
    }

    var nftables: [Element]
  }
}
