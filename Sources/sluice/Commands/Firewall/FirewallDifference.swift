import BridgeProcesses
import FirewallModel
import Foundation
import Serving

/// What differs between the table in the kernel and the one that a configuration wants, in nft's own words.
///
/// nft lists both: the kernel's here, the wanted one in a network namespace that lives as long as the program, so that
/// two ways of writing one rule are never a difference. Elements that come and go with grants are left out.
struct FirewallDifference {
  /// Lines that begin with ` `, `-` (only in the kernel) or `+` (only wanted), under a heading for each part.
  private(set) var lines: [String] = []

  var isEmpty: Bool { lines.isEmpty }
  /// Whether the kernel has no such table at all.
  let isAbsent: Bool

  /// What nft says when it is asked for a table.
  typealias Listing = (status: Int32, output: String, errors: String)

  /// - Throws: `StartError` when nft cannot be run or refuses.
  init(_ plan: FirewallPlan, state: String) throws {
    let surroundings = try Ruleset.Surroundings(plan, state: state)
    // Two programs, because nft lists what it has not yet sent in a form of its own.
    let wanted = try HostProgram.run(
      ["/usr/bin/unshare", "--net", "/bin/sh", "-c", "nft -f - && exec nft -s list table inet \"$0\"", plan.table],
      input: try Ruleset.render(plan, surroundings, hooksDevices: false))
    // Of the chains that hook devices the other namespace has none.
    let hooks = Ruleset.listedDeviceChains(plan, surroundings).map { ("chain \($0)", $1) }
    try self.init(
      of: plan.table, wanted: wanted,
      present: HostProgram.run(["/usr/sbin/nft", "-s", "list", "table", "inet", plan.table], input: ""),
      hooks: Dictionary(hooks, uniquingKeysWith: { $1 }))
  }

  /// - Parameters:
  ///   - wanted: the table as it is to be, without chains that hook devices.
  ///   - hooks: those chains, by their heading.
  /// - Throws: `StartError` when nft could not say one of the two.
  init(of table: String, wanted: Listing, present: Listing, hooks: [String: [String]]) throws(StartError) {
    guard wanted.status == 0 else { throw StartError("nft cannot lay out the wanted table: \(wanted.errors)") }
    isAbsent = present.status != 0 && present.errors.contains("No such file or directory")
    guard present.status == 0 || isAbsent else { throw StartError("nft cannot list the table: \(present.errors)") }
    if isAbsent { lines.append("- there is no table inet \(table)") }
    lines += Self.lines(
      Self.parts(of: present.output), Self.parts(of: wanted.output).merging(hooks, uniquingKeysWith: { $1 }))
  }

  /// What differs between parts of two listings.
  static func lines(_ present: [String: [String]], _ wanted: [String: [String]]) -> [String] {
    var lines: [String] = []
    for name in Set(present.keys).union(wanted.keys).sorted() {
      let (left, right) = (present[name] ?? [], wanted[name] ?? [])
      guard left != right else { continue }
      lines.append("@ \(name)")
      var merged = left.map { (" ", $0) }
      for change in right.difference(from: left) {
        switch change {
        case .remove(let offset, let line, _): merged[offset] = ("-", line)
        case .insert: break
        }
      }
      lines += merged.filter { $0.0 == "-" }.map { "- \($0.1)" }
      for case .insert(_, let line, _) in right.difference(from: left) { lines.append("+ \(line)") }
    }
    return lines
  }

  /// The sets, maps and chains of a listing by their heading, without the elements that grants come to.
  static func parts(of listing: String) -> [String: [String]] {
    var parts: [String: [String]] = [:]
    var heading: String?
    var body: [String] = []
    for line in listing.split(separator: "\n") {
      let text = line.trimmingCharacters(in: .whitespaces)
      if line.hasPrefix("\t"), !line.hasPrefix("\t\t") {
        if text == "}" {
          if let heading { parts[heading] = withoutGrants(body) }
          (heading, body) = (nil, [])
        } else if text.hasSuffix("{") {
          heading = String(text.dropLast(2))
        }
      } else if heading != nil {
        body.append(text)
      }
    }
    return parts
  }

  private static func withoutGrants(_ body: [String]) -> [String] {
    guard body.contains(where: { $0.hasPrefix("flags") && $0.contains("timeout") }) else { return body }
    return Array(body.prefix { !$0.hasPrefix("elements = ") })
  }
}
