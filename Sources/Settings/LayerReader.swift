import EgressPolicy

/// Reads what stands above the documents of all servers: `layers`, `always-deny` and `always-allow`.
extension SettingsReader {
  private static let layerKeys = ["name", "file"]
  private static let fileKeys = ["egress", "deny"]
  /// More would not be kept in mind by those who write them.
  static let maximumLayers = 16

  /// Nil where there is none.
  mutating func layers(_ fields: [String: YAMLNode]) -> PolicyLayers? {
    var layers: [PolicyLayers.Layer] = []
    if let node = fields["always-deny"] {
      let (denials, prefixes) = reading { $0.denials(node) }
      layers.append(
        PolicyLayers.Layer(name: PolicyLayers.alwaysDeny, denials: denials, deniedPrefixes: prefixes))
    }
    if let node = fields["always-allow"] {
      let (rules, prefixes) = reading { $0.entries(node) }
      layers.append(PolicyLayers.Layer(name: PolicyLayers.alwaysAllow, rules: rules, prefixes: prefixes))
    }
    if let node = fields["layers"] { layers += files(node) }
    return layers.isEmpty ? nil : PolicyLayers(layers, private: privatePrefixes ?? [])
  }

  private mutating func files(_ node: YAMLNode) -> [PolicyLayers.Layer] {
    var layers: [PolicyLayers.Layer] = []
    for element in findings.list(node, of: "layers such as { name: organisation, file: organisation.yaml }")
      ?? YAMLChildren.none(in: node)
    {
      guard let layer = layer(element) else { continue }
      if layers.contains(where: { $0.name == layer.name }) {
        findings.error("layer \(layer.name) stands already in this list, expected once", at: element.location)
      }
      layers.append(layer)
    }
    if layers.count > Self.maximumLayers {
      findings.error("\(layers.count) layers, expected at most \(Self.maximumLayers)", at: node.location)
    }
    return layers
  }

  private mutating func layer(_ node: YAMLNode) -> PolicyLayers.Layer? {
    let fields = findings.fields(node, of: "a layer", keys: Self.layerKeys)
    guard node.isMapping, let name = required(fields["name"], "name", "the layer's name", in: node),
      let text = findings.text(name, expected: "the layer's name"),
      let file = required(fields["file"], "file", "the path of a file with 'egress' or 'deny'", in: node),
      let target = findings.text(file, expected: "the path of a file")
    else { return nil }
    let isReserved = [PolicyLayers.alwaysDeny, PolicyLayers.alwaysAllow].contains(text)
    if let fault = isReserved ? .reserved : ServerName.fault(of: text), isReserved || fault != .reserved {
      findings.error(
        "layer name \(Quoted.text(text)) \(isReserved ? "is the name of a key" : fault.reason), expected "
          + "a name of a-z, 0-9, '-' and '_' that begins with a letter", at: name.location)
    }
    return contents(of: ConfigFiles.resolve(target, from: path), named: text, at: file.location)
  }

  private mutating func contents(
    of file: String, named name: String, at location: SourceLocation
  ) -> PolicyLayers.Layer? {
    // Also one that cannot be read: what puts it right is a reload.
    layerFiles.insert(file)
    guard note(file: file) else {
      findings.error("file \(Quoted.text(file)) is named twice, expected once", at: location)
      return nil
    }
    do {
      let tree = try YAMLReader.read(try ConfigFiles.read(file), name: file)
      guard let root = tree.documents.first, tree.documents.count == 1 else {
        let whole = SourceLocation(file: file, line: 0, column: 0)
        findings.error("holds \(tree.documents.count) documents, expected one with 'egress' or 'deny'", at: whole)
        return nil
      }
      let fields = findings.fields(root, of: "a layer's file", keys: Self.fileKeys)
      if root.isMapping, fields.isEmpty {
        findings.error("a layer's file has neither 'egress' nor 'deny', expected one of them", at: root.location)
      }
      let (rules, prefixes) = fields["egress"].map { node in reading { $0.entries(node) } } ?? ([], [])
      let (denials, denied) = fields["deny"].map { node in reading { $0.denials(node) } } ?? ([], [])
      return PolicyLayers.Layer(name: name, rules: rules, prefixes: prefixes, denials: denials, deniedPrefixes: denied)
    } catch {
      findings.add([ConfigFiles.fault(error, of: "file \(Quoted.text(file)) of layer \(name)", at: location)])
    }
    return nil
  }

  /// Has a reader of policies read something, and takes over what it found.
  private mutating func reading<Value>(_ body: (inout PolicyReader) -> Value) -> Value {
    var reader = policyReader
    let value = body(&reader)
    findings.add(reader.findings.diagnostics)
    return value
  }
}
