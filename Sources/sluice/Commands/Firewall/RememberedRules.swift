import Foundation
import Glibc
import LinuxIO
import Serving

/// The rules that were last in force, in a file of root's for the boot at which the configuration is broken.
///
/// nft's own text: it holds whatever becomes of the plan's format. Between two marks, so that half a file is none.
struct RememberedRules: Equatable {
  /// Where the units keep it (`StateDirectory=`).
  static let folder = "/var/lib/sluice"
  static let fileName = "rules.nft"
  private static let mark = "# sluice rules 1"
  private static let end = "# end of the rules\n"
  private static let mostOctets = 64 << 20

  /// The table of family inet; nil where `firewall.mode` left the rules to their owner, and there is nothing to install.
  var table: String?
  /// RFC 3339.
  var time: String
  /// For `nft -f`; empty without a table.
  var text: String

  init(table: String?, time: String, text: String) {
    (self.table, self.time, self.text) = (table, time, text)
  }

  // MARK: - The file

  /// What `folder` holds; nil where there is no file.
  ///
  /// - Throws: `StartError` for a file that another than this user could have written, or that is not whole.
  static func read(_ folder: String) throws(StartError) -> RememberedRules? {
    guard let directory = try open(folder) else { return nil }
    let raw = unsafe openat(directory.raw, fileName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard raw >= 0 else {
      if errno == ENOENT { return nil }
      throw fault(folder, "open")
    }
    let file = FileDescriptor(raw)
    let status = try trusted(file, S_IFREG, "\(folder)/\(fileName)")
    guard status.st_size <= mostOctets else { throw StartError("\(folder)/\(fileName) is too large") }
    var octets = [UInt8](repeating: 0, count: Int(status.st_size))
    var count = 0
    while count < octets.count {
      let got = unsafe octets[count...].withUnsafeMutableBytes { unsafe Glibc.read(file.raw, $0.baseAddress, $0.count) }
      guard got > 0 else { throw fault(folder, "read") }
      count += got
    }
    guard let rules = RememberedRules(parsing: String(decoding: octets, as: UTF8.self)) else {
      throw StartError("\(folder)/\(fileName) is not whole")
    }
    return rules
  }

  /// Puts these in the place of the former ones: a file of mode 0600, made beside them and renamed.
  ///
  /// - Throws: `StartError` where the folder is not this user's alone, or the file system refuses.
  func write(_ folder: String) throws(StartError) {
    if unsafe mkdir(folder, 0o700) != 0, errno != EEXIST { throw Self.fault(folder, "mkdir") }
    guard let directory = try Self.open(folder) else { throw Self.fault(folder, "open") }
    let temporary = ".\(Self.fileName).\(getpid())"
    // Left by a process of the same number that was killed.
    _ = unsafe unlinkat(directory.raw, temporary, 0)
    let raw = unsafe openat(directory.raw, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard raw >= 0 else { throw Self.fault(folder, "open") }
    let file = FileDescriptor(raw)
    var octets = Array(description.utf8)[...]
    while !octets.isEmpty {
      let count = unsafe octets.withUnsafeBytes { unsafe Glibc.write(file.raw, $0.baseAddress, $0.count) }
      guard count > 0 else { throw Self.fault(folder, "write") }
      octets = octets.dropFirst(count)
    }
    guard fsync(file.raw) == 0, unsafe renameat(directory.raw, temporary, directory.raw, Self.fileName) == 0,
      fsync(directory.raw) == 0
    else { throw Self.fault(folder, "rename") }
  }

  /// The folder, if there is one and only this user writes to it.
  private static func open(_ folder: String) throws(StartError) -> FileDescriptor? {
    let raw = unsafe Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard raw >= 0 else {
      if errno == ENOENT { return nil }
      throw fault(folder, "open")
    }
    let directory = FileDescriptor(raw)
    _ = try trusted(directory, S_IFDIR, folder)
    return directory
  }

  /// What is executed with privilege is written by no other user.
  @discardableResult
  private static func trusted(
    _ file: borrowing FileDescriptor, _ kind: mode_t, _ path: String
  ) throws(StartError) -> stat {
    var status = stat()
    guard unsafe fstat(file.raw, &status) == 0, status.st_mode & S_IFMT == kind else {
      throw StartError("\(path) is not what it should be")
    }
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw StartError(
        "\(path) belongs to uid \(status.st_uid) with mode \(String(status.st_mode & 0o7777, radix: 8)): "
          + "expected uid \(geteuid()), and nobody else who may write")
    }
    return status
  }

  private static func fault(_ folder: String, _ call: StaticString) -> StartError {
    StartError("\(folder): \(SystemError(call: call, errno: errno))")
  }
}

extension RememberedRules: CustomStringConvertible {
  /// The file's text.
  var description: String {
    "\(Self.mark)\n# table: \(table.map { "inet \($0)" } ?? "none")\n# time: \(time)\n\(text)\(Self.end)"
  }

  /// Reads `description` back; nil where it is not whole.
  init?(parsing text: String) {
    let lines = text.split(separator: "\n", maxSplits: 3, omittingEmptySubsequences: false)
    guard lines.count == 4, lines[0] == Self.mark, lines[1].hasPrefix("# table: "), lines[2].hasPrefix("# time: "),
      lines[3] == Self.end || lines[3].hasSuffix("\n" + Self.end)
    else { return nil }
    let table = lines[1].dropFirst("# table: ".count)
    guard table == "none" || table.hasPrefix("inet ") else { return nil }
    self.init(
      table: table == "none" ? nil : String(table.dropFirst(5)), time: String(lines[2].dropFirst("# time: ".count)),
      text: String(lines[3].dropLast(Self.end.count)))
  }
}
