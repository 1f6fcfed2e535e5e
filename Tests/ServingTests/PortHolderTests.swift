import Foundation
import Glibc
import IPNetwork
import LinuxIO
import Settings
import Testing

@testable import Serving

@Suite("Who has a port that serve listens at")
struct PortHolderTests {
  /// A folder as the kernel's: tables of sockets, and processes with descriptors.
  private final class Proc {
    let path = FileManager.default.temporaryDirectory.appending(path: "sluice-proc-\(UUID().uuidString)").path

    init(_ tables: [String: String], _ programs: [Int: (name: String, inodes: [Int])] = [:]) throws {
      let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
      try FileManager.default.createDirectory(atPath: "\(path)/net", withIntermediateDirectories: true)
      for (name, lines) in tables { try Data((head + lines).utf8).write(to: URL(filePath: "\(path)/net/\(name)")) }
      for (pid, program) in programs {
        let folder = "\(path)/\(pid)"
        try FileManager.default.createDirectory(atPath: "\(folder)/fd", withIntermediateDirectories: true)
        try Data("\(program.name)\n".utf8).write(to: URL(filePath: "\(folder)/comm"))
        try FileManager.default.createSymbolicLink(atPath: "\(folder)/fd/0", withDestinationPath: "/dev/null")
        for (index, inode) in program.inodes.enumerated() {
          try FileManager.default.createSymbolicLink(
            atPath: "\(folder)/fd/\(index + 3)", withDestinationPath: "socket:[\(inode)]")
        }
      }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  private func line(_ address: String, inode: Int, user: Int = 0, state: String = "07") -> String {
    "  12: \(address) 00000000:0000 \(state) 00000000:00000000 00:00000000 00000000 \(user)        0 \(inode) 2 0000000000000000 0\n"
  }

  private func listen(_ address: String, _ port: UInt16 = 53) throws -> ListenAddress {
    ListenAddress(address: try #require(IPAddress(address)), port: port)
  }

  private static let gateway = "01024D0A:0035"  // 10.77.2.1:53

  @Test("of several processes with one socket the first is named, and what only looks like a socket is none")
  func sharedSockets() throws {
    let proc = try Proc(
      ["udp": line(Self.gateway, inode: 77)],
      [700: ("other", [5]), 812: ("named", [77]), 900: ("worker", [77])])
    // As the kernel names namespaces, and as it names nothing.
    for (index, link) in ["mnt:[10277]", "socket:[778"].enumerated() {
      try FileManager.default.createSymbolicLink(
        atPath: "\(proc.path)/700/fd/\(index + 9)", withDestinationPath: link)
    }
    let holders = PortHolder.find(try listen("10.77.2.1"), .udp, proc: proc.path)
    #expect(holders.map(\.text) == ["named (pid 812)"])
  }

  @Test("a line that is short, or of a socket without a port, is none")
  func lines() throws {
    let lines = [
      line(Self.gateway, inode: 77), line("01024D0A:0000", inode: 78), line("01024D0A", inode: 79),
      "  12: \(Self.gateway) 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0\n", "\n",
    ]
    #expect(PortHolder.sockets(Data(lines.joined().utf8), .udp).map(\.inode) == [77])
  }

  @Test(
    "the program at the address is named with its pid, and what frees the port",
    arguments: [
      ("aardvark-dns", "podman network create --disable-dns"), ("systemd-resolve", "DNSStubListener=no"),
      ("dnsmasq", "except-interface"), ("docker-proxy", "docker ps --filter publish=53"),
      ("sluice", "another sluice serves"), ("systemd", "systemctl list-sockets"), ("named", "other addresses"),
    ])
  func named(program: String, remedy: String) throws {
    let proc = try Proc(
      ["udp": line(Self.gateway, inode: 77), "tcp": line(Self.gateway, inode: 78, state: "0A")],
      [1: ("init", [5]), 812: (program, [76, 77, 78])])
    let address = try listen("10.77.2.1")
    for transport in PortHolder.Transport.allCases {
      let holders = PortHolder.find(address, transport, proc: proc.path)
      #expect(holders.map(\.text) == ["\(program) (pid 812)"])
      #expect(holders.first?.remedy(for: address).contains(remedy) == true, "\(holders)")
    }
    let error = SystemError(call: "bind", errno: EADDRINUSE)
    let text = ListenFault.text("listen", .udp, [try listen("10.77.3.1"), address], error, proc: proc.path)
    #expect(text.hasPrefix("listen: UDP 10.77.2.1:53 is taken by \(program) (pid 812); "), "\(text)")
    #expect(text.contains(remedy) && !text.contains("bind:"), "\(text)")
  }

  @Test(
    "a socket of every address is in the way of each, and says so; other ports and addresses are not",
    arguments: [
      ("udp", "00000000:0035", "10.77.2.1", ["named (pid 9), which is bound to 0.0.0.0:53"]),
      ("udp6", "00000000000000000000000000000000:0035", "10.77.2.1", ["named (pid 9), which is bound to [::]:53"]),
      ("udp6", "00000000000000000000000000000000:0035", "fd00:77:2::1", ["named (pid 9), which is bound to [::]:53"]),
      ("udp6", "770000FD000002000000000001000000:0035", "fd00:77:2::1", ["named (pid 9)"]),
      ("udp6", "770000FD000002000000000001000000:0035", "fd00:77:0:2::1", []),
      ("udp", "0100007F:0035", "0.0.0.0", ["named (pid 9)"]), ("udp", "0100007F:0035", "10.77.2.1", []),
      ("udp", "00000000:1535", "10.77.2.1", []), ("udp", "00000000:0035", "fd00:77:2::1", []),
      ("udp6", "0000000000000000FFFF000001024D0A:0035", "10.77.2.1", ["named (pid 9)"]),
      ("udp", "01024D0A", "10.77.2.1", []), ("udp", "01024D:0035", "10.77.2.1", []),
    ])
  func meeting(table: String, address: String, listen: String, holders: [String]) throws {
    let proc = try Proc([table: line(address, inode: 77)], [9: ("named", [77])])
    #expect(PortHolder.find(try self.listen(listen), .udp, proc: proc.path).map(\.text) == holders)
    #expect(PortHolder.find(try self.listen(listen), .tcp, proc: proc.path) == [], "another transport's table")
  }

  @Test("a TCP connection from the port is no socket that listens there")
  func connections() throws {
    let proc = try Proc(["tcp": line(Self.gateway, inode: 77, state: "01")], [9: ("named", [77])])
    #expect(PortHolder.find(try listen("10.77.2.1"), .tcp, proc: proc.path) == [])
  }

  @Test("a program with many sockets is told once; whose process cannot be seen, by its user and how to name it")
  func unseen() throws {
    let many = (0..<4).map { line(Self.gateway, inode: 70 + $0) }.joined()
    let proc = try Proc(["udp": many + line(Self.gateway, inode: 99, user: 101)], [9: ("named", [70, 71, 72, 73])])
    let holders = PortHolder.find(try listen("10.77.2.1"), .udp, proc: proc.path)
    #expect(holders.map(\.text) == ["named (pid 9)", "a program of the user with the number 101"])
    #expect(holders.last?.remedy(for: try listen("10.77.2.1")).contains("sudo ss -lptun 'sport = :53'") == true)
  }

  @Test("check and doctor tell of other programs, never of sluice itself nor of the service manager's sockets for it")
  func others() throws {
    let lines = line(Self.gateway, inode: 77)
    for (program, isTold) in [("sluice", false), ("systemd", false), ("dnsmasq", true)] {
      let proc = try Proc(["udp": lines], [9: (program, [77])])
      let others = PortHolder.others(try listen("10.77.2.1"), proc: proc.path)
      #expect(others.map(\.text) == (isTold ? ["UDP 10.77.2.1:53 is taken by dnsmasq (pid 9)"] : []))
    }
    let shared = try Proc(["udp": lines], [1: ("systemd", [77]), 9: ("sluice", [77])])
    #expect(PortHolder.others(try listen("10.77.2.1"), proc: shared.path).isEmpty)
    let unseen = try Proc(["udp": lines])
    #expect(PortHolder.others(try listen("10.77.2.1"), proc: unseen.path).isEmpty)
    // Most sockets of [::] by far take IPv6 alone, or do not: serve says it where it fails.
    let every = try Proc(["udp6": line("00000000000000000000000000000000:0035", inode: 77)], [9: ("named", [77])])
    #expect(PortHolder.others(try listen("10.77.2.1"), proc: every.path).isEmpty)
    #expect(PortHolder.others(try listen("fd00:77:2::1"), proc: every.path).count == 1)
  }

  @Test("the kernel's own tables are read: a socket of this process is this process's")
  func kernel() throws {
    let port = UInt16.random(in: 20_000...29_999)
    let address = SocketAddress(isV6: false, high: 0, low: 0x7F00_004D, port: port)
    let listen = ListenAddress(address: IPAddress(v4: 0x7F00_004D), port: port)
    for transport in PortHolder.Transport.allCases {
      #expect(PortHolder.find(listen, transport) == [])
      let socket = transport == .tcp ? try Sockets.listenTCP(address) : try Sockets.listenUDP(address)
      let holders = PortHolder.find(listen, transport)
      #expect(holders.map(\.program?.pid) == [getpid()] && holders.first?.user == getuid(), "\(holders)")
      #expect(holders.first?.program?.name.isEmpty == false)
      withExtendedLifetime(socket.raw) {}
    }
  }

  @Test(
    "every error of a bind is told in words, with the key and the address",
    arguments: [
      (EACCES, "needs root or CAP_NET_BIND_SERVICE"), (EAFNOSUPPORT, "has no IPv6"),
      (EADDRINUSE, "another program has it"), (ENOBUFS, "No buffer space available"),
    ])
  func words(error: Int32, words: String) throws {
    let proc = try Proc([:])
    let text = ListenFault.text(
      "metrics", .tcp, [try listen("127.0.0.1", 9153)], SystemError(call: "bind", errno: error), proc: proc.path)
    #expect(text.hasPrefix("metrics: TCP 127.0.0.1:9153: ") && text.contains(words), "\(text)")
  }

  @Test(
    "why the control socket cannot be made is told in words",
    arguments: [
      (EADDRINUSE, "another process answers there"), (EEXIST, "no socket"), (ENOENT, "do not exist"),
      (EACCES, "not for this user"), (EPERM, "not for this user"), (ENAMETOOLONG, "107 octets"),
      (EMFILE, "Too many open files"),
    ])
  func control(error: Int32, words: String) {
    let text = ListenFault.control("/run/sluice/control.sock", SystemError(call: "listen", errno: error))
    #expect(text.hasPrefix("/run/sluice/control.sock: ") && text.contains(words), "\(text)")
  }
}
