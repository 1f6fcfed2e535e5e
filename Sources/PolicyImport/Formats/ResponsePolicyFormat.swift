import DNSWire
import EgressPolicy
import IPNetwork
import LDNS

/// Response policy zones: what they deny, and what they pass through.
///
/// After draft-vixie-dnsop-dns-rpz-00 (2018-03) and the RPZ chapter of BIND's manual (9.18): `*` in front is any labels, never the
/// name itself; CNAME to `.`, `*.` and `rpz-drop.` deny, `rpz-passthru.` allows.
enum ResponsePolicyFormat {
  private static let meaning = NameMeaning(star: .oneOrMore, opensEveryPort: false, tool: "RPZ")

  private enum Action {
    case deny
    case pass
    /// It is answered with something else.
    case rewrite
    case overTCP
  }

  static func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    let (records, faults) = MasterFile.read(source.octets)
    if let fault = faults.first { throw .error(fault.message, at: source.place(fault.line)) }
    let origin = records.first { $0.type == .SOA }.map(\.owner) ?? [0]
    let server = draft.server(nil, at: source.place(1))
    var actions: [[UInt8]: Action] = [:]
    var found = false
    for record in records where record.owner != origin && record.type != .NS {
      guard let trigger = trigger(record.owner, in: origin) else {
        throw .error("\(NameWire.presentation(record.owner.span)) is not in the zone", at: source.place(record.line))
      }
      found = true
      // Another record of the same name says no more.
      guard actions[trigger] == nil else { continue }
      actions[trigger] = action(record)
      try add(trigger, action(record), at: source.place(record.line), to: server, into: &draft)
    }
    guard found else {
      throw .error("holds no policy, expected records such as example.com CNAME .", at: source.place(0))
    }
    draft.refuseExceptions(of: server)
  }

  /// The owner without the zone's name; nil for one outside.
  private static func trigger(_ owner: [UInt8], in origin: [UInt8]) -> [UInt8]? {
    var at = 0
    while at < owner.count {
      if owner[at...].elementsEqual(origin) { return at == 0 ? nil : Array(owner[..<at]) + [0] }
      at += Int(owner[at]) + 1
    }
    return nil
  }

  private static func action(_ record: MasterFile.Record) -> Action {
    guard record.type == .CNAME else { return .rewrite }
    switch record.rdata {
    case [0], [1, UInt8(ascii: "*"), 0]: return .deny
    default: break
    }
    return switch NameWire.presentation(record.rdata.span) {
    case "rpz-drop.", "rpz-drop": .deny
    case "rpz-passthru.", "rpz-passthru": .pass
    case "rpz-tcp-only.", "rpz-tcp-only": .overTCP
    default: .rewrite
    }
  }

  private static func add(
    _ trigger: [UInt8], _ action: Action, at location: SourceLocation, to server: Int, into draft: inout ImportDraft
  ) throws(Diagnostic) {
    var text = NameWire.presentation(trigger.span)
    if text.hasSuffix(".") { text.removeLast() }
    if text == "*", action == .deny {
      let remark = ImportRemark(kind: .lost, text: "denies what nothing else names, as every list here does")
      return try draft.note(remark, text, at: location, isDenied: true, of: server)
    }
    var listed = ListedHost(text, at: location, isDenied: action != .pass)
    switch Trigger(text) {
    case .name: break
    case .network(let network): listed = ListedHost("\(network)", at: location, isDenied: action != .pass)
    case .other(let kind):
      return try draft.refuse(
        text, at: location, isDenied: true, "a rule by \(kind), expected names or addresses", of: server)
    }
    switch action {
    case .overTCP:
      let remark = ImportRemark(kind: .lost, text: "asked for over TCP alone there, and not denied")
      return try draft.note(remark, text, at: location, isDenied: true, of: server)
    case .rewrite:
      listed.remarks = [ImportRemark(kind: .lost, text: "the answer that it gets there; here it is denied")]
    case .deny, .pass: break
    }
    try draft.add(listed, meaning, to: server)
  }

  /// What a rule goes by.
  private enum Trigger {
    case name
    case network(IPPrefix)
    case other(String)

    init(_ text: String) {
      let labels = text.split(separator: ".")
      switch labels.last {
      case "rpz-ip": self = Self.network(labels.dropLast()).map { .network($0) } ?? .other("an address that is none")
      case "rpz-nsdname", "rpz-nsip": self = .other("name servers")
      case "rpz-client-ip": self = .other("clients")
      default: self = .name
      }
    }

    /// `24.0.2.0.192` or `48.zz.8.db8.2001`: the length, then the address from its end.
    private static func network(_ labels: ArraySlice<Substring>) -> IPPrefix? {
      guard let length = labels.first.flatMap({ Int($0) }) else { return nil }
      let parts = labels.dropFirst().reversed().map(String.init)
      let isFour = parts.count == 4 && parts.allSatisfy { UInt8($0) != nil } && !parts.contains("zz")
      let text = isFour ? parts.joined(separator: ".") : six(parts)
      return IPAddress(text).flatMap { IPPrefix($0, length: length) }
    }

    private static func six(_ parts: [String]) -> String {
      let text = parts.map { $0 == "zz" ? "" : $0 }.joined(separator: ":")
      // A gap at an end is written with both its colons.
      return (parts.first == "zz" ? ":" : "") + text + (parts.last == "zz" ? ":" : "")
    }
  }
}
