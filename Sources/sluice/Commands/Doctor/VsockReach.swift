import Foundation
import Glibc

/// What AF_VSOCK (vsock(7)) of this host leads to: no rule of any firewall sees what is sent that way.
enum VsockReach: Equatable {
  /// This host is a virtual machine: to the one that runs it. With the machine's own CID.
  case hypervisor(UInt32)
  /// This host runs virtual machines, or may: to them.
  case machines
  /// To whatever listens on this host itself.
  case loopback

  /// Nil where the kernel has no way to carry it now. Loads no module.
  static var ofThisHost: VsockReach? {
    VsockReach(
      protocols: HostFile.text("/proc/net/protocols") ?? "", localCID: askedCID,
      hasLoopback: FileManager.default.fileExists(atPath: "/sys/module/vsock_loopback"))
  }

  /// - Parameters:
  ///   - protocols: what the kernel has, a line for each.
  ///   - localCID: asks for the machine's CID, which would load the module; `UInt32.max` without a transport.
  ///   - hasLoopback: whether the loopback transport is loaded, which has no CID where another one has.
  init?(protocols: String, localCID: () -> UInt32, hasLoopback: Bool) {
    let isLoaded = protocols.split(separator: "\n").contains { $0.hasPrefix("AF_VSOCK ") }
    switch isLoaded ? localCID() : .max {
    case 1: self = .loopback
    case 2: self = .machines
    case .max where hasLoopback: self = .loopback
    case .max: return nil
    case let cid: self = .hypervisor(cid)
    }
  }

  /// IOCTL_VM_SOCKETS_GET_LOCAL_CID; `UInt32.max` where nothing tells it.
  private static func askedCID() -> UInt32 {
    let descriptor = unsafe open("/dev/vsock", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .max }
    defer { close(descriptor) }
    var cid = UInt32.max
    _ = unsafe ioctl(descriptor, 0x7B9, &cid)
    return cid
  }

  var text: String {
    switch self {
    case .hypervisor(let cid): "to the machine that runs this one (this is CID \(cid))"
    case .machines: "to the virtual machines of this host"
    case .loopback: "to what listens on this host"
    }
  }

  /// Whether this kernel runs i386 programs beside those of x86-64.
  static var runs32Bit: Bool {
    #if arch(x86_64)
      FileManager.default.fileExists(atPath: "/proc/sys/abi/vsyscall32")
    #else
      false
    #endif
  }
}
