import CLinux
import Glibc

/// A socket that the service manager opened and handed over when it started this process (sd_listen_fds(3)).
package struct PassedSocket: Equatable, Sendable {
  /// What the socket is for, and where it is bound.
  package enum Kind: Equatable, Sendable {
    case datagram(SocketAddress)
    /// A TCP socket that listens.
    case stream(SocketAddress)
    /// A Unix stream socket that listens, by its path; empty where it has none.
    case unix(String)
    case other
  }

  /// Stays open as long as the process: its reader has a duplicate.
  package let descriptor: Int32
  /// What the manager calls it: `FileDescriptorName=`, or the socket unit's name.
  package let name: String
  package let kind: Kind
  /// Whether an IPv6 socket takes IPv4 as well.
  package let takesBoth: Bool

  package init(descriptor: Int32, name: String, kind: Kind, takesBoth: Bool = false) {
    self.descriptor = descriptor
    self.name = name
    self.kind = kind
    self.takesBoth = takesBoth
  }

  /// The first descriptor that is handed over: SD_LISTEN_FDS_START.
  private static let first: Int32 = 3
  /// More than any configuration can listen on.
  private static let most: Int32 = 4096

  /// What was handed over to this process, which from now on no child inherits and no child takes for its own; empty
  /// where nothing was, or to another process.
  ///
  /// - Throws: what the kernel says of a descriptor that was announced, such as EBADF.
  package static func take() throws(SystemError) -> [PassedSocket] {
    defer {
      for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { _ = unsafe unsetenv(variable) }
    }
    guard text(of: "LISTEN_PID").flatMap({ Int32($0) }) == getpid(),
      let count = text(of: "LISTEN_FDS").flatMap({ Int32($0) }), count > 0
    else { return [] }
    guard count <= most else { throw SystemError(call: "LISTEN_FDS", errno: E2BIG) }
    let names = text(of: "LISTEN_FDNAMES")?.split(separator: ":", omittingEmptySubsequences: false) ?? []
    var sockets: [PassedSocket] = []
    for index in 0..<count {
      let name = Int(index) < names.count ? String(names[Int(index)]) : "unknown"
      sockets.append(try PassedSocket(describing: first + index, name: name))
    }
    return sockets
  }

  private init(describing descriptor: Int32, name: String) throws(SystemError) {
    var passed = sluice_passed()
    let error = unsafe sluice_passed_describe(descriptor, &passed)
    guard error == 0 else { throw SystemError(call: "a descriptor of LISTEN_FDS", errno: error) }
    let kind: Kind
    switch Int(passed.kind) {
    case Int(SLUICE_PASSED_DATAGRAM): kind = .datagram(SocketAddress(passed.endpoint))
    case Int(SLUICE_PASSED_STREAM): kind = .stream(SocketAddress(passed.endpoint))
    case Int(SLUICE_PASSED_UNIX):
      kind = .unix(
        unsafe withUnsafeBytes(of: passed.path) { octets in
          unsafe String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
        })
    default: kind = .other
    }
    self.init(descriptor: descriptor, name: name, kind: kind, takesBoth: passed.takes_both != 0)
  }

  private static func text(of variable: String) -> String? {
    unsafe getenv(variable).map { unsafe String(cString: $0) }
  }
}

extension Sockets {
  /// Another descriptor of the same socket (dup(2)), closed on exec.
  package static func duplicate(_ descriptor: Int32) throws(SystemError) -> FileDescriptor {
    let copy = sluice_duplicate(descriptor)
    guard copy >= 0 else { throw SystemError(call: "fcntl", errno: -copy) }
    return FileDescriptor(copy)
  }

  /// Makes a UDP socket that another process bound like those of `listenUDP`; false where it was not asked to tell by which
  /// interface the datagrams came that wait in it already.
  package static func prepareUDP(_ descriptor: Int32, tellsInterface: Bool) throws(SystemError) -> Bool {
    var told: Int32 = 0
    let error = unsafe sluice_udp_adopt(descriptor, tellsInterface ? 1 : 0, &told)
    guard error == 0 else { throw SystemError(call: "setsockopt", errno: error) }
    return told != 0
  }
}
