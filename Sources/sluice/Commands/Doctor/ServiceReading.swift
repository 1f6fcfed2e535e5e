import EgressPolicy
import Glibc
import Serving
import Settings

/// Whether the service's user may read the files that serve reads at every reload; for `check` and `doctor`.
///
/// Root reads them all, and so does the serve that root starts: what fails is the reload, and the unit at the next boot.
enum ServiceReading {
  struct Fault: Equatable {
    var path: String
    var text: String
    /// The command that mends it.
    var remedy: String
  }

  /// By path; none where it cannot be known.
  static func faults(_ settings: Settings, _ configuration: String) -> [Fault] {
    guard let account = Privileges.known(settings.user), account.user != 0 else { return [] }
    let zones = settings.zones.compactMap { if case .file(let path, _) = $0 { path } else { nil } }
    let files = Set(
      [configuration] + settings.policyFiles + zones
        + UpstreamTrust.authorities(of: settings))
    // A folder that is named as a whole is listed, and one that is watched is opened.
    let folders = settings.wholeFolders.union(settings.watches ? settings.folders : [])
    var needs: [String: mode_t] = [:]
    for (paths, bits) in [(files, 0o4), (folders, 0o5)] as [(Set<String>, mode_t)] {
      for path in paths { needs[ConfigurationOption.absolute(path), default: 0] |= bits }
    }
    let faults = files.sorted().map { ($0, barrier(to: $0, needs, account)) }
    let known = Set(faults.compactMap(\.1))
    let further = folders.sorted().map { ($0, barrier(to: $0, needs, account)) }.filter { !known.contains($0.1 ?? "") }
    return (faults + further).compactMap { path, remedy in
      remedy.map { Fault(path: path, text: text(settings.user, path), remedy: $0) }
    }
  }

  private static func text(_ user: ServiceUser, _ path: String) -> String {
    "user \(user.name) cannot read \(path): a reload refuses it, and the service does not start with it"
  }

  static func check(_ settings: Settings, _ configuration: String) -> [Diagnostic] {
    faults(settings, configuration).map {
      .warning("\($0.text); expected: \($0.remedy)", at: SourceLocation(file: $0.path, line: 0, column: 0))
    }
  }

  /// The command that takes away what keeps an account from a path; nil where nothing does.
  ///
  /// - Parameter needs: of the mode, for others, by path; folders on the way are entered in any case.
  private static func barrier(
    to path: String, _ needs: [String: mode_t], _ account: Privileges.Account
  ) -> String? {
    let parts = ConfigurationOption.absolute(path).split(separator: "/")
    for count in parts.indices.map({ $0 + 1 }) {
      let way = "/" + parts.prefix(count).joined(separator: "/")
      let bits = needs[way, default: 0] | (count < parts.count ? 0o1 : 0)
      if let remedy = remedy(way, bits, account) { return remedy }
    }
    return nil
  }

  /// Opens the path to the service's group and to nobody else; a group of its own stays, and then others get what is needed.
  private static func remedy(_ path: String, _ bits: mode_t, _ account: Privileges.Account) -> String? {
    var status = stat()
    // What is not there is another fault.
    guard unsafe stat(path, &status) == 0 else { return nil }
    let shift: UInt32 = status.st_uid == account.user ? 6 : status.st_gid == account.group ? 3 : 0
    guard status.st_mode >> shift & bits != bits else { return nil }
    let words = (bits & 0o4 != 0 ? "r" : "") + (bits & 0o1 != 0 ? "x" : "")
    if shift == 6 { return "chmod u+\(words) \(path)" }
    if shift == 3 { return "chmod g+\(words) \(path)" }
    let isRootsAlone = status.st_gid == 0 || status.st_mode & 0o070 == 0
    return isRootsAlone
      ? "chgrp \(group(account)) \(path) && chmod g=\(words) \(path)" : "chmod o+\(words) \(path)"
  }

  private static func group(_ account: Privileges.Account) -> String {
    guard let entry = unsafe getgrgid(account.group), let name = unsafe entry.pointee.gr_name else {
      return "\(account.group)"
    }
    return unsafe String(cString: name)
  }
}
