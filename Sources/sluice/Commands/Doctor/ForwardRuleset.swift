import Foundation
import IPNetwork

/// The chains that packets go through which the host forwards, or which it receives, as `nft -j list ruleset` prints them
/// (libnftables-json(5)).
struct ForwardRuleset {
  struct BaseChain {
    /// Family, table and chain, as `inet filter-mcp forward`.
    var name: String
    var priority: Int
    /// Whether its policy is drop.
    var isClosed: Bool
  }

  private var bases: [BaseChain] = []
  /// By family, table and chain.
  private(set) var rules: [String: [[JSONValue]]] = [:]
  /// By family, table and name.
  private(set) var sets: Set<String> = []
  /// Those of them that hold addresses without ports.
  private(set) var plainSets: Set<String> = []
  /// The elements of maps, by family, table and name.
  private(set) var maps: [String: JSONValue] = [:]

  /// - Parameters:
  ///   - listings: of all tables, or of one each.
  ///   - hook: `forward` or `input`.
  /// - Throws: for what is no ruleset.
  init(_ listings: String..., hook: String = "forward") throws { try self.init(listings, hook: hook) }

  init(_ listings: [String], hook: String) throws {
    for listing in listings { try add(listing, hook) }
  }

  private mutating func add(_ json: String, _ hook: String) throws {
    let listing = try JSONDecoder().decode([String: JSONValue].self, from: Data(json.utf8))
    guard case .array(let objects)? = listing["nftables"] else { return }
    for object in objects {
      if let chain = object["chain"], let name = Self.name(chain, chain["name"]) {
        guard chain["hook"]?.text == hook else { continue }
        bases.append(
          BaseChain(
            name: name, priority: chain["prio"]?.number ?? 0, isClosed: chain["policy"]?.text == "drop"))
      } else if let rule = object["rule"], let name = Self.name(rule, rule["chain"]),
        case .array(let statements)? = rule["expr"]
      {
        rules[name, default: []].append(statements)
      } else if let set = object["set"], let name = Self.name(set, set["name"]) {
        sets.insert(name)
        if set["type"]?.text != nil { plainSets.insert(name) }
      } else if let map = object["map"], let name = Self.name(map, map["name"]) {
        maps[name] = map["elem"] ?? .array([])
      }
    }
  }

  private static func name(_ object: JSONValue, _ name: JSONValue?) -> String? {
    guard let family = object["family"]?.text, let table = object["table"]?.text, let name = name?.text else {
      return nil
    }
    return "\(family) \(table) \(name)"
  }

  /// What of the same table has a name.
  static func sibling(_ name: String, of chain: String) -> String {
    chain.split(separator: " ").prefix(2).joined(separator: " ") + " " + name
  }

  /// Puts a rule in thought behind those of a chain.
  mutating func append(_ rule: [JSONValue], to chain: String) {
    rules[chain, default: []].append(rule)
  }

  /// Those that a packet of a family passes, in order.
  func forward(_ family: IPAddress.Family) -> [BaseChain] {
    let own = family == .v4 ? "ip" : "ip6"
    return bases.filter { chain in ["inet ", "\(own) "].contains { chain.name.hasPrefix($0) } }
      .sorted { $0.priority < $1.priority }
  }
}

/// Any value of JSON.
enum JSONValue: Decodable, Equatable {
  case object([String: JSONValue])
  case array([JSONValue])
  case string(String)
  case integer(Int)
  case other

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    do {
      self = .object(try container.decode([String: JSONValue].self))
    } catch DecodingError.typeMismatch, DecodingError.valueNotFound {
      self = try Self.scalar(container)
    }
  }

  private static func scalar(_ container: any SingleValueDecodingContainer) throws -> JSONValue {
    if container.decodeNil() { return .other }
    do {
      return .array(try container.decode([JSONValue].self))
    } catch DecodingError.typeMismatch {}
    do {
      return .string(try container.decode(String.self))
    } catch DecodingError.typeMismatch {}
    do {
      return .integer(try container.decode(Int.self))
    } catch {
      // Fractions and truth values, of which no rule's meaning here depends.
      return .other
    }
  }

  subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  var text: String? { if case .string(let text) = self { text } else { nil } }
  var number: Int? { if case .integer(let number) = self { number } else { nil } }
}
