import Foundation

/// Small files of the host that a kernel, or a program, has or does not have.
enum HostFile {
  /// The text of a file; nil where there is none, or it is not for this user.
  static func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
  }

  /// What lies in a folder; nothing where there is none, or it is not for this user.
  static func names(in folder: String) -> [String] {
    // Either way there is nothing to look at.
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  /// The number that is all there is in a file; nil where there is no such file.
  static func number(_ path: String) -> Int? {
    text(path).flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
  }
}
