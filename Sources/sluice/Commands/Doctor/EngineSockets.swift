import Foundation

/// The container engines of this host: what is looked at, and what cannot be.
struct EngineSockets {
  /// To be asked, each once.
  private(set) var paths: [String] = []
  /// Of engines that are not asked, or of none.
  private(set) var findings: [Finding] = []

  /// What an environment and a host's files say.
  struct Surroundings {
    var environment: [String: String]
    /// The path of a socket or file without symbolic links; nil where there is none.
    var resolved: (String) -> String?
    /// The folders of users, as /run/user/1000.
    var users: [String]

    static var ofThisHost: Surroundings {
      Surroundings(
        environment: ProcessInfo.processInfo.environment,
        resolved: { FileManager.default.fileExists(atPath: $0) ? HostKey.canonical($0) : nil },
        // Without the folder there are no users who have one.
        users: HostFile.names(in: "/run/user").map { "/run/user/\($0)" })
    }
  }

  /// Where packages put the sockets of engines that root runs.
  private static let ofRoot = ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"]
  private static let ofUsers = ["docker.sock", "podman/podman.sock"]

  /// - Parameter named: the only one to be asked, as an option says.
  init(_ named: String?, _ surroundings: Surroundings) {
    if let named {
      let isThere = surroundings.resolved(named) != nil
      (paths, findings) = isThere ? ([named], []) : ([], [Self.absent([named])])
      return
    }
    var wanted: [String] = []
    // The first is Docker's (docker(1)), the second Podman's (podman-remote(1)).
    for variable in ["DOCKER_HOST", "CONTAINER_HOST"] {
      guard let value = surroundings.environment[variable], !value.isEmpty else { continue }
      if value.hasPrefix("unix://") {
        wanted.append(String(value.dropFirst("unix://".count)))
      } else {
        findings.append(
          .warning(
            .engineUnasked, "docker", "\(variable) is \(value): the containers of that engine are not looked at",
            "run doctor on the host of that engine, with --docker and its socket"))
      }
    }
    wanted += Self.ofRoot + surroundings.users.flatMap { user in Self.ofUsers.map { "\(user)/\($0)" } }
    for path in wanted {
      guard let path = surroundings.resolved(path), !paths.contains(path) else { continue }
      paths.append(path)
    }
    if surroundings.resolved("/usr/bin/podman") != nil, !paths.contains(where: { $0.hasSuffix("podman.sock") }) {
      findings.append(
        .warning(
          .engineUnasked, "podman", "Podman is installed and its API is not served: its containers are not looked at",
          "systemctl start podman.socket"))
    }
    if paths.isEmpty, findings.isEmpty { findings = [Self.absent(wanted)] }
  }

  private static func absent(_ paths: [String]) -> Finding {
    .remark(
      .engineAbsent, "docker",
      "no container engine at \(paths.joined(separator: ", ")): no container was looked at",
      "where one runs, name its socket: --docker SOCKET")
  }
}
