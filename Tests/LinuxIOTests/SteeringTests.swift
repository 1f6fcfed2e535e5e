import Glibc
import Testing

@testable import LinuxIO

@Suite("Steering datagrams to sockets of one port")
struct SteeringTests {
  private static func v4(_ last: UInt64, _ port: UInt16 = 0) -> SocketAddress {
    SocketAddress(isV6: false, high: 0, low: 0x7F00_0000 | last, port: port)
  }

  private static func network(_ last: UInt64, length: Int) -> Sockets.Network {
    Sockets.Network(high: 0, low: 0x7F00_0000 | last, isV6: false, length: length)
  }

  /// Sends from each source and says which socket got it.
  private static func index(of source: SocketAddress, to port: UInt16, _ sockets: [Int32]) throws -> Int? {
    let client = try Sockets.listenUDP(source)
    let target = source.isV6 ? SocketAddress.v6(low: 1, port: port) : v4(1, port)
    try #require(LoopbackSocket.send([7], from: client.raw, to: target))
    return sockets.firstIndex { LoopbackSocket.isReadable($0, within: 0) && LoopbackSocket.receive($0) == [7] }
  }

  @Test("networks go to the last socket, all others to the first; and back when they are let go")
  func oneWorker() throws {
    let first = try Sockets.listenUDP(Self.v4(1))
    let port = LoopbackSocket.port(of: first.raw)
    try Sockets.steer(first.raw, [], workers: 1)
    let flood = try Sockets.listenUDP(Self.v4(1, port))
    let sockets = [first.raw, flood.raw]
    for last in 1...40 as ClosedRange<UInt64> {
      #expect(try Self.index(of: Self.v4(last), to: port, sockets) == 0)
    }
    try Sockets.steer(first.raw, [Self.network(8, length: 30), Self.network(33, length: 32)], workers: 1)
    for last in 1...40 as ClosedRange<UInt64> {
      let isSteered = (8...11).contains(last) || last == 33
      #expect(try Self.index(of: Self.v4(last), to: port, sockets) == (isSteered ? 1 : 0), "127.0.0.\(last)")
    }
    try Sockets.steer(first.raw, [], workers: 1)
    #expect(try Self.index(of: Self.v4(8), to: port, sockets) == 0)
  }

  @Test("several workers share what is not steered, and none of it is the flood's")
  func severalWorkers() throws {
    let first = try Sockets.listenUDP(Self.v4(1))
    let port = LoopbackSocket.port(of: first.raw)
    try Sockets.steer(first.raw, [Self.network(9, length: 32)], workers: 3)
    let others = try (0..<3).map { _ in try Sockets.listenUDP(Self.v4(1, port)).release() }
    defer { for socket in others { close(socket) } }
    let sockets = [first.raw] + others
    var seen: Set<Int> = []
    for _ in 0..<60 { seen.insert(try #require(try Self.index(of: Self.v4(5), to: port, sockets))) }
    #expect(seen == [0, 1, 2])
    for _ in 0..<20 { #expect(try Self.index(of: Self.v4(9), to: port, sockets) == 3) }
  }

  @Test("IPv6 networks are told apart by all their bits")
  func v6() throws {
    let here = SocketAddress(isV6: true, high: 0, low: 1, port: 0)
    let first = try Sockets.listenUDP(here)
    let port = LoopbackSocket.port(of: first.raw)
    try Sockets.steer(first.raw, [], workers: 1)
    let flood = try Sockets.listenUDP(SocketAddress(isV6: true, high: 0, low: 1, port: port))
    let sockets = [first.raw, flood.raw]
    func steer(_ high: UInt64, _ low: UInt64, _ length: Int) throws {
      try Sockets.steer(first.raw, [Sockets.Network(high: high, low: low, isV6: true, length: length)], workers: 1)
    }
    #expect(try Self.index(of: here, to: port, sockets) == 0)
    try steer(0, 0, 64)
    #expect(try Self.index(of: here, to: port, sockets) == 1)
    try steer(0, 1, 128)
    #expect(try Self.index(of: here, to: port, sockets) == 1)
    try steer(0, 2, 127)
    #expect(try Self.index(of: here, to: port, sockets) == 0)
    try steer(1, 0, 64)
    #expect(try Self.index(of: here, to: port, sockets) == 0)
  }

  @Test("more networks than there is room for: the first of them count")
  func bounded() throws {
    let first = try Sockets.listenUDP(Self.v4(1))
    let many = (0..<40).map { Self.network(UInt64($0), length: 32) }
    try Sockets.steer(first.raw, many, workers: 200)
  }
}
