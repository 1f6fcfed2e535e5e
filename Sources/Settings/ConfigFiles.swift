import EgressPolicy
import Foundation

/// Finds and reads the files that a configuration names.
enum ConfigFiles {
  struct FileError: Error {
    let reason: String
  }

  /// `path` as seen from the file that names it.
  static func resolve(_ path: String, from file: String) -> String {
    if path.hasPrefix("/") { return path }
    let directory = (file as NSString).deletingLastPathComponent
    return directory.isEmpty ? path : (directory as NSString).appendingPathComponent(path)
  }

  /// The same path without `.` among its parts; `..` may stand behind a link, and stays.
  static func tidy(_ path: String) -> String {
    let parts = path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    return path.hasPrefix("/") ? "/" + parts : parts
  }

  /// One text for each file, however it is named.
  static func identity(of path: String) -> String {
    URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
  }

  /// What is told of a file that could not be read as YAML: a fault in it where it is, any other where the file is named.
  ///
  /// - Parameter subject: what stands before the reason.
  static func fault(_ error: any Error, of subject: String, at location: SourceLocation) -> Diagnostic {
    switch error {
    case let fault as Diagnostic: fault
    case let error as FileError: .error("\(subject) \(error.reason)", at: location)
    default: .error("\(subject) cannot be read", at: location)
    }
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
  static func read(_ path: String) throws(FileError) -> [UInt8] {
    try checkReadable(path)
    guard let octets = FileManager.default.contents(atPath: path) else {
      throw FileError(reason: "cannot be read")
    }
    return Array(octets)
  }

  static func checkReadable(_ path: String) throws(FileError) {
    if let fault = fault(of: path) { throw fault }
  }

  /// Why a path is no file that can be read; nil where it is one.
  static func fault(of path: String) -> FileError? {
    switch kind(of: path) {
    case nil: return FileError(reason: "does not exist, or its directory cannot be searched")
    case .typeRegular?: break
    case .typeDirectory?: return FileError(reason: "is a directory, expected a file")
    default: return FileError(reason: "is no regular file")
    }
    let isReadable = FileManager.default.isReadableFile(atPath: path)
    return isReadable ? nil : FileError(reason: "cannot be read: permission denied")
  }

  /// The `*.yaml` and `*.yml` files of a directory in order of name; hidden ones are left out.
  static func yamlFiles(in directory: String) throws(FileError) -> [String] {
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: directory)
    } catch {
      throw FileError(reason: "cannot be read: permission denied")
    }
    let files = names.filter { !$0.hasPrefix(".") && ($0.hasSuffix(".yaml") || $0.hasSuffix(".yml")) }.sorted()
    if files.isEmpty { throw FileError(reason: "holds no *.yaml file, expected at least one") }
    return files.map { (directory as NSString).appendingPathComponent($0) }
  }

  /// The directory of the running executable; `link` is the kernel's to it.
  static func executableDirectory(link: String = "/proc/self/exe") -> String? {
    // Read and not resolved: of an executable that was replaced since it also says where it was. There is no link without /proc.
    guard let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link) else { return nil }
    return (path as NSString).deletingLastPathComponent
  }

  private static func kind(of path: String) -> FileAttributeType? {
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    // What has no attributes is not there, or not for this user: both are said in one sentence.
    let attributes = try? FileManager.default.attributesOfItem(atPath: target)
    return attributes?[.type] as? FileAttributeType
  }
}
