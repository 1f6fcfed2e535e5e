import AuditLog
import ControlAPI
import EgressPolicy
import Settings

/// What bounds a rule: its chains, the check, the caps, the asked-for signatures and its end, for people and as JSON members.
struct RuleLimits {
  private let maxBytes: ByteBound?
  private let maxBytesPerHour: ByteBound?
  private let check: NameCheck?
  /// Nil where it is off.
  private let dnssec: String?
  private let until: UInt64?
  /// Nil of what has no name.
  private let cname: ChainPolicy?
  /// The end of an entry that is merged into a rule which stays.
  private let partUntil: UInt64?

  init(_ rule: EgressRule, partUntil: UInt64? = nil) {
    maxBytes = rule.maxBytes
    maxBytesPerHour = rule.maxBytesPerHour
    check = rule.check
    dnssec = rule.dnssec == .off ? nil : rule.dnssec.rawValue
    until = rule.until
    cname = rule.cname
    self.partUntil = partUntil == rule.until ? nil : partUntil
  }

  init(_ rule: StaticPrefixRule) {
    maxBytes = rule.maxBytes
    maxBytesPerHour = nil
    check = nil
    dnssec = nil
    until = rule.until
    (partUntil, cname) = (nil, nil)
  }

  /// Only what is set.
  var fields: [(key: String, value: String)] {
    var fields: [(key: String, value: String)] = []
    if let cname, cname != .follow { fields.append(("cname", cname.rawValue)) }
    if let check { fields.append(("verify", "sni on \(check.texts.joined(separator: ", "))")) }
    if let check, check.hiding == .allow { fields.append(("ech", check.hiding.rawValue)) }
    if let inspector = check?.inspector { fields.append(("inspect", inspector.description)) }
    for (key, bound) in [("max-bytes", maxBytes), ("max-bytes-per-hour", maxBytesPerHour)] {
      if let bound { fields.append((key, Self.text(bound))) }
    }
    if let dnssec { fields.append(("dnssec", dnssec)) }
    if let until { fields.append(("until", PolicyTime.text(until))) }
    if let partUntil { fields.append(("in part until", PolicyTime.text(partUntil))) }
    return fields
  }

  /// Two blanks before each field.
  var text: String {
    fields.map { "  \($0.key) \($0.value)" }.joined()
  }

  /// Members with a comma after each; null for what is not set.
  var json: String {
    (cname.map { "\"cname\":\(JSONText.quoted($0.rawValue))," } ?? "")
      + "\"verified_ports\":\(JSONText.list(check?.texts ?? [])),\"ech\":"
      + "\(check.map { JSONText.quoted($0.hiding.rawValue) } ?? "null"),"
      + "\"inspect\":\(check?.inspector.map { JSONText.quoted($0.description) } ?? "null"),"
      + Self.members("max_bytes", maxBytes) + Self.members("max_bytes_per_hour", maxBytesPerHour)
      + "\"dnssec\":\(JSONText.quoted(dnssec ?? "off")),"
      + "\"until\":\(Self.time(until)),\"in_part_until\":\(Self.time(partUntil)),"
  }

  private static func text(_ bound: ByteBound) -> String {
    Quantity.size(Int(clamping: bound.bytes)) + (bound.excess == .audit ? " (audit)" : "")
  }

  private static func members(_ key: String, _ bound: ByteBound?) -> String {
    "\"\(key)\":\(bound.map { "\($0.bytes)" } ?? "null"),"
      + "\"\(key)_excess\":\(bound.map { JSONText.quoted($0.excess.rawValue) } ?? "null"),"
  }

  private static func time(_ value: UInt64?) -> String {
    value.map { JSONText.quoted(ControlAPI.time(seconds: $0)) } ?? "null"
  }
}
