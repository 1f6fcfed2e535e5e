package import IPNetwork

/// What stands above the documents of all servers: files of an organisation, and what the operator always denies and allows.
///
/// One object for all servers, so that two policies are compared once.
package final class PolicyLayers: Sendable {
  /// One of them. What it holds says its name (`RuleList.stand`).
  package struct Layer: Sendable {
    /// As events and commands say it.
    package let name: String
    /// What every server may reach.
    package let rules: RuleList
    package let prefixes: [StaticPrefixRule]
    /// What no server may reach.
    package let denials: RuleList
    package let deniedPrefixes: [PrefixDenial]

    package init(
      name: String, rules: RuleList = [], prefixes: [StaticPrefixRule] = [], denials: RuleList = [],
      deniedPrefixes: [PrefixDenial] = []
    ) {
      self.name = name
      var (rules, denials) = (rules, denials)
      rules.stand(in: name)
      denials.stand(in: name)
      self.rules = rules
      self.prefixes = prefixes.map { prefix in
        var prefix = prefix
        prefix.layer = name
        return prefix
      }
      self.denials = denials
      self.deniedPrefixes = deniedPrefixes.map {
        PrefixDenial(prefix: $0.prefix, location: $0.location, layer: name)
      }
    }
  }

  /// What the configuration itself says is in layers of these names.
  package static let alwaysDeny = "always-deny"
  package static let alwaysAllow = "always-allow"

  package let layers: [Layer]
  /// Of all of them.
  package let denials: RuleList
  package let deniedPrefixes: [PrefixDenial]
  /// What the configuration admits for their entries that say nothing of it.
  let privatePrefixes: [IPPrefix]
  /// Of `denials`, so that two are compared at once.
  let fingerprint: String

  /// - Parameter layers: in the order in which they are told.
  package init(_ layers: [Layer], private prefixes: [IPPrefix] = []) {
    self.layers = layers
    privatePrefixes = prefixes
    deniedPrefixes = layers.flatMap(\.deniedPrefixes)
    denials = RuleList(layers.lazy.flatMap(\.denials))
    fingerprint = denials.isEmpty ? "" : PolicyFingerprint.text(denials: denials)
  }
}

extension ServerPolicy {
  /// The policy with what the layers let every server reach; what they deny is denied to it as well.
  package func under(_ layers: PolicyLayers) -> ServerPolicy {
    var rules = rules
    for layer in layers.layers {
      for rule in layer.rules { rules.append(rule) }
    }
    var policy = reaching(rules, prefixes + layers.layers.flatMap(\.prefixes))
    policy.layers = layers
    return policy
  }

  /// Whether some name is denied, whatever allows it.
  package var deniesNames: Bool { !denials.isEmpty || layers?.denials.isEmpty == false }

  /// Whether both deny the same addresses, wherever that is written.
  package func deniesAddressesLike(_ other: ServerPolicy) -> Bool {
    Set(prefixDenials.map(\.prefix)) == Set(other.prefixDenials.map(\.prefix))
  }

  /// Whether both deny the same names, wherever that is written.
  package func deniesLike(_ other: ServerPolicy) -> Bool {
    denials.listsLike(other.denials) && layers?.fingerprint ?? "" == other.layers?.fingerprint ?? ""
  }

  /// What names are looked up in: what allows, and behind it what denies.
  var compiled: RuleList {
    guard deniesNames else { return rules }
    var list = rules
    for denials in [denials, layers?.denials ?? []] where !denials.isEmpty { list.deny(denials) }
    return list
  }

  /// The same policy, as if nothing were denied.
  var withoutDenials: ServerPolicy {
    var policy = self
    (policy.denials, policy.layers) = ([], nil)
    return policy
  }
}
