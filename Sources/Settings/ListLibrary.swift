import EgressPolicy
import Foundation

/// The lists that documents may include, by name in some folders or by their files; each is read once.
struct ListLibrary {
  /// As many names as people read.
  private static let shown = 20
  /// Entries that all documents together include: each stands in the tables of its server, some 80 octets, twice at a reload.
  static let maximumIncluded = 2_000_000

  /// Looked through in order.
  var folders: [String]
  /// Every file that was asked for, whether it could be read or not: the one that mends a fault is watched, too.
  private(set) var files: Set<String> = []
  private var known: [String: ListFile?] = [:]
  /// Entries that documents included so far.
  var included = 0

  init(folders: [String]) { self.folders = folders }

  /// The list that a document at `file` means; nil where there is none that can be read, which `findings` are told.
  mutating func list(
    _ reference: ListReference, from file: String, at location: SourceLocation, _ findings: inout FieldReader
  ) -> ListFile? {
    switch reference {
    case .file(let path):
      let target = ConfigFiles.tidy(ConfigFiles.resolve(path, from: file))
      return read(target, expectedName: nil, at: location, &findings)
    case .named(let name, _):
      guard let target = Self.file(of: name, in: folders) else {
        files.formUnion(folders.map { "\($0)/\(name).yaml" })
        findings.error(unknown(name), at: location)
        return nil
      }
      return read(target, expectedName: name, at: location, &findings)
    }
  }

  private mutating func read(
    _ file: String, expectedName: String?, at location: SourceLocation, _ findings: inout FieldReader
  ) -> ListFile? {
    if let list = known[file] { return list }
    files.insert(file)
    var list: ListFile?
    do {
      list = try ListReader.read(try ConfigFiles.read(file), file: file, expectedName: expectedName, &findings)
    } catch {
      findings.add([ConfigFiles.fault(error, of: "list \(Quoted.text(file))", at: location)])
    }
    known[file] = .some(list)
    return list
  }

  /// The file of a list in the first of some folders that has it.
  static func file(of name: String, in folders: [String]) -> String? {
    folders.lazy.map { "\($0)/\(name).yaml" }.first { FileManager.default.fileExists(atPath: $0) }
  }

  /// The names of the lists in some folders; none in a folder that cannot be read.
  static func names(in folders: [String]) -> [String] {
    let files = folders.flatMap { folder in
      // What cannot be listed has no name to offer; a list in it that is asked for says why it cannot be read.
      (try? ConfigFiles.yamlFiles(in: folder)) ?? []
    }
    let names = files.map { (($0 as NSString).lastPathComponent as NSString).deletingPathExtension }
    return Set(names.filter(ListReference.isName)).sorted()
  }

  private func unknown(_ name: String) -> String {
    let names = Self.names(in: folders)
    guard !names.isEmpty else {
      let places = folders.isEmpty ? "no folder has lists" : "there is none in \(folders.joined(separator: ", "))"
      return
        "there is no list \(name): \(places); expected `lists:` in the configuration, or a path such as ./\(name).yaml"
    }
    let meant = EditDistance.nearest(to: name, among: names).map { ", did you mean \($0)?" } ?? ""
    let listed = EditDistance.nearestFirst(names, to: name).prefix(Self.shown).joined(separator: ", ")
    return "there is no list \(name)\(meant); lists: \(listed)\(names.count > Self.shown ? ", …" : "")"
  }
}
