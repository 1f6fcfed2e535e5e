import CLinux
import Foundation
import Glibc
import LinuxIO
import Synchronization
import Testing

@testable import Control

/// A folder that goes with the value.
private final class Folder {
  let path = NSTemporaryDirectory() + "sluice-control-" + UUID().uuidString.prefix(8)

  init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  var socket: String { path + "/run/control.sock" }
}

/// Says back what it was asked.
private let echo: ControlHandler = { request, completion in
  let text =
    "\(request.method.rawValue) \(request.path) \(request.query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }) "
    + "\(String(decoding: request.body, as: UTF8.self)) \(request.peer.uid) \(request.peer.pid)"
  completion(ControlResponse(contentType: "text/plain", body: Array(text.utf8)))
}

private func text(_ response: ControlResponse) -> String { String(decoding: response.body, as: UTF8.self) }

/// What a connection gets for these octets until it is closed, or for `seconds`.
private func raw(_ path: String, _ parts: [String], seconds: Double = 5) throws -> String {
  let descriptor = unsafe sluice_unix_connect(path)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  for part in parts {
    let octets = Array(part.utf8)
    _ = unsafe send(descriptor, octets, octets.count, Int32(MSG_NOSIGNAL))
  }
  var got: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  let end = Date.now + seconds
  while Date.now < end, unsafe Glibc.poll(&poll, 1, 200) >= 0 {
    guard poll.revents != 0 else { continue }
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    if count <= 0 { break }
    got += buffer[..<count]
  }
  return String(decoding: got, as: UTF8.self)
}

@Suite("The control socket")
struct ControlServerTests {
  @Test("a call arrives as it was made, with who made it")
  func call() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    defer { server.stop() }
    let client = ControlClient(path: folder.socket)
    let who = "\(getuid()) \(getpid())"
    #expect(try text(client.call(.get, "/v1/status")) == "GET [\"v1\", \"status\"] []  \(who)")
    #expect(
      try text(client.call(.delete, "/v1/cache?name=%2A.a&server=x+y&server=z"))
        == "DELETE [\"v1\", \"cache\"] [\"name=*.a\", \"server=z\"]  \(who)")
    #expect(
      try text(client.call(.post, "/a%2Fb//c", body: Array("hello".utf8))) == "POST [\"a/b\", \"c\"] [] hello \(who)")
  }

  @Test("a server takes its own socket along, and not the next one's")
  func stoppedTwice() throws {
    let folder = try Folder()
    let former = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    former.stop()
    #expect(!FileManager.default.fileExists(atPath: folder.socket))
    let server = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    defer { server.stop() }
    former.stop()
    #expect(try ControlClient(path: folder.socket).call(.get, "/a").status == 200)
  }

  @Test("several calls on one connection, in one piece and in many, are answered in order")
  func pipelined() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    defer { server.stop() }
    let one = "GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
    let last = "POST /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nxyz"
    for parts in [[one + one + last], (one + last).map { String($0) }] {
      let answers = try raw(folder.socket, parts).components(separatedBy: "HTTP/1.1 200 OK").dropFirst()
      #expect(answers.count == (parts.count == 1 ? 3 : 2))
      #expect(answers.last?.contains("POST [\"b\"] [] xyz") == true)
      #expect(answers.first?.contains("GET [\"a\"]") == true)
    }
  }

  @Test("what is no call is refused, and the server goes on")
  func broken() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    defer { server.stop() }
    let client = ControlClient(path: folder.socket)
    let large = [UInt8](repeating: 65, count: ControlServer.maxBody + 1)
    #expect(try client.call(.post, "/v1/x", body: large).status == 413)
    #expect(try client.call(.post, "/v1/x", body: Array(large.dropLast())).status == 200)
    #expect(try client.call(.get, "/%zz").status == 400)
    #expect(try raw(folder.socket, ["PUT /v1/x HTTP/1.1\r\nconnection: close\r\n\r\n"]).contains(" 405 "))
    #expect(try raw(folder.socket, ["*\r\n\r\n"]).contains(" 400 "))
    #expect(
      try raw(folder.socket, ["GET /" + String(repeating: "a", count: 1 << 20)], seconds: 2).contains(" 200 ") == false)
    for _ in 0..<100 {
      let idle = unsafe sluice_unix_connect(folder.socket)
      close(idle)
    }
    #expect(try client.call(.get, "/v1/x").status == 200)
  }

  @Test("more connections than there is room for are closed, and room comes back")
  func crowd() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    defer { server.stop() }
    let client = ControlClient(path: folder.socket)
    let crowd = (0..<(ControlServer.maxConnections)).map { _ in unsafe sluice_unix_connect(folder.socket) }
    #expect(crowd.allSatisfy { $0 >= 0 })
    var refused = false
    // The last of the crowd may still wait to be taken.
    for _ in 0..<50 where !refused { refused = (try? client.call(.get, "/v1/x")) == nil }
    #expect(refused)
    for descriptor in crowd { close(descriptor) }
    var admitted = false
    for _ in 0..<200 where !admitted {
      admitted = (try? client.call(.get, "/v1/x").status) == 200
      if !admitted { usleep(10_000) }
    }
    #expect(admitted)
  }

  @Test("who stops in the middle of a call is let go, who waits for an answer is not", .timeLimit(.minutes(1)))
  func idle() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket), idleSeconds: 1) { request, completion in
      Thread.detachNewThread {
        usleep(2_500_000)
        completion(ControlResponse(body: Array("late".utf8)))
      }
    }
    defer { server.stop() }
    let start = Date.now
    #expect(
      try raw(folder.socket, ["POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nxyz"], seconds: 20).isEmpty)
    #expect(try raw(folder.socket, ["GET /a HTTP/1.1\r\nhost"], seconds: 20).isEmpty)
    #expect(Date.now.timeIntervalSince(start) < 20, "a connection was not closed at all")
    #expect(
      try raw(folder.socket, ["GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], seconds: 20).hasSuffix("late")
    )
  }

  @Test("the socket has its mode, a dead one is replaced, a live one and another file are left alone")
  func slots() throws {
    let folder = try Folder()
    #expect { try ControlServer(ControlSocket(path: "/nowhere/at/all.sock"), handler: echo) } throws: {
      ($0 as? SystemError)?.errno == ENOENT
    }
    let server = try ControlServer(ControlSocket(path: folder.socket, mode: 0o640), handler: echo)
    var status = stat()
    #expect(unsafe stat(folder.socket, &status) == 0 && status.st_mode & 0o777 == 0o640)
    #expect { try ControlServer(ControlSocket(path: folder.socket), handler: echo) } throws: {
      ($0 as? SystemError)?.errno == EADDRINUSE
    }
    #expect(try ControlClient(path: folder.socket).call(.get, "/x").status == 200)
    server.stop()
    #expect(unsafe stat(folder.socket, &status) != 0)
    #expect { try ControlClient(path: folder.socket).call(.get, "/x") } throws: {
      ($0 as? SystemError)?.errno == ENOENT
    }
    // Left behind by a process that was killed.
    let run = try LinuxIO.Folder(folder.path + "/run")
    let dead = unsafe sluice_unix_listen(run.raw, "control.sock", 0o600, .max, .max)
    #expect(dead >= 0)
    close(dead)
    let next = try ControlServer(ControlSocket(path: folder.socket), handler: echo)
    #expect(try ControlClient(path: folder.socket).call(.get, "/x").status == 200)
    next.stop()
    try Data("mine".utf8).write(to: URL(filePath: folder.socket))
    #expect { try ControlServer(ControlSocket(path: folder.socket), handler: echo) } throws: {
      ($0 as? SystemError)?.errno == EEXIST
    }
    #expect(try String(contentsOfFile: folder.socket, encoding: .utf8) == "mine")
    #expect {
      try ControlServer(ControlSocket(path: folder.path + "/" + String(repeating: "a", count: 200)), handler: echo)
    } throws: {
      ($0 as? SystemError)?.errno == ENAMETOOLONG
    }
  }

  @Test("a path by which no caller could come is refused, and nothing is made, however short the socket's own name is")
  func longPath() throws {
    let folder = try Folder()
    let deep = folder.path + "/" + String(repeating: "a", count: 100)
    try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: false)
    #expect { try ControlServer(ControlSocket(path: deep + "/s"), handler: echo) } throws: {
      ($0 as? SystemError)?.errno == ENAMETOOLONG
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: deep).isEmpty)
  }

  @Test("an address of metrics that cannot be had is told apart from the socket, by the system's error")
  func metricsAddress() throws {
    let folder = try Folder()
    let port = UInt16.random(in: 20_000...29_999)
    let address = SocketAddress(isV6: false, high: 0, low: 0x7F00_004E, port: port)
    let holder = try Sockets.listenTCP(address)
    #expect {
      try ControlServer(ControlSocket(path: folder.socket), metrics: ("127.0.0.78", Int(port)), handler: echo)
    } throws: {
      ($0 as? ControlServer.MetricsError)?.cause == SystemError(call: "bind", errno: EADDRINUSE)
    }
    withExtendedLifetime(holder.raw) {}
    var status = stat()
    #expect(unsafe stat(folder.socket, &status) != 0, "no socket is left behind")
  }

  @Test("an answer that comes later, from another thread, reaches its caller")
  func later() throws {
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket)) { request, completion in
      Thread.detachNewThread {
        usleep(20_000)
        completion(.error(422, "«\(request.path.joined())»"))
      }
    }
    defer { server.stop() }
    let response = try ControlClient(path: folder.socket).call(.get, "/later")
    #expect(response.status == 422 && text(response) == "{\"error\":\"«later»\"}")
  }

  @Test("calls whose callers went away do not pile up at the handler")
  func abandoned() throws {
    let folder = try Folder()
    let held = Mutex<[@Sendable (ControlResponse) -> Void]>([])
    let isOpen = Mutex(false)
    let server = try ControlServer(ControlSocket(path: folder.socket)) { request, completion in
      if isOpen.withLock({ $0 }) { return completion(ControlResponse(body: [])) }
      held.withLock { $0.append(completion) }
    }
    defer { server.stop() }
    let call = Array("GET /list HTTP/1.1\r\nhost: x\r\n\r\n".utf8)
    for _ in 0..<300 {
      let descriptor = unsafe sluice_unix_connect(folder.socket)
      guard descriptor >= 0 else { continue }
      _ = unsafe send(descriptor, call, call.count, Int32(MSG_NOSIGNAL))
      close(descriptor)
      usleep(1_000)
    }
    let count = held.withLock { $0.count }
    #expect((1...ControlServer.maxCalls).contains(count), "\(count) calls are with the handler")
    isOpen.withLock { $0 = true }
    for completion in held.withLock({ $0 }) { completion(ControlResponse(body: [])) }
    #expect(try ControlClient(path: folder.socket).call(.get, "/list").status == 200)
  }

  @Test("who does not take his answers gets no more of them made")
  func unread() throws {
    let folder = try Folder()
    let calls = Mutex(0)
    let body = [UInt8](repeating: 0x61, count: 1 << 20)
    let server = try ControlServer(ControlSocket(path: folder.socket)) { _, completion in
      calls.withLock { $0 += 1 }
      completion(ControlResponse(body: body))
    }
    defer { server.stop() }
    let descriptor = unsafe sluice_unix_connect(folder.socket)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let call = Array("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n".utf8)
    for _ in 0..<100 { _ = unsafe send(descriptor, call, call.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) }
    usleep(1_000_000)
    #expect((1...4).contains(calls.withLock { $0 }), "\(calls.withLock { $0 }) answers were made")
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    var got = 0
    while got < 100 << 20 {
      let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { break }
      got += count
    }
    #expect(got > 100 << 20 && calls.withLock { $0 } == 100)
  }

  @Test("readers leave slots for those who may change something")
  func reserved() throws {
    try #require(geteuid() == 0, "needs root: it becomes another user")
    let folder = try Folder()
    let server = try ControlServer(ControlSocket(path: folder.socket, mode: 0o666), handler: echo)
    defer { server.stop() }
    for path in [folder.path, folder.path + "/run"] { _ = unsafe chmod(path, 0o755) }
    let script = """
      import socket, sys, time
      held = []
      for _ in range(100):
          client = socket.socket(socket.AF_UNIX)
          client.connect(sys.argv[1])
          held.append(client)
      print("held", flush=True)
      time.sleep(20)
      """
    let hog = Process()
    hog.executableURL = URL(filePath: "/usr/bin/setpriv")
    hog.arguments = [
      "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script, folder.socket,
    ]
    let output = Pipe()
    hog.standardOutput = output
    try hog.run()
    defer {
      kill(hog.processIdentifier, SIGKILL)
      hog.waitUntilExit()
    }
    #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("held"))
    for _ in 0..<10 { #expect(try ControlClient(path: folder.socket).call(.get, "/a").status == 200) }
  }

  @Test("a target begins with a slash, and no escape of it is broken")
  func targets() {
    #expect(ControlTarget("/v1/status?a=b")?.path == ["v1", "status"])
    for target in ["", "v1/status", "*", "http://host/v1/status", "/v1/%zz"] { #expect(ControlTarget(target) == nil) }
  }
}
