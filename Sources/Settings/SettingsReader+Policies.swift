import EgressPolicy
import Foundation
import IPNetwork

/// The policies that the configuration names, and what of them its other parts do not take.
extension SettingsReader {
  mutating func policies(_ node: YAMLNode?, in root: YAMLNode, under layers: PolicyLayers?) -> [ServerPolicy] {
    guard let node = required(node, "policies", "a file, a directory of *.yaml, or a list of them", in: root) else {
      return []
    }
    var policies: [ServerPolicy] = []
    if node.isSequence {
      for element in node.elements { policies += self.policies(at: element) }
    } else {
      policies = self.policies(at: node)
    }
    if let layers { policies = policies.map { $0.under(layers) } }
    findings.add(PolicyLinter.check(policies, now: now))
    for file in listsAmongPolicies where !lists.files.contains(file) {
      findings.warning(
        "is a list, which no document includes", at: SourceLocation(file: file, line: 0, column: 0))
    }
    return policies
  }

  /// Of documents and of what stands above them.
  var policyReader: PolicyReader {
    PolicyReader(
      privatePrefixes: privatePrefixes ?? [], cname: cname ?? .follow, nameChecks: nameChecks, limits: limits,
      dnssec: dnssec ?? .off)
  }

  /// A server must not be able to answer in an upstream's place.
  mutating func refuse(
    _ upstreams: [UpstreamAddress], in policies: [ServerPolicy], at location: SourceLocation
  ) {
    for upstream in upstreams {
      for policy in policies {
        guard let network = policy.networks.first(where: { $0.prefix.contains(upstream.address) }) else { continue }
        findings.error(
          "upstream \(upstream) lies in network \(network.prefix) of server \(policy.name), expected it elsewhere: "
            + "a container there could answer in its place", at: location)
      }
    }
  }

  /// A proxy's own resolver, or a VPN client's, may answer every name with an address that it made up.
  mutating func warnOfProxies(_ upstreams: [UpstreamAddress], at node: YAMLNode) {
    for upstream in upstreams {
      guard let network = Self.proxies.first(where: { $0.contains(upstream.address) }),
        !(privatePrefixes ?? []).contains(where: { $0.overlaps(network) })
      else { continue }
      findings.warning(
        "upstream \(upstream.address) is a proxy's or a VPN client's: where it answers every name from \(network), its answers are "
          + "refused; if that is meant, write `private: [ \(network) ]`", at: node.location)
    }
  }

  /// RFC 2544 and 6598, from which such resolvers answer.
  private static let proxies: [IPPrefix] = ["198.18.0.0/15", "100.64.0.0/10"].compactMap { (text: String) in
    IPPrefix(text)
  }

  /// In another mode Sluice has no rule, and these keys have no effect.
  mutating func sayWhatNeedsManaged(
    _ policies: [ServerPolicy], _ mode: FirewallSettings.Mode, at node: YAMLNode, release: YAMLNode?
  ) {
    let need = "needs firewall mode managed (it is \(mode.rawValue)): Sluice has no rule to do it with"
    for policy in policies {
      if policy.inbound != nil { findings.warning("inbound of \(policy.name) \(need)", at: policy.location) }
      if policy.asksDHCP { findings.warning("dhcp of \(policy.name) \(need)", at: policy.location) }
      for denial in policy.deniedPrefixes {
        findings.warning(
          "deny: \(denial.text), for anything but the answers of names, \(need)", at: denial.location)
      }
      if policy.interface != nil {
        findings.warning("interface of \(policy.name), for anything but queries, \(need)", at: policy.location)
      }
    }
    if let release { findings.warning("release \(need)", at: release.location) }
    findings.warning(
      "keeping containers to the networks of their servers, and networks closed that no policy governs any more, \(need)",
      at: node.location)
  }

  /// Only the rules of a managed table can count octets.
  mutating func refuseCaps(
    _ policies: [ServerPolicy], _ mode: FirewallSettings.Mode, at node: YAMLNode?
  ) {
    let expected = "expected firewall mode managed (it is \(mode.rawValue)): only its rules count octets"
    if limits != ByteLimits(), let node { findings.error("limits cannot be enforced, \(expected)", at: node.location) }
    for policy in policies {
      // What entries have of their document, or it of the configuration, is told once.
      if policy.limits != limits {
        findings.error("limits of server \(policy.name) cannot be enforced, \(expected)", at: policy.location)
      }
      if !policy.connectionCaps.isEmpty || !policy.hourCaps.isEmpty {
        for rule in policy.rules where rule.limits != policy.limits && rule.limits != ByteLimits() {
          let key = rule.maxBytes != nil ? "max-bytes" : "max-bytes-per-hour"
          findings.error("\(key) of \(rule.pattern) cannot be enforced, \(expected)", at: rule.location)
        }
      }
      if mode == .sets {
        for rule in policy.prefixes {
          findings.warning(
            "cidr \(rule.prefix) opens nothing in firewall mode sets: such rules are yours to write", at: rule.location)
        }
      }
      for rule in policy.prefixes where rule.maxBytes != nil && rule.maxBytes != policy.limits.maxBytes {
        findings.error("max-bytes of \(rule.prefix) cannot be enforced, \(expected)", at: rule.location)
      }
    }
  }

  /// Only the rules of a managed table send connections to the gate.
  mutating func refuseChecks(_ policies: [ServerPolicy], _ mode: FirewallSettings.Mode) {
    for policy in policies where policy.checksNames {
      for rule in policy.rules where rule.check != nil {
        findings.error(
          "verify: sni of \(rule.pattern) cannot be enforced, expected firewall mode managed (it is \(mode.rawValue)): only "
            + "its rules send connections to the gate", at: rule.location)
      }
    }
  }

  private mutating func policies(at node: YAMLNode) -> [ServerPolicy] {
    guard let text = findings.text(node, expected: "the path of a policy file or directory") else { return [] }
    let target = ConfigFiles.resolve(text, from: path)
    do {
      if ConfigFiles.isDirectory(target) { readFolders.insert(target) }
      guard ConfigFiles.isDirectory(target) else { return policies(inFile: target, namedAt: node.location) }
      let files = try ConfigFiles.yamlFiles(in: target)
      return files.flatMap { policies(inFile: $0, namedAt: node.location, mayBeList: true) }
    } catch {
      findings.error("\(Quoted.text(target)) \(error.reason)", at: node.location)
      return []
    }
  }

  /// - Parameter mayBeList: the file lies in a folder that is named as a whole, beside the documents that may include it.
  private mutating func policies(
    inFile file: String, namedAt location: SourceLocation, mayBeList: Bool = false
  ) -> [ServerPolicy] {
    guard note(file: file) else {
      findings.error("policy file \(Quoted.text(file)) is named twice, expected once", at: location)
      return []
    }
    do {
      let octets = try ConfigFiles.read(file)
      let tree = try YAMLReader.read(octets, name: file)
      if mayBeList, let head = tree.documents.first, ListReader.isList(head) {
        listsAmongPolicies.append(ConfigFiles.tidy(file))
        return []
      }
      var reader = policyReader
      reader.lists = lists
      let policies = tree.documents.compactMap { reader.document($0) }
      lists = reader.lists
      findings.add(reader.findings.diagnostics)
      if tree.documents.isEmpty {
        findings.warning("holds no policy document", at: SourceLocation(file: file, line: 0, column: 0))
      }
      return policies
    } catch {
      findings.add([ConfigFiles.fault(error, of: "policy file \(Quoted.text(file))", at: location)])
    }
    return []
  }
}
