package import Settings
import EgressPolicy
import Foundation
import Glibc
import LinuxIO

/// What of the host stays within serve's reach once it answers: what a reload reads again, and where it writes.
package enum Confinement {
  /// A thread that the reading of a large configuration left behind ends by itself within a second.
  private static let patience: UInt64 = 3_000

  /// - Parameter keepsAbstractSockets: the service manager's has no file.
  static func sandbox(
    _ settings: Settings, configuration: String, keepsAbstractSockets: Bool
  ) throws(StartError) -> Sandbox {
    do throws(SystemError) {
      let sandbox = try Sandbox(.serve, keepsAbstractSockets: keepsAbstractSockets)
      for folder in readFolders(settings, configuration) { try sandbox.keep(folder, .read) }
      // Time zones, and shipped zones that a package brings later; the state of its own threads, by their numbers, without
      // which Dispatch ends the process. What is secret about other processes Landlock keeps out of reach by itself.
      for folder in ["/usr/share", "/proc", "/sys/devices/system/cpu"] { try sandbox.keep(folder, .read) }
      try sandbox.keep(settings.state, .read)
      try sandbox.keep(folder(of: settings.audit.path), .fill)
      try sandbox.keep(folder(of: settings.control.path), .clear)
      return sandbox
    } catch {
      throw StartError("this process cannot be confined: \(error)")
    }
  }

  /// Confines the calling thread.
  static func enter(_ sandbox: Sandbox) throws(StartError) {
    do throws(SystemError) {
      try sandbox.enter()
    } catch {
      throw StartError("this process cannot be confined: \(error)")
    }
  }

  /// - Throws: when a thread has not entered the sandbox (P7).
  static func requireAllThreads() throws(StartError) {
    let end = MonotonicTime.now().adding(milliseconds: patience)
    while let name = Sandbox.stray {
      guard MonotonicTime.now() < end else {
        throw StartError("this process cannot be confined: its thread \(name) is not")
      }
      usleep(10_000)
    }
  }

  /// What the operator should know of it; nil where the kernel has all of it.
  static func notice(_ sandbox: Sandbox) -> String? {
    switch sandbox.version {
    case 0: "files are not confined: this kernel, or the container's engine, has no Landlock"
    case ..<3: "files are confined but for their lengths, signals not: Landlock \(sandbox.version) of this kernel"
    case ..<Sandbox.newestLandlock: "signals are not confined: Landlock \(sandbox.version) of this kernel"
    default: nil
    }
  }

  /// The folders of every file that a reload reads, by name and by where links lead; of a folder that is named as a whole
  /// the one that it is in too, for another may be put in its place. Never the whole file tree: then only the file.
  static func readFolders(_ settings: Settings, _ configuration: String) -> Set<String> {
    let zones = settings.zones.compactMap { if case .file(let path, _) = $0 { path } else { nil } }
    let files =
      [configuration] + settings.policyFiles + zones
      + UpstreamTrust.files(of: settings) + settings.trustAnchors.map(\.path)
    var paths: Set<String> = []
    for file in Set(files) {
      for path in Set([absolute(file), resolved(file)]) {
        paths.insert(folder(of: path) == "/" ? path : folder(of: path))
      }
    }
    for whole in settings.wholeFolders {
      for path in Set([absolute(whole), resolved(whole)]) {
        paths.formUnion([path, folder(of: path)])
      }
    }
    // Where a reload looks for the lists that are shipped, even if no document included one at the start.
    if settings.listFolders.isEmpty { paths.formUnion(SettingsLoader.shippedListDirectories) }
    paths.remove("/")
    return paths
  }

  /// What the bridge reads or keeps in the folder that serve may fill, or below it: a serve that is taken over could write
  /// there what the bridge goes by, as far as the files' owners let it.
  package static func exposed(_ settings: Settings, _ configuration: String) -> [String] {
    let own = resolved(folder(of: settings.audit.path))
    let zones = settings.zones.compactMap { if case .file(let path, _) = $0 { path } else { nil } }
    let files = Set([configuration] + settings.policyFiles + zones).sorted()
    let state = settings.firewall.mode == .managed ? ["\(settings.state)/bridge"] : []
    return (files + state).filter { path in
      [absolute(path), resolved(path)].contains {
        (resolved(folder(of: $0)) + "/").hasPrefix(own == "/" ? own : own + "/")
      }
    }
  }

  /// The same path, wherever this process is; what `..` leads to behind a link is the kernel's to say.
  static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
  }

  /// Where links lead; as it is where there is nothing.
  private static func resolved(_ path: String) -> String {
    guard let found = unsafe realpath(absolute(path), nil) else { return absolute(path) }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  private static func folder(of path: String) -> String {
    let parts = absolute(path).split(separator: "/")
    guard let last = parts.last else { return "/" }
    guard last != "." && last != ".." else { return absolute(path) + "/.." }
    return "/" + parts.dropLast().joined(separator: "/")
  }
}
