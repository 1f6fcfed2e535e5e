import IPNetwork
import LinuxIO
import Settings
import Transport

/// The sockets that the service manager bound before it started serve, each at the address that the configuration has for
/// it.
///
/// They are told apart by their addresses; the control socket also by the name `control`, since one file has many paths.
struct ActivatedSockets {
  /// Descriptors by address; several of one address each belong to another worker.
  private(set) var datagrams: [SocketAddress: [Int32]] = [:]
  private(set) var streams: [SocketAddress: [Int32]] = [:]
  private(set) var control: Int32?

  /// What was passed to this process.
  ///
  /// - Throws: `StartError` as `init`, or where a descriptor that was announced is not there.
  static func take(_ settings: Settings) throws(StartError) -> ActivatedSockets {
    let passed: [PassedSocket]
    do {
      passed = try PassedSocket.take()
    } catch {
      throw StartError("socket activation: \(error)")
    }
    return try ActivatedSockets(passed, settings)
  }

  /// - Throws: `StartError` for a socket that has no address: who asks there would wait in vain.
  init(_ passed: [PassedSocket], _ settings: Settings) throws(StartError) {
    let listen = Set(settings.listen.map(\.socketAddress))
    for socket in passed {
      switch socket.kind {
      case .datagram(let address):
        guard listen.contains(address) else { throw Self.stranger(socket, "UDP \(Self.text(address))") }
        guard !socket.takesBoth else { throw Self.takesBoth(socket, "UDP \(Self.text(address))") }
        datagrams[address, default: []].append(socket.descriptor)
      case .stream(let address):
        guard listen.contains(address) else { throw Self.stranger(socket, "TCP \(Self.text(address))") }
        guard !socket.takesBoth else { throw Self.takesBoth(socket, "TCP \(Self.text(address))") }
        streams[address, default: []].append(socket.descriptor)
      case .unix(let path):
        guard control == nil, path == settings.control.path || socket.name == "control" else {
          throw Self.refused(socket, path, "`control:` is \(settings.control.path)")
        }
        control = socket.descriptor
      case .other:
        throw Self.refused(socket, "a descriptor", "only UDP, and TCP and Unix sockets that listen, have a use")
      }
    }
    for (address, sockets) in datagrams where sockets.count > settings.workers + 1 {
      throw StartError(
        "socket activation: \(sockets.count) UDP sockets for \(Self.text(address)), and only \(settings.workers + 1) would "
          + "be read: one for each of \(settings.workers) workers, one for floods")
    }
  }

  var count: Int {
    datagrams.values.map(\.count).reduce(0, +) + streams.values.map(\.count).reduce(0, +) + (control == nil ? 0 : 1)
  }

  /// Those of one worker: the first takes the first of each address.
  func datagrams(ofWorker index: Int) -> [PassedDatagramSocket] {
    datagrams.compactMap { address, descriptors in
      index < descriptors.count ? PassedDatagramSocket(address: address, descriptor: descriptors[index]) : nil
    }
  }

  var allDatagrams: [PassedDatagramSocket] {
    datagrams.flatMap { address, descriptors in
      descriptors.map { PassedDatagramSocket(address: address, descriptor: $0) }
    }
  }

  private static func stranger(_ socket: PassedSocket, _ what: String) -> StartError {
    refused(socket, what, "`listen:` does not name it")
  }

  private static func takesBoth(_ socket: PassedSocket, _ what: String) -> StartError {
    refused(socket, what, "it takes IPv4 as well: set BindIPv6Only=ipv6-only")
  }

  private static func refused(_ socket: PassedSocket, _ what: String, _ why: String) -> StartError {
    StartError("socket activation: descriptor \(socket.descriptor), \"\(socket.name)\", \(what): \(why)")
  }

  private static func text(_ address: SocketAddress) -> String {
    ListenAddress(
      address: address.isV6
        ? IPAddress(high: address.high, low: address.low) : IPAddress(v4: UInt32(truncatingIfNeeded: address.low)),
      port: address.port
    ).description
  }
}

extension ListenAddress {
  /// The same, for the kernel.
  var socketAddress: SocketAddress {
    SocketAddress(isV6: address.family == .v6, high: address.high, low: address.low, port: port)
  }
}
