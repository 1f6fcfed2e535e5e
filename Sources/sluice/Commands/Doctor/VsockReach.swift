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
    if let cid = localCID {
      switch cid {
      case 1: return .loopback
      case 2: return .machines
      default: return .hypervisor(cid)
      }
    }
    return FileManager.default.fileExists(atPath: "/sys/module/vsock_loopback") ? .loopback : nil
  }

  /// IOCTL_VM_SOCKETS_GET_LOCAL_CID; nil without a transport.
  private static var localCID: UInt32? {
    // Opening the device node would load the module.
    guard let loaded = HostFile.text("/proc/net/protocols"),
      loaded.split(separator: "\n").contains(where: { $0.hasPrefix("AF_VSOCK ") })
    else { return nil }
    let descriptor = unsafe open("/dev/vsock", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var cid = UInt32.max
    guard unsafe ioctl(descriptor, 0x7B9, &cid) == 0, cid != .max else { return nil }
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
