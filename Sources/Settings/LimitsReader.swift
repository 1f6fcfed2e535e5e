import EgressPolicy

/// Bounds on octets, as they stand at an entry and in `limits` of a document or of the configuration.
extension FieldReader {
  static let limitKeys = ["max-bytes", "max-bytes-per-hour", "on-excess"]
  /// Less would cut a TLS handshake; more is no cap.
  private static let caps = (1 << 10)...(1 << 40)

  /// What stands among fields, else what stands further out.
  mutating func limits(_ fields: [String: YAMLNode], _ inherited: ByteLimits) -> ByteLimits {
    let excess = fields["on-excess"].flatMap { word($0, ByteBound.Excess.allCases) }
    let limits = ByteLimits(
      maxBytes: bound(fields["max-bytes"], excess, inherited.maxBytes),
      maxBytesPerHour: bound(fields["max-bytes-per-hour"], excess, inherited.maxBytesPerHour))
    if let node = fields["on-excess"], excess != nil, limits == ByteLimits(),
      Self.limitKeys.allSatisfy({ fields[$0].map(isNone) ?? true || $0 == "on-excess" })
    {
      error("on-excess has nothing to go beyond, expected max-bytes or max-bytes-per-hour beside it", at: node.location)
    }
    return limits
  }

  /// The section `limits`.
  mutating func limits(_ node: YAMLNode, _ inherited: ByteLimits) -> ByteLimits {
    limits(fields(node, of: "limits", keys: Self.limitKeys), inherited)
  }

  /// What stands without `on-excess` blocks, also where the default beside it only tells.
  private mutating func bound(
    _ node: YAMLNode?, _ excess: ByteBound.Excess?, _ inherited: ByteBound?
  ) -> ByteBound? {
    guard let node else { return inherited.map { ByteBound($0.bytes, excess ?? $0.excess) } }
    return isNone(node) ? nil : octets(node, in: Self.caps).map { ByteBound(UInt64($0), excess ?? .block) }
  }

  private func isNone(_ node: YAMLNode) -> Bool { node.text?.lowercased() == "none" }
}
