import EgressPolicy
import Foundation
import Glibc
import Settings

/// A socket or file of the host with which a container that sees it gets past its policy.
struct HostKey: Equatable {
  enum Kind: Equatable {
    /// The socket of a container engine, of the service manager, or of the message bus.
    case engine
    /// Sluice's own control API.
    case control
    /// Configuration, policies, state: harmless to read.
    case policy

    var consequence: String {
      switch self {
      case .engine: "by it, it starts what no policy governs, with the host's network and files"
      case .control: "as root it gives itself permits, by the control API"
      case .policy: "it can change its own policy"
      }
    }
  }

  /// Absolute, without symbolic links.
  var path: String
  var kind: Kind

  func lies(in volume: DockerEngine.Volume) -> Bool {
    guard volume.isWritable || kind != .policy else { return false }
    return path == volume.source || path.hasPrefix(volume.source == "/" ? "/" : volume.source + "/")
  }

  // MARK: - Of this host

  private static let engines: Set<String> = [
    "docker.sock", "containerd.sock", "containerd.sock.ttrpc", "podman.sock", "crio.sock", "cri-dockerd.sock",
    "buildkitd.sock", "system_bus_socket",
  ]
  private static let managers: Set<String> = ["/run/systemd/private"]

  /// A socket that is told by its name, wherever it is and whether or not something listens there now.
  static func named(_ path: String) -> HostKey? {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    return engines.contains(name) || managers.contains(path) ? HostKey(path: path, kind: .engine) : nil
  }

  /// - Parameters:
  ///   - configuration: the path of the configuration.
  ///   - engines: those of the engines that are asked.
  static func all(_ settings: Settings, configuration: String, engines: [String]) -> [HostKey] {
    let listening = (HostFile.text("/proc/net/unix") ?? "").split(separator: "\n")
      .compactMap { line in line.firstIndex(of: "/").map { canonical(String(line[$0...])) } }
    let files = [configuration, settings.state] + settings.policyFiles
    let keys =
      engines.map { HostKey(path: canonical($0), kind: .engine) }
      + [HostKey(path: canonical(settings.control.path), kind: .control)]
      + Set(listening).sorted().compactMap { named($0) }
      + Set(files).sorted().map { HostKey(path: canonical($0), kind: .policy) }
    return keys
  }

  /// The same path from the root and without symbolic links; what is not there yet is named as its folder is.
  static func canonical(_ path: String) -> String {
    if let resolved = unsafe realpath(path, nil) {
      defer { unsafe free(resolved) }
      return unsafe String(cString: resolved)
    }
    let file = URL(filePath: path).standardizedFileURL
    guard file.path != "/" else { return "/" }
    let folder = canonical(file.deletingLastPathComponent().path)
    return (folder == "/" ? "" : folder) + "/" + file.lastPathComponent
  }
}
