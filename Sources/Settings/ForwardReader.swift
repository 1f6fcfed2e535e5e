import DNSWire
import EgressPolicy
import IPNetwork

/// Reads `forward:`, the zones whose names have upstreams of their own.
extension SettingsReader {
  static let forwardKeys = ["zone", "upstreams", "private"]
  /// Each upstream is asked at the start, and has its health and its line in `status`.
  static let maximumForwards = 64

  mutating func forwards(_ node: YAMLNode?, listen: [ListenAddress]) -> [ForwardSettings] {
    guard let node else { return [] }
    var forwards: [ForwardSettings] = []
    for element in findings.list(node, of: "forwarded zones") ?? YAMLChildren.none(in: node) {
      guard let forward = forward(element, listen: listen) else { continue }
      if let other = forwards.first(where: { $0.zone == forward.zone }) {
        findings.error(
          "zone \(forward.zone) is forwarded already at \(other.location.full), expected once", at: element.location)
      } else {
        forwards.append(forward)
      }
    }
    if forwards.count > Self.maximumForwards {
      findings.error(
        "\(forwards.count) forwarded zones, expected at most \(Self.maximumForwards)", at: node.location)
    }
    return forwards
  }

  private mutating func forward(_ node: YAMLNode, listen: [ListenAddress]) -> ForwardSettings? {
    let fields = findings.fields(node, of: "a forwarded zone", keys: Self.forwardKeys)
    guard node.isMapping else { return nil }
    let zone = required(fields["zone"], "zone", "a name such as corp.example", in: node).flatMap { self.zone($0) }
    let upstreams = upstreams(fields["upstreams"], in: node, listen: listen)
    let prefixes = fields["private"].map { findings.prefixes($0) } ?? []
    if let node = fields["private"] {
      findings.add(PolicyLinter.check(private: prefixes, at: node.location))
    }
    guard let zone else { return nil }
    return ForwardSettings(zone: zone, upstreams: upstreams, privatePrefixes: prefixes, location: node.location)
  }

  private mutating func zone(_ node: YAMLNode) -> Name? {
    let expected = "a zone such as corp.example"
    guard let text = findings.text(node, expected: expected) else { return nil }
    do {
      let pattern = try NamePattern(InternationalName.toASCII(text))
      guard pattern.kind == .exact else {
        findings.error(
          "\(Quoted.text(text)) is a pattern, expected the zone \(pattern.literalSuffix) alone: all below it is forwarded as well",
          at: node.location)
        return nil
      }
      warn(of: pattern.suffix, at: node.location)
      return pattern.suffix
    } catch let error as NamePatternError {
      let reason = if case .root = error { "is the root, whose upstreams are `upstreams:`" } else { error.reason }
      findings.error("\(Quoted.text(text)) \(reason), expected \(expected)", at: node.location)
    } catch let error as InternationalName.LabelError {
      findings.error("\(Quoted.text(text)) \(error.reason)", at: node.location)
    } catch {
      findings.reject(node, expected: expected)
    }
    return nil
  }

  private mutating func warn(of zone: Name, at location: SourceLocation) {
    switch SpecialUseNames.forwards(zone.wire) {
    case nil: break
    case false?:
      findings.warning("names of \(zone) are answered locally, never forwarded: it has no effect", at: location)
    case true?:
      findings.warning(
        "names of \(zone) are answered locally, but for those that an entry lists: these are forwarded", at: location)
    }
  }
}
