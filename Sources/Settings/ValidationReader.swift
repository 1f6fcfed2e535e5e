import EgressPolicy

extension FieldReader {
  /// Files that are there.
  mutating func trustAnchors(_ node: YAMLNode, in configuration: String) -> [TrustAnchorFile] {
    let nodes = node.isSequence ? Array(node.elements) : [node]
    return nodes.compactMap { (node) -> TrustAnchorFile? in
      guard let text = text(node, expected: "the path of a file with DS or DNSKEY records") else { return nil }
      let file = ConfigFiles.resolve(text, from: configuration)
      do throws(ConfigFiles.FileError) {
        try ConfigFiles.checkReadable(file)
        return TrustAnchorFile(path: file, location: node.location)
      } catch {
        self.error("trust anchor file \(Quoted.text(file)) \(error.reason)", at: node.location)
        return nil
      }
    }
  }

  /// Where Debian has the root's keys.
  fileprivate static let rootAnchor = "/usr/share/dns/root.key (package dns-root-data)"
}

extension SettingsReader {
  /// Without a key to begin with every signature would be in doubt, and every name that needs one refused.
  mutating func requireAnchors(_ settings: Settings, at node: YAMLNode) {
    guard settings.trustAnchors.isEmpty else { return }
    let expected = "expected `trust-anchors:` in the configuration, such as \(FieldReader.rootAnchor)"
    for policy in settings.policies {
      guard policy.rules.wantsValidation, let rule = policy.rules.first(where: { $0.dnssec != .off }) else { continue }
      findings.error(
        "dnssec \(rule.dnssec.rawValue) of \(rule.pattern) needs a key to begin with, \(expected)", at: rule.location)
      return
    }
    if let mode = settings.dnssec, mode != .off {
      findings.error("dnssec \(mode.rawValue) needs a key to begin with, \(expected)", at: node.location)
    }
  }
}
