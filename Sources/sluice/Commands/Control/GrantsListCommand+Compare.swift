import ArgumentParser
import Control
import ControlAPI
import EgressPolicy
import Foundation
import IPNetwork
import LinuxIO
import NFTables
import Settings

extension GrantsListCommand {
  /// What the running server granted, one row for each address with port, as `grants` shows it.
  /// And what is open without a name.
  func granted() throws -> (rows: [OpenGrant], prefixes: [ControlAPI.OpenPrefix]) {
    let list = try control.call(.get, .grants, [("server", server)], as: ControlAPI.GrantList.self).answer
    let rows = Dictionary(grouping: list.grants) { ListedElementKey($0) }
      .compactMap { key, same in OpenGrant(key, same) }
      .sorted {
        ($0.server, $0.names.first ?? "", $0.address, $0.port) < ($1.server, $1.names.first ?? "", $1.address, $1.port)
      }
    return (rows, list.prefixes)
  }

  /// Prints what only the server or only the kernel knows; exits with 1 if there is anything.
  ///
  /// The server is asked again after the kernel: what came or ended in between is no difference.
  func compare(_ table: OpenTable) throws {
    let before = try granted().rows
    var open: [OpenGrant] = []
    do throws(SystemError) {
      open = try OpenGrant.all(table, server: server)
    } catch {
      throw unreadable(error)
    }
    // What never expires in sets of the user's own is the user's.
    if table.mode == .sets { open.removeAll { $0.remainingMilliseconds == nil } }
    let after = try granted().rows
    let inKernel = Set(open.map(ListedElementKey.init))
    let known = Set((before + after).map(ListedElementKey.init))
    let lasting = Set(after.filter { ($0.remainingMilliseconds ?? .max) > Self.slack }.map(ListedElementKey.init))
      .intersection(before.map(ListedElementKey.init))
    let strange = open.filter { !known.contains(ListedElementKey($0)) }
    let missing = after.filter { lasting.contains(ListedElementKey($0)) && !inKernel.contains(ListedElementKey($0)) }
    // Where one of the names has to be said the kernel has to have it so; that it still has what no name asks for is no opening.
    let checked = Set(open.filter(\.isChecked).map(ListedElementKey.init))
    let unchecked = after.filter {
      let key = ListedElementKey($0)
      return $0.isChecked && lasting.contains(key) && inKernel.contains(key) && !checked.contains(key)
    }
    let kinds = [
      (strange, "not-granted", "open, not granted"), (missing, "not-open", "granted, not open"),
      (unchecked, "not-checked", "open, not checked"),
    ]
    if json {
      for (rows, kind, _) in kinds {
        for row in rows { StandardOutput.write("{\"difference\":\"\(kind)\"," + row.json.dropFirst()) }
      }
    } else if kinds.allSatisfy(\.0.isEmpty) {
      StandardOutput.write("no difference: \(counted(after.count, "address")) granted and open")
    } else {
      let rows = kinds.flatMap { rows, _, text in rows.map { [text] + $0.columns(times) } }
      for line in AlignedColumns.lines(["DIFFERENCE"] + OpenGrant.heading, rows) { StandardOutput.write(line) }
    }
    if !kinds.allSatisfy(\.0.isEmpty) { throw ExitCode.failure }
  }

  /// Milliseconds by which kernel and server may disagree about an end.
  private static let slack: UInt64 = 2_000
}

/// What makes two rows the same element.
struct ListedElementKey: Hashable {
  let server: String
  let address: String
  let transport: UInt8
  let port: UInt16
}

extension ListedElementKey {
  init(_ grant: OpenGrant) {
    self.init(
      server: grant.server, address: grant.address.description, transport: grant.transport, port: grant.port)
  }

  init(_ server: String, _ found: KernelSets.Found) {
    self.init(server: server, address: found.address.description, transport: found.transport, port: found.port)
  }

  init(_ grant: ControlAPI.Grant) {
    self.init(
      server: grant.server, address: grant.address, transport: TransportName.number(grant.protocol) ?? 0,
      port: grant.port ?? 0)
  }
}

extension OpenGrant {
  init?(_ key: ListedElementKey, _ grants: [ControlAPI.Grant]) {
    guard let address = IPAddress(key.address) else { return nil }
    server = key.server
    self.address = address
    transport = key.transport
    port = key.port
    names = Set(grants.map(\.name)).sorted()
    isChecked = grants.contains { $0.verify == "sni" }
    inspectors = Set(grants.compactMap(\.inspect)).sorted()
    shared = Set(grants.flatMap { $0.shared ?? [] }).sorted()
    opened = grants.compactMap { ControlAPI.seconds($0.opened) }.min()
    remainingMilliseconds = grants.map(\.remainingMs).max()
  }
}
