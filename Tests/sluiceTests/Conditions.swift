import Foundation
import Glibc
import Testing

/// What suites need of the machine.
extension Trait where Self == ConditionTrait {
  /// Rules are laid out in network namespaces.
  static var withTables: Self {
    .enabled(
      if: geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/nft")
        && FileManager.default.isExecutableFile(atPath: "/usr/sbin/iptables"),
      "needs root, nftables and iptables")
  }

  /// Commands are run as an operator runs them.
  static var withExecutable: Self {
    .enabled(
      if: PlayedCommand.executable != nil, "needs the executable: swift build --build-tests, or SLUICE_EXECUTABLE")
  }
}
