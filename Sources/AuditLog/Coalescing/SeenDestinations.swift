/// Which destinations each client had a line of its own for, in the hour of its server: registrable domains of names that
/// were denied, and addresses with port of connections that were refused.
///
/// Only hashes are kept, 64 bits under a seed of this process: two destinations are taken for one with a probability
/// below 10⁻¹³ a client and hour. What was seen is not remembered over a restart: then a client gets more lines, not
/// fewer.
///
/// Addresses of clients can be invented, within the networks of their server, so room is not for who comes first:
///
///     ¼ settled: 16 destinations of each client that had a line, for the first of them
///     ½ further: of settled clients, each fewer than are free
///     ¼ others:  of clients that find no room among the settled
///
/// A settled client stays one for as long as it has a line in every hour.
///
/// Memory: no more than `serverRoom` destinations of a server and `totalRoom` of all together (4,096 of a server where
/// there are more than 256), at 8 to 32 octets each, and 64 more where each is the only one of its client. Of entries of
/// the policy a sixteenth as many.
struct SeenDestinations {
  /// Destinations of each kind that a client has lines of their own for in an hour.
  static let perClient: UInt16 = 1024
  static let serverRoom = 65_536
  /// Of each settled client there is room for so many, whatever others have.
  static let perSettled = 16
  static let totalRoom = 1 << 20
  /// Of the room for destinations an entry of the policy for each so many.
  private static let roomPerEntry = 16
  private static let hour: UInt64 = 3_600_000_000_000

  enum Sighting {
    /// It was in no line of this hour, and is to get one.
    case new
    /// It had one.
    case known
    /// It was in no line of this hour, and is not to get one of its own.
    case beyond
  }

  /// What a destination is of; each kind has its lines.
  enum Kind: Int {
    case name
    case connection
    /// An address opened, of a server that is far over its share of the log.
    case grant
  }

  /// What may get a line of its own: a client at a destination.
  struct Contact {
    /// A seeded hash of client, code and destination.
    var destination: UInt64
    /// A seeded hash of the client.
    var client: UInt64
    var kind: Kind
  }

  private struct Client {
    /// Of each kind.
    var counts: InlineArray<3, UInt16> = [0, 0, 0]
    var isTold = false
    var isSettled: Bool

    var count: Int { Int(counts[0]) + Int(counts[1]) + Int(counts[2]) }
  }

  private struct Server {
    var end: UInt64 = 0
    /// Hashes, 0 where a slot is free; a power of two, at most half full.
    var slots: [UInt64] = []
    var count = 0
    /// Of `count`: what settled clients have beyond what is kept for them, and what the others have.
    var further = 0
    var others = 0
    var clients: [UInt64: Client] = [:]
    var settled = 0
    var isCrowdTold = false
    /// Hashes of the entries that a grant was told of.
    var entries: Set<UInt64> = []

    mutating func begin(until end: UInt64) {
      let stay = clients.filter { $0.value.isSettled && $0.value.count > 0 }
      self = Server()
      self.end = end
      clients = stay.mapValues { _ in Client(isSettled: true) }
      settled = clients.count
    }

    /// The slot that holds a hash, or the free one that is to.
    func slot(_ hash: UInt64) -> Int {
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] != 0, slots[slot] != hash { slot = (slot + 1) & (slots.count - 1) }
      return slot
    }

    mutating func grow() {
      let former = slots
      slots = [UInt64](repeating: 0, count: max(former.count * 2, 256))
      for hash in former where hash != 0 { slots[slot(hash)] = hash }
    }
  }

  private let servers: Int
  private var seen: [Server] = []

  /// - Parameter servers: that policies name; more may come.
  init(servers: Int) { self.servers = servers }

  /// Destinations of one server, all clients together.
  var room: Int { min(Self.serverRoom, max(4096, Self.totalRoom / max(servers, seen.count, 1))) }

  /// What is known of a destination; one that is new is known from now on.
  ///
  /// - Parameters:
  ///   - server: its index.
  ///   - mayTell: whether a line can be made for what is new; else it stays new, and is `beyond` this time.
  mutating func find(_ contact: Contact, server: Int, mayTell: Bool, now: UInt64) -> Sighting {
    begin(server, now)
    if seen[server].count * 2 >= seen[server].slots.count { seen[server].grow() }
    let hash = max(contact.destination, 1)
    let slot = seen[server].slot(hash)
    if seen[server].slots[slot] == hash { return .known }
    guard mayTell, take(contact.kind, of: contact.client, server: server) else { return .beyond }
    seen[server].slots[slot] = hash
    seen[server].count += 1
    return .new
  }

  /// Takes room for a destination of a client, if there is some for it.
  private mutating func take(_ kind: Kind, of client: UInt64, server: Int) -> Bool {
    let room = room
    let isKnown = seen[server].clients[client]
    let isSettled = isKnown?.isSettled ?? (seen[server].settled < settledRoom)
    var known = isKnown ?? Client(isSettled: isSettled)
    guard known.counts[kind.rawValue] < Self.perClient else { return false }
    if !isSettled {
      guard seen[server].others < room / 4 else { return false }
      seen[server].others += 1
    } else if known.count >= Self.perSettled {
      guard known.count - Self.perSettled < room / 2 - seen[server].further else { return false }
      seen[server].further += 1
    }
    known.counts[kind.rawValue] += 1
    if isKnown == nil, isSettled { seen[server].settled += 1 }
    seen[server].clients[client] = known
    return true
  }

  /// Clients of one server that can be settled.
  var settledRoom: Int { room / 4 / Self.perSettled }

  /// Whether a client is settled: it is told apart from others however many there are.
  mutating func isSettled(_ client: UInt64, server: Int, now: UInt64) -> Bool {
    begin(server, now)
    return seen[server].clients[client]?.isSettled == true
  }

  /// Whether an entry of the policy had no grant in a line of this hour yet; it has from now on. Its room is its own, so
  /// that nothing that a client does can take it.
  mutating func isNew(entry: UInt64, server: Int, now: UInt64) -> Bool {
    begin(server, now)
    guard seen[server].entries.count < room / Self.roomPerEntry else { return false }
    return seen[server].entries.insert(entry).inserted
  }

  /// Begins the server's next hour, if its last is over.
  private mutating func begin(_ server: Int, _ now: UInt64) {
    while seen.count <= server { seen.append(Server()) }
    if now >= seen[server].end { seen[server].begin(until: now &+ Self.hour) }
  }

  /// Whether it is to be told now that a server has more clients than are told apart: once an hour.
  mutating func mustTellCrowd(server: Int, now: UInt64) -> Bool {
    begin(server, now)
    defer { seen[server].isCrowdTold = true }
    return !seen[server].isCrowdTold
  }

  /// Whether it is to be told now that a client has had all the lines that it can have of its own: once an hour.
  mutating func mustTellNoise(of client: UInt64, server: Int) -> Bool {
    guard let known = seen[server].clients[client], !known.isTold,
      max(known.counts[0], known.counts[1]) >= Self.perClient
    else { return false }
    seen[server].clients[client]?.isTold = true
    return true
  }
}
