import EgressPolicy
import Foundation

/// Finds and reads the files that a configuration names.
enum ConfigFiles {
  struct Refusal: Error {
    let reason: String
  }

  /// `path` as seen from the file that names it.
  static func resolve(_ path: String, from file: String) -> String {
    if path.hasPrefix("/") { return path }
    let directory = (file as NSString).deletingLastPathComponent
    return directory.isEmpty ? path : (directory as NSString).appendingPathComponent(path)
  }

  /// The folder that a file is in.
  static func folder(of path: String) -> String {
    let folder = (path as NSString).deletingLastPathComponent
    return folder.isEmpty ? "." : folder
  }

  static func isDirectory(_ path: String) -> Bool {
    kind(of: path) == .typeDirectory
  }

  /// The octets of a regular file.
  static func read(_ path: String) throws(Refusal) -> [UInt8] {
    try checkReadable(path)
    guard let octets = FileManager.default.contents(atPath: path) else {
      throw Refusal(reason: "cannot be read")
    }
    return Array(octets)
  }

  static func checkReadable(_ path: String) throws(Refusal) {
    switch kind(of: path) {
    case nil: throw Refusal(reason: "does not exist, or its directory cannot be searched")
    case .typeRegular?: break
    case .typeDirectory?: throw Refusal(reason: "is a directory, expected a file")
    default: throw Refusal(reason: "is no regular file")
    }
    guard FileManager.default.isReadableFile(atPath: path) else {
      throw Refusal(reason: "cannot be read: permission denied")
    }
  }

  /// The `*.yaml` and `*.yml` files of a directory in order of name; hidden ones are left out.
  static func yamlFiles(in directory: String) throws(Refusal) -> [String] {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
      throw Refusal(reason: "cannot be read: permission denied")
    }
    let files = names.filter { !$0.hasPrefix(".") && ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) }.sorted()
    if files.isEmpty { throw Refusal(reason: "holds no *.yaml file, expected at least one") }
    return files.map { (directory as NSString).appendingPathComponent($0) }
  }

  /// The directory of the running executable.
  static var executableDirectory: String? {
    guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    return (path as NSString).deletingLastPathComponent
  }

  private static func kind(of path: String) -> FileAttributeType? {
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let attributes = try? FileManager.default.attributesOfItem(atPath: target)
    return attributes?[.type] as? FileAttributeType
  }
}
