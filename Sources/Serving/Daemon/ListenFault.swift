import Glibc
import LinuxIO
import Settings

/// Why an address cannot be listened at, and what to do about it, in words.
enum ListenFault {
  /// - Parameters:
  ///   - key: of the configuration: `listen`.
  ///   - addresses: of which one or several cannot be had.
  ///   - proc: where the kernel's files are.
  static func text(
    _ key: String, _ transport: PortHolder.Transport, _ addresses: [ListenAddress], _ error: any Error,
    proc: String = "/proc"
  ) -> String {
    let places = addresses.map(\.description).joined(separator: ", ")
    let start = "\(key): \(transport.rawValue)"
    switch (error as? SystemError)?.errno {
    case EADDRINUSE:
      let holders = addresses.flatMap { address in
        PortHolder.find(address, transport, proc: proc).map {
          "\(address) is taken by \($0.text); \($0.remedy(for: address))"
        }
      }
      guard !holders.isEmpty else {
        return "\(start) \(places): another program has it; `sudo ss -lptun` names it"
      }
      return holders.map { "\(start) \($0)" }.joined(separator: "\n")
    case EACCES:
      return
        "\(start) \(places): a port below 1024 needs root or CAP_NET_BIND_SERVICE; start it by sudo, or by its unit"
    case EAFNOSUPPORT: return "\(start) \(places): this kernel has no IPv6"
    default: return "\(start) \(places): \(error)"
    }
  }

  /// Why the control socket cannot be made.
  static func control(_ path: String, _ error: any Error) -> String {
    switch (error as? SystemError)?.errno {
    case EADDRINUSE: "\(path): another process answers there; a second sluice needs a `control:` of its own"
    case EEXIST: "\(path): there is a file that is no socket, expected none"
    case ENOENT: "\(path): its folder and the one above it do not exist, expected one of them"
    case EACCES, EPERM: "\(path): its folder is not for this user; `control:` names another place"
    case ENAMETOOLONG: "\(path): longer than 107 octets, which no socket's name may be"
    default: "\(path): \(error)"
    }
  }
}
