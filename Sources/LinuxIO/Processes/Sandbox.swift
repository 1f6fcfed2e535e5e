import CLinux
import Glibc

/// What a process may still ask of the kernel from some point on: which system calls (seccomp(2)), and which files
/// (landlock(7), as far as the kernel has it). It cannot be left, and children and programs inherit it.
///
/// It is the calling thread's, and of those that this one starts later: each thread that was there before enters it too,
/// and `strays` finds one that was forgotten.
package struct Sandbox: Sendable {
  /// Whose system calls.
  package enum Profile: Int32, Sendable {
    /// Parses what comes from outside, and starts no program.
    case serve
    /// Changes the firewall by netlink, and starts itself and `nft`.
    case bridge
    /// Takes connections and makes others, and starts nothing.
    case gate
    /// The same, and starts itself as the former.
    case gateKeeper
    /// Has the socket that it was started with, and memory.
    case validator
    /// Starts itself and has no socket but those it was started with; what it starts may confine itself further.
    case keeper
  }

  /// What a path is for; see `SLUICE_PATH_…`.
  package struct Use: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It and what is below it is read.
    package static let read = Use(rawValue: UInt32(SLUICE_PATH_READ))
    /// Files that are there are read and written.
    package static let set = Use(rawValue: UInt32(SLUICE_PATH_SET))
    /// Files in it are read, written, made, renamed and removed.
    package static let fill = Use(rawValue: UInt32(SLUICE_PATH_FILL))
    /// Files in it are removed.
    package static let clear = Use(rawValue: UInt32(SLUICE_PATH_CLEAR))
    /// Programs in it are executed.
    package static let execute = Use(rawValue: UInt32(SLUICE_PATH_EXECUTE))
  }

  /// The version of Landlock that has all that is used here: Linux 6.12.
  package static let newestLandlock: Int32 = 6

  private final class Ruleset: Sendable {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  private let profile: Profile
  /// Of Landlock; 0 where the kernel, or what runs this process, has none.
  package let version: Int32
  private let ruleset: Ruleset?

  /// - Parameters:
  ///   - keepsAbstractSockets: those of other processes stay within reach.
  ///   - newest: the highest version of Landlock that is made use of.
  /// - Throws: when the kernel has Landlock and refuses it.
  package init(
    _ profile: Profile, keepsAbstractSockets: Bool = false, newest: Int32 = Sandbox.newestLandlock
  ) throws(SystemError) {
    self.profile = profile
    version = sluice_landlock_version(newest)
    guard version > 0 else {
      ruleset = nil
      return
    }
    let raw = sluice_landlock_new(version, profile.rawValue, keepsAbstractSockets ? 1 : 0)
    guard raw >= 0 else { throw SystemError(call: "landlock_create_ruleset", errno: -raw) }
    ruleset = Ruleset(FileDescriptor(raw))
  }

  /// Keeps a path, which stays the one that has the name now; one that is not there, or cannot be reached, is left out.
  package func keep(_ path: String, _ use: Use) throws(SystemError) {
    guard let ruleset else { return }
    let error = unsafe sluice_landlock_allow(ruleset.descriptor.raw, version, path, -1, use.rawValue)
    guard [0, ENOENT, ENOTDIR, EACCES].contains(error) else {
      throw SystemError(call: "landlock_add_rule", errno: error)
    }
  }

  /// Keeps what a descriptor stands for.
  package func keep(descriptor: Int32, _ use: Use) throws(SystemError) {
    guard let ruleset else { return }
    let error = sluice_landlock_allow(ruleset.descriptor.raw, version, nil, descriptor, use.rawValue)
    guard error == 0 else { throw SystemError(call: "landlock_add_rule", errno: error) }
  }

  /// Keeps the folders from which this executable's libraries came.
  func keepLibraries() throws(SystemError) {
    guard let ruleset else { return }
    let error = sluice_landlock_allow_libraries(ruleset.descriptor.raw, version)
    guard error == 0 else { throw SystemError(call: "landlock_add_rule", errno: error) }
  }

  /// Confines the calling thread, and whatever it starts; it gains no privilege any more (no_new_privs).
  package func enter() throws(SystemError) {
    if let ruleset {
      let error = sluice_landlock_enter(ruleset.descriptor.raw)
      guard error == 0 else { throw SystemError(call: "landlock_restrict_self", errno: error) }
    }
    let error = sluice_seccomp_enter(profile.rawValue)
    guard error == 0 else { throw SystemError(call: "seccomp", errno: error) }
  }

  /// Whether the calling thread, or what started it, has a filter of system calls.
  package static var isFiltered: Bool { sluice_seccomp_is_entered() != 0 }

  /// The name of a thread of this process that is not confined as the calling one is; nil where all are, or the kernel
  /// does not tell.
  package static var stray: String? {
    var name: [CChar] = Array(repeating: 0, count: 16)
    guard unsafe sluice_seccomp_strays(&name) > 0 else { return nil }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
