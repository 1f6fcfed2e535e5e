import DNSWire
import Glibc
import IPNetwork
import LinuxIO
import TestSupport

/// What the upstreams of a scenario know of names; every other name does not exist.
struct UpstreamData {
  struct Records {
    var addresses: [String]
    var ttl: Int
    /// Where the name leads to first.
    var alias: String?
  }

  /// What is said of a name and type, whatever it is.
  struct Message {
    var code: ResponseCode
    /// Octets of records.
    var answers: [[UInt8]] = []
    var authorities: [[UInt8]] = []
    var additionals: [[UInt8]] = []
  }

  private var records: [String: Records] = [:]
  private var messages: [String: Message] = [:]

  subscript(name: String, type: RRType) -> Records? {
    get { records["\(name) \(type)"] }
    set { records["\(name) \(type)"] = newValue }
  }

  subscript(message name: String, type: RRType) -> Message? {
    get { messages["\(name) \(type)"] }
    set { messages["\(name) \(type)"] = newValue }
  }

  /// The answer to a query, as a resolver gives it.
  func answer(_ name: String, _ type: RRType, id: Int) -> [UInt8] {
    // A probe: whatever is said shows that the upstream is there.
    guard name != "." else { return Messages.response(".", type, id: id) }
    if let found = self[message: name, type] {
      return Messages.response(
        name, type, id: id, code: Int(found.code.rawValue), answers: found.answers, authorities: found.authorities,
        additionals: found.additionals)
    }
    guard let found = self[name, type] else {
      return Messages.response(
        name, type, id: id, code: 3,
        authorities: [Messages.soa(name.split(separator: ".").suffix(2).joined(separator: "."))])
    }
    let owner = found.alias ?? name
    let chain = found.alias.map { [Messages.record(name, .CNAME, ttl: found.ttl, Messages.name($0))] } ?? []
    let answers = found.addresses.compactMap { IPAddress($0) }.map {
      Messages.record(owner, $0.family == .v4 ? .A : .AAAA, ttl: found.ttl, $0.octets)
    }
    return Messages.response(name, type, id: id, answers: chain + answers)
  }
}

/// An upstream on a loopback port. It reads and answers when the scenario gives it a turn, and does as it is told.
final class ScriptedUpstream {
  enum Conduct: Sendable {
    case answers
    /// Reads, and says nothing.
    case silent
    /// Reads, and answers when so many milliseconds have passed.
    case slow(Int)
    /// Reads, and answers when it `answers` again.
    case holds
    /// Says a code and nothing else.
    case fails(ResponseCode)
    /// Answers with another id than was asked.
    case forges
    /// Answers with a header and nothing else, in which TC is set.
    case truncatesAll
    /// Before each answer come others with this address, each of which differs from the true one in something else.
    case forgesBefore(String)
    /// To the first datagram of a question come so many with other ids and this address; to the others the answer.
    case floods(Int, String)
    /// Datagrams have TC and this address, and TCP the answer; or by TCP first one with another id and the address.
    case truncates(String, forges: Bool)
    /// Datagrams have this address, under the name in other letters than it was asked in, and TCP the answer.
    case folds(String)
    /// Answers, but to no query with an OPT, which is FORMERR.
    case refusesEDNS
    /// Answers with this address, when so many milliseconds have passed.
    case lies(String, after: Int)
    /// Who forges this address knows all of a question but its port, and its port but not its id: where the question before came
    /// from, and what id it had, is known. Behind the answer comes one as good, which is too late.
    case guesses(String)
    /// Datagrams have this address and more octets than were asked for, and TCP the answer.
    case swells(String)
    /// The port is closed, as far as the kernel says (ICMP).
    case gone
  }

  let port: UInt16
  /// Nil while the port is closed.
  private var socket: FileDescriptor?
  /// Has the port, and hears nothing: no other program gets it while it is closed.
  private let keeper: FileDescriptor
  private var batch = DatagramBatch()
  private var held: [(query: Query, back: DatagramReturn?, came: UInt64)] = []
  /// The question before.
  private var former: (query: Query, back: DatagramReturn?)?
  var conduct = Conduct.answers {
    didSet {
      switch conduct {
      case .truncates, .folds, .swells: speakTCP()
      case .gone: socket = nil
      default: break
      }
      if !isGone, socket == nil { socket = try? Sockets.listenUDP(Self.address(port)) }
    }
  }

  var isGone: Bool { if case .gone = conduct { true } else { false } }
  /// TCP, once it is spoken.
  private var streams: ScriptedStreams?
  /// Messages that came.
  private(set) var arrivals = 0
  /// Clients' questions, in the order in which they came.
  private(set) var questions: [String] = []
  /// Their messages as they came by UDP.
  private(set) var messages: [[UInt8]] = []
  /// The ports from which they came by datagrams, and their ids.
  private(set) var sources: [(port: UInt16, id: Int)] = []

  private struct Query {
    var id: Int
    /// From which it came, by a datagram.
    var port: UInt16 = 0
    var name: String
    /// In the letters in which it was asked.
    var question: [UInt8]
    var type: RRType
    var hasOPT: Bool

    /// Nil for what our own resolver would not send.
    init?(_ octets: [UInt8]) {
      guard octets.count > 12 else { return nil }
      var (labels, at): ([String], Int) = ([], 12)
      while at < octets.count, octets[at] != 0 {
        let end = at + 1 + Int(octets[at])
        guard end < octets.count else { return nil }
        labels.append(String(decoding: octets[(at + 1)..<end], as: UTF8.self).lowercased())
        at = end
      }
      guard at + 2 < octets.count else { return nil }
      question = Array(octets[12...at])
      id = Int(octets[0]) << 8 | Int(octets[1])
      hasOPT = octets[11] > 0
      name = labels.isEmpty ? "." : labels.joined(separator: ".")
      type = RRType(rawValue: UInt16(octets[at + 1]) << 8 | UInt16(octets[at + 2]))
    }

    /// A message with the question in the letters in which it was asked; or, where they are folded, all but the first of them.
    func inItsLetters(_ message: [UInt8], folded: Bool = false) -> [UInt8] {
      guard message.count >= 12 + question.count else { return message }
      var letters = question
      if folded { letters[1] ^= 0x20 }
      return message[..<12] + letters + message[(12 + question.count)...]
    }
  }

  init() throws {
    let first = try Sockets.listenUDP(Self.address(0))
    var bound = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let raw = first.raw
    _ = unsafe withUnsafeMutableBytes(of: &bound) {  // `length` is its size
      unsafe getsockname(raw, $0.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
    }
    port = UInt16(bigEndian: bound.sin_port)
    keeper = try Sockets.listenUDP(Self.address(port))
    // To nobody (RFC 863), so that it is sent nothing.
    try Sockets.connect(keeper.raw, to: Self.address(9))
    socket = consume first
  }

  private static func address(_ port: UInt16) -> SocketAddress {
    SocketAddress(isV6: false, high: 0, low: 0x7F00_0001, port: port)
  }

  private func speakTCP() { streams = streams ?? ScriptedStreams(port: port) }

  /// Reads what came, and answers what is to be answered; whether there was anything to do.
  func takeTurn(_ data: UpstreamData, now: UInt64) -> Bool {
    var isBusy = answerHeld(data, now)
    while let raw = socket?.raw, let count = try? batch.receive(raw, block: false), count > 0 {
      isBusy = true
      for index in 0..<count {
        arrivals += 1
        var octets: [UInt8] = []
        batch.look(index) { query, _ in
          octets = [UInt8](capacity: query.count) { out in for index in query.indices { out.append(query[index]) } }
        }
        guard var query = Query(octets) else { continue }
        query.port = batch.peer(index).address.port
        if query.name != ".", query.type != .SOA {
          questions.append("\(query.name) \(query.type)")
          messages.append(octets)
          sources.append((query.port, query.id))
        }
        held.append((query, batch.returnAddress(index), now))
      }
      _ = answerHeld(data, now)
    }
    return takeStreams(data) || isBusy
  }

  private func takeStreams(_ data: UpstreamData) -> Bool {
    streams?.takeTurn { octets in
      arrivals += 1
      guard let query = Query(octets) else { return [] }
      if query.name != ".", query.type != .SOA { questions.append("\(query.name) \(query.type)") }
      let answer = query.inItsLetters(data.answer(query.name, query.type, id: query.id))
      guard case .truncates(let address, true) = conduct, query.name != "." else { return [answer] }
      return [query.inItsLetters(lie(query, address, id: query.id ^ 1)), answer]
    } ?? false
  }

  /// As an answer, with an address that the name does not have.
  private func lie(_ query: Query, _ address: String, id: Int) -> [UInt8] {
    let data = IPAddress(address)?.octets ?? []
    return Messages.response(
      query.name, query.type, id: id, answers: [Messages.record(query.name, query.type, ttl: 300, data)])
  }

  private func answerHeld(_ data: UpstreamData, _ now: UInt64) -> Bool {
    var delay: UInt64 = 0
    switch conduct {
    case .holds: return false
    case .slow(let milliseconds), .lies(_, let milliseconds): delay = UInt64(milliseconds) * 1_000_000
    default: break
    }
    let due = held.filter { $0.came + delay <= now }
    held.removeAll { $0.came + delay <= now }
    for (query, back, _) in due {
      // A probe asks only whether anything is there.
      if query.name == ".", conduct.answersProbes {
        send(data.answer(query.name, query.type, id: query.id), back)
        continue
      }
      switch conduct {
      case .answers, .slow: send(query.inItsLetters(whole(query, data)), back)
      case .fails(let code):
        let message = Messages.response(query.name, query.type, id: query.id, code: Int(code.rawValue))
        send(query.inItsLetters(message), back)
      case .forges:
        send(query.inItsLetters(data.answer(query.name, query.type, id: query.id ^ 1)), back)
      case .truncatesAll:
        send(Messages.be16(query.id) + Messages.be16(0x8380) + [0, 0, 0, 0, 0, 0, 0, 0], back)
      case .folds(let address):
        send(query.inItsLetters(lie(query, address, id: query.id), folded: true), back)
      case .silent, .holds, .gone: break
      case .guesses(let address): guess(query, back, address, data)
      case .forgesBefore, .floods, .truncates, .refusesEDNS, .lies, .swells:
        for message in hostile(query, data) { send(query.inItsLetters(message), back) }
      }
    }
    return !due.isEmpty
  }

  private func send(_ message: [UInt8], _ back: DatagramReturn?) {
    if let raw = socket?.raw { back?.send(message, on: raw) }
  }

  /// The answer, or where it is longer than it may be that it is to be had by TCP.
  private func whole(_ query: Query, _ data: UpstreamData) -> [UInt8] {
    let message = data.answer(query.name, query.type, id: query.id)
    guard message.count > 1232 else { return message }
    speakTCP()
    var head = Messages.response(query.name, query.type, id: query.id)
    head[2] |= 0x02
    return head
  }

  private func guess(_ query: Query, _ back: DatagramReturn?, _ address: String, _ data: UpstreamData) {
    if let former {
      // Had it the same port or id again, by chance, it would be known.
      if former.query.port != query.port { send(query.inItsLetters(lie(query, address, id: query.id)), former.back) }
      for id in [former.query.id, (former.query.id + 1) & 0xFFFF] where id != query.id {
        send(query.inItsLetters(lie(query, address, id: id)), back)
      }
    }
    send(query.inItsLetters(whole(query, data)), back)
    send(query.inItsLetters(lie(query, address, id: query.id)), back)
    former = (query, back)
  }

  /// What a forger or a liar sends, and the answer where there is one.
  private func hostile(_ query: Query, _ data: UpstreamData) -> [[UInt8]] {
    let answer = data.answer(query.name, query.type, id: query.id)
    switch conduct {
    case .forgesBefore(let address):
      var forged = [lie(query, address, id: query.id ^ 1)]
      // QR, opcode, the number of questions, the type and the class of the question.
      let end = 12 + query.question.count
      for (index, bits) in [(2, 0x80), (2, 0x08), (5, 2), (end + 1, 1), (end + 3, 2)] as [(Int, UInt8)] {
        var message = lie(query, address, id: query.id)
        message[index] ^= bits
        forged.append(message)
      }
      return forged + [answer]
    case .floods(let count, let address):
      guard questions.count(where: { $0 == "\(query.name) \(query.type)" }) == 1 else { return [answer] }
      return (1...count).map { lie(query, address, id: query.id ^ $0) }
    case .truncates(let address, _):
      var message = lie(query, address, id: query.id)
      message[2] |= 0x02
      return [message]
    case .swells(let address):
      // Records of others behind the address.
      let more = (0..<60).map { Messages.record("n\($0).example", .A, [45, 66, 6, UInt8($0)]) }
      let data = IPAddress(address)?.octets ?? []
      return [
        Messages.response(
          query.name, query.type, id: query.id, answers: [Messages.record(query.name, query.type, data)] + more)
      ]
    case .refusesEDNS:
      return [query.hasOPT ? Messages.response(query.name, query.type, id: query.id, code: 1) : answer]
    case .lies(let address, _): return [lie(query, address, id: query.id)]
    default: return []
    }
  }
}

extension ScriptedUpstream.Conduct {
  /// Whether it does what it does to clients' questions alone.
  fileprivate var answersProbes: Bool {
    switch self {
    case .forgesBefore, .floods, .truncates, .folds, .refusesEDNS, .lies, .guesses, .swells: true
    default: false
    }
  }
}
