import Foundation
import Testing

@testable import Settings

/// `Documentation/schema`, by which editors complete and check the files.
@Suite("JSON Schema of the files")
struct SchemaTests {
  private static func schema(_ name: String) throws -> [String: Any] {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let octets = try Data(contentsOf: root.appendingPathComponent("Documentation/schema/\(name).schema.json"))
    return try #require(try JSONSerialization.jsonObject(with: octets) as? [String: Any])
  }

  /// The properties of an object, which takes no others.
  private static func keys(_ schema: Any?) throws -> [String] {
    let object = try #require(schema as? [String: Any])
    let forms = [object] + (object["anyOf"] as? [[String: Any]] ?? [])
    let form = try #require(forms.first { $0["properties"] != nil })
    #expect(form["additionalProperties"] as? Bool == false)
    return try #require(form["properties"] as? [String: Any]).keys.sorted()
  }

  @Test("of a policy document it has the keys that the reader has, and of an entry too")
  func policy() throws {
    let schema = try Self.schema("policy")
    #expect(try Self.keys(schema) == PolicyReader.documentKeys.sorted())
    let definitions = try #require(schema["definitions"] as? [String: Any])
    #expect(try Self.keys(definitions["entry"]) == PolicyReader.entryKeys.sorted())
    let properties = try #require(schema["properties"] as? [String: Any])
    #expect(try Self.keys(properties["limits"]) == FieldReader.limitKeys.sorted())
  }

  @Test("of the configuration it has the keys that the reader has, and of each section")
  func configuration() throws {
    let schema = try Self.schema("configuration")
    #expect(try Self.keys(schema) == SettingsReader.keys.sorted())
    let properties = try #require(schema["properties"] as? [String: Any])
    for (section, keys) in SettingsReader.sections {
      #expect(try Self.keys(properties[section]) == keys.sorted(), "\(section)")
    }
    #expect(try Self.keys(properties["limits"]) == FieldReader.limitKeys.sorted())
    let forward = try #require(properties["forward"] as? [String: Any])
    #expect(try Self.keys(forward["items"]) == SettingsReader.forwardKeys.sorted())
  }
}
