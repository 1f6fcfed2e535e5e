import Foundation

/// The files of this host, or of an image that is unpacked in a folder: links in there lead nowhere else.
struct HostTree {
  /// Far longer than a configuration of a client.
  private static let maximumOctets = 1 << 20
  private static let maximumLinks = 40

  /// `/` for this host.
  let root: String
  /// What the user's programs are told; nothing of an image.
  let environment: [String: String]

  init(root: String = "/", environment: [String: String] = ProcessInfo.processInfo.environment) {
    self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
    self.environment = self.root.isEmpty ? environment : [:]
  }

  var isThisHost: Bool { root.isEmpty }

  /// The folders of those who may have a configuration of their own: this user's, or of an image all there are.
  var homes: [String] {
    if isThisHost { return environment["HOME"].map { [$0] } ?? [] }
    return ["/root"] + names(in: "/home").map { "/home/\($0)" }
  }

  /// The text of a file; nil where there is none that is a file, and for one that is too long.
  func text(_ path: String) -> String? {
    guard let place = resolved(path) else { return nil }
    // What is not there, or not for this user, says nothing.
    guard let attributes = try? FileManager.default.attributesOfItem(atPath: place),
      attributes[.type] as? FileAttributeType == .typeRegular,
      let size = attributes[.size] as? Int, size <= Self.maximumOctets
    else { return nil }
    return HostFile.text(place)
  }

  /// The names in a folder, in order; none where there is no such folder.
  func names(in folder: String) -> [String] { resolved(folder).map { HostFile.names(in: $0) } ?? [] }

  /// The files of a folder whose names end so.
  func files(in folder: String, _ ending: String) -> [String] {
    names(in: folder).filter { $0.hasSuffix(ending) && !$0.hasPrefix(".") }.map { "\(folder)/\($0)" }
  }

  /// The lines of a file, each with its number; none where there is no such file.
  func lines(_ path: String) -> [(number: Int, text: String)] {
    text(path).map(Self.lines(of:)) ?? []
  }

  static func lines(of text: String) -> [(number: Int, text: String)] {
    text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().map { ($0 + 1, String($1)) }
  }

  /// Where a path leads, with every link taken as it is meant in the image; nil where links go round.
  private func resolved(_ path: String) -> String? {
    guard !isThisHost else { return path }
    var rest = path.split(separator: "/").map(String.init)[...]
    var found: [String] = []
    var links = 0
    while let part = rest.popFirst() {
      switch part {
      case ".": continue
      case "..": _ = found.popLast()
      default:
        // What is no link is the thing itself.
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: place(found + [part])) else {
          found.append(part)
          continue
        }
        links += 1
        guard links <= Self.maximumLinks else { return nil }
        if target.hasPrefix("/") { found = [] }
        rest = (target.split(separator: "/").map(String.init) + rest)[...]
      }
    }
    return place(found)
  }

  private func place(_ parts: [String]) -> String { root + "/" + parts.joined(separator: "/") }
}
