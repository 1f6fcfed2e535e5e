import Foundation
import Glibc
import IPNetwork
import Testing

extension EndToEnd {
  @Suite("Sockets of the service manager", .timeLimit(.minutes(2)))
  struct SocketActivationTests {
    /// Binds what it is told as a service manager does, and holds it; starts the program when, and as often as, a file
    /// `start-N` appears, and says how each run ended.
    private static let manager = """
      import os, select, socket, sys, time
      folder, drop, executable, configuration = sys.argv[1:5]
      sockets, names = [], []
      for address in sys.argv[5:]:
          kind, address = address.split("/", 1)
          if kind == "unix":
              made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
              made.bind(address)
          else:
              host, port = address.rsplit(":", 1)
              family = socket.AF_INET6 if ":" in host else socket.AF_INET
              made = socket.socket(family, socket.SOCK_DGRAM if kind.startswith("udp") else socket.SOCK_STREAM)
              if kind == "udp*":
                  made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
              # FreeBind=yes: IP_FREEBIND, IPV6_FREEBIND.
              made.setsockopt(*((socket.IPPROTO_IPV6, 78) if family == socket.AF_INET6 else (socket.IPPROTO_IP, 15)), 1)
              if family == socket.AF_INET6 and kind != "udp46":
                  made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
              made.bind((host, int(port)))
          if not kind.startswith("udp"):
              made.listen(16)
          sockets.append(made)
          names.append(kind)
      print("bound", flush=True)
      run = 0
      while True:
          run += 1
          while not os.path.exists(f"{folder}/start-{run}"):
              time.sleep(0.01)
          pid = os.fork()
          if pid == 0:
              high = [os.dup2(made.fileno(), 100 + index) for index, made in enumerate(sockets)]
              for index, descriptor in enumerate(high):
                  os.dup2(descriptor, 3 + index)
                  os.close(descriptor)
              os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names))
              words = [executable, "serve", "--config", configuration]
              if drop != "-":
                  words = ["setpriv", "--bounding-set", drop] + words
              os.execvp(words[0], words)
          with open(f"{folder}/pid", "w") as file:
              file.write(str(pid))
          os.rename(f"{folder}/pid", f"{folder}/pid-{run}")
          status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
          poll = select.poll()
          for made in sockets:
              poll.register(made, select.POLLRDHUP)
          print(f"ended {run} {status} {len(poll.poll(0))}", flush=True)
      """

    private final class Manager {
      private let bed: Testbed
      private let command: RunningCommand

      init(_ bed: Testbed, without capability: String = "-", _ addresses: [String]) throws {
        self.bed = bed
        try bed.sluice.writeConfiguration()
        let executable = try #require(Machine.executable)
        let words = [bed.sluice.folder.path, capability, executable, bed.sluice.configurationFile] + addresses
        command = try RunningCommand(
          ["python3", "-c", SocketActivationTests.manager] + words, in: bed.host, folder: bed.sluice.folder,
          environment: ["SWIFT_BACKTRACE": "enable=no"])
        try eventually("the manager has bound its sockets") { command.output.hasPrefix("bound") }
      }

      var errors: String { command.errors }

      func start(_ run: Int) {
        _ = FileManager.default.createFile(
          atPath: bed.sluice.folder.appending(path: "start-\(run)").path, contents: nil)
      }

      func pid(_ run: Int) throws -> Int32 {
        let file = bed.sluice.folder.appending(path: "pid-\(run)")
        try eventually("run \(run) is started") { FileManager.default.fileExists(atPath: file.path) }
        return try #require(Int32(try String(contentsOf: file, encoding: .utf8)))
      }

      func serves(_ run: Int) throws {
        try eventually("run \(run) serves", within: 20) {
          errors.components(separatedBy: "sluice: serving").count > run
        }
      }

      /// The exit status of a run; it has shut none of the manager's sockets down.
      func status(_ run: Int) throws -> Int32 {
        var found: Int32?
        try eventually("run \(run) has ended", within: 20) {
          let line = command.output.split(separator: "\n").first { $0.hasPrefix("ended \(run) ") }
          let numbers = line?.split(separator: " ").dropFirst(2).compactMap { Int32($0) } ?? []
          found = numbers.first
          #expect(numbers.isEmpty || numbers == [numbers[0], 0], "sockets are shut down: \(numbers)")
          return found != nil
        }
        return try #require(found)
      }

      func end() {
        for child in Processes.children(of: command.pid) { Processes.signal(child, SIGTERM) }
        try? eventually("the program has ended") { Processes.children(of: command.pid).isEmpty }
        command.signal(SIGKILL)
        _ = try? command.status(within: 5)
      }
    }

    private func passed(_ bed: Testbed) -> [String] {
      [
        "udp/10.77.1.1:53", "tcp/10.77.1.1:53", "udp/fd00:77:1::1:53", "tcp/fd00:77:1::1:53",
        "unix/\(bed.sluice.folder.path)/control.sock",
      ]
    }

    private static var waiting: TestbedSettings {
      var settings = TestbedSettings()
      settings.startsSluice = false
      return settings
    }

    /// Asks from many ports, so that every worker is asked.
    private func askEveryWorker(_ bed: Testbed) throws {
      for id in 0..<UInt16(40) {
        let socket = try bed.socket()
        socket.send(Question("localhost").octets(id: id))
        #expect(socket.receive(within: 3).flatMap { Reply($0) }?.id == id)
      }
    }

    @Test("what was asked before the start and between two runs is answered; the sockets stay as they were")
    func queued() throws {
      try Testbed.run(Self.waiting) { (bed: Testbed) throws in
        let manager = try Manager(bed, passed(bed))
        defer { manager.end() }
        let early = [try bed.socket(), try bed.socket(to: "fd00:77:1::1")]
        for socket in early { socket.send(Question("api.github.com").octets(id: 7)) }
        let stream = try bed.stream()
        manager.start(1)
        for socket in early {
          let reply = try #require(socket.receive(within: 20).flatMap { Reply($0) }, "\(manager.errors)")
          #expect(reply.id == 7 && reply.addresses.map(\.description) == ["45.11.0.10"])
        }
        stream.sendFramed(Question("api.github.com").octets(id: 8))
        #expect(stream.receiveFramed(within: 5).flatMap { Reply($0) }?.id == 8)
        try manager.serves(1)
        #expect(manager.errors.contains("5 sockets taken over from the service manager"))
        #expect(try bed.connects("45.11.0.10"))
        try askEveryWorker(bed)
        #expect(try bed.sluice.command("status").status == 0)
        let first = try manager.pid(1)

        kill(first, SIGTERM)
        #expect(try manager.status(1) == 0)
        // No serve runs; the manager still has the sockets.
        let between = try bed.socket()
        between.send(Question("api.github.com").octets(id: 9))
        let betweenStream = try bed.stream()
        betweenStream.sendFramed(Question("api.github.com").octets(id: 10))
        manager.start(2)
        let late = try #require(between.receive(within: 20).flatMap { Reply($0) }, "\(manager.errors)")
        #expect(late.id == 9 && late.addresses.map(\.description) == ["45.11.0.10"])
        #expect(betweenStream.receiveFramed(within: 5).flatMap { Reply($0) }?.id == 10)
        try manager.serves(2)
        try askEveryWorker(bed)
        #expect(try bed.sluice.command("status").status == 0)
      }
    }

    @Test("sockets of addresses that are not there yet are taken over, and every worker has its own beside them")
    func absent() throws {
      try Testbed.run(Self.waiting) { (bed: Testbed) throws in
        for address in ["10.77.1.1/24", "fd00:77:1::1/64"] { try bed.host.ip("address delete \(address) dev br-mcp") }
        let manager = try Manager(bed, passed(bed))
        defer { manager.end() }
        manager.start(1)
        try manager.serves(1)
        #expect(!manager.errors.contains("all workers read those"), "\(manager.errors)")
        try bed.host.ip("address add 10.77.1.1/24 dev br-mcp")
        try bed.host.ip("address add fd00:77:1::1/64 dev br-mcp nodad")
        try askEveryWorker(bed)
        for server in ["10.77.1.1", "fd00:77:1::1"] {
          #expect(try bed.dig("api.github.com", "A", server: server).values == ["45.11.0.10"])
          #expect(try bed.dig("api.github.com", "A", "+tcp", server: server).values == ["45.11.0.10"])
        }
        kill(try manager.pid(1), SIGTERM)
        #expect(try manager.status(1) == 0)
      }
    }

    @Test("where nothing may be bound beside it, all workers share the one socket, and it is said")
    func shared() throws {
      try Testbed.run(Self.waiting) { (bed: Testbed) throws in
        let manager = try Manager(bed, without: "-net_bind_service", passed(bed))
        defer { manager.end() }
        manager.start(1)
        try manager.serves(1)
        #expect(manager.errors.contains("all workers read those"), "\(manager.errors)")
        try askEveryWorker(bed)
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try bed.dig("api.github.com", "A", "+tcp").values == ["45.11.0.10"])
        kill(try manager.pid(1), SIGTERM)
        #expect(try manager.status(1) == 0)
      }
    }

    @Test("a socket for each worker and one for floods is all that is needed of one address")
    func oneForEach() throws {
      try Testbed.run(Self.waiting) { (bed: Testbed) throws in
        let udp = ["10.77.1.1:53", "fd00:77:1::1:53"].flatMap { Array(repeating: "udp*/" + $0, count: 3) }
        let tcp = passed(bed).filter { $0.hasPrefix("tcp") }
        let manager = try Manager(bed, without: "-net_bind_service", udp + tcp)
        defer { manager.end() }
        manager.start(1)
        try manager.serves(1)
        #expect(!manager.errors.contains("all workers read those"), "\(manager.errors)")
        try askEveryWorker(bed)
        kill(try manager.pid(1), SIGTERM)
        #expect(try manager.status(1) == 0)
      }
    }

    @Test(
      "a socket that the configuration has no address for ends the start, by name",
      arguments: [
        ("udp/10.77.1.1:5353", "UDP 10.77.1.1:5353: `listen:` does not name it"),
        ("tcp/192.0.2.1:53", "TCP 192.0.2.1:53: `listen:` does not name it"),
        ("unix//tmp/sluice-e2e-other.sock", "`control:` is"),
      ])
    func stranger(_ address: String, _ reason: String) throws {
      try Testbed.run(Self.waiting) { (bed: Testbed) throws in
        _ = unsafe unlink("/tmp/sluice-e2e-other.sock")
        let manager = try Manager(bed, ["udp/10.77.1.1:53", address])
        defer {
          manager.end()
          _ = unsafe unlink("/tmp/sluice-e2e-other.sock")
        }
        manager.start(1)
        #expect(try manager.status(1) == 1)
        #expect(manager.errors.contains("socket activation: descriptor 4"), "\(manager.errors)")
        #expect(manager.errors.contains(reason), "\(manager.errors)")
      }
    }
  }
}
