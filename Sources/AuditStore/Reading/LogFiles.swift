import LinuxIO

/// The files of a log: `path`, `path.1` and so on, each of these as it is or compressed.
struct LogFiles: Sendable {
  /// Rotated files are looked for up to this number.
  static let maxNumber = 1000
  /// What a rotated file's name may end with.
  static let suffixes = ["", ".zst"]

  let path: String

  /// Whether any of the files is there; true as well where that cannot be told, which is for the reader to say.
  var areThere: Bool {
    do throws(SystemError) {
      for number in 0...Self.maxNumber {
        for suffix in number == 0 ? [""] : Self.suffixes
        where try LogSourceFile(path: number == 0 ? path : "\(path).\(number)\(suffix)") != nil {
          return true
        }
      }
      return false
    } catch {
      return true
    }
  }

  /// Opens the files, newest first and in that order: a rotation meanwhile shows one twice, and hides none; what is
  /// shown twice, by name or because it is there compressed as well, is left out.
  ///
  /// - Throws: when a file is there and cannot be opened.
  func open() throws(SystemError) -> [LogSourceFile] {
    DescriptorLimit.raise()
    var identities: Set<FileIdentity> = []
    var beginnings: Set<[UInt8]> = []
    var files: [LogSourceFile] = []
    for number in 0...Self.maxNumber {
      for suffix in number == 0 ? [""] : Self.suffixes {
        guard let file = try LogSourceFile(path: number == 0 ? path : "\(path).\(number)\(suffix)"),
          identities.insert(file.identity).inserted
        else { continue }
        if let beginning = try file.firstLine(), !beginnings.insert(beginning).inserted { continue }
        files.append(file)
      }
    }
    return files
  }
}
