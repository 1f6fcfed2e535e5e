import DNSWire

/// The queries in hand after screening: numbers, and the canonical octets of each name. One buffer for the life of a
/// thread.
struct ScreenedQueries: ~Copyable {
  /// What is known of a query before any table was asked for its name.
  private struct Slot {
    var query: Result<Query, QueryFault> = .failure(.drop)
    /// Octets of the name.
    var nameCount = 0
    var key = Key()
  }

  /// What the tables are asked with.
  struct Key {
    /// Of the name, by the policy's `nameHash`.
    var hash: UInt64 = 0
    var type = RRType(rawValue: 0)
    /// The server in whose network the client is.
    var server: Int?
  }

  /// RFC 1035 section 2.3.4, rounded up.
  private static let room = 256
  /// `room` octets for each slot, all of them always there.
  private(set) var octets: [UInt8]
  private var slots: [Slot]
  /// The slot that is answered.
  private(set) var current = 0

  init(slots count: Int) {
    octets = [UInt8](repeating: 0, count: count * Self.room)
    slots = [Slot](repeating: Slot(), count: count)
  }

  /// Where in `octets` the name of the query that is answered lies.
  var name: Range<Int> { name(current) }

  /// The query that is answered, or what is wrong with it.
  var query: Result<Query, QueryFault> { slots[current].query }

  /// What the tables are asked with for the query that is answered.
  var key: Key { slots[current].key }

  func key(_ slot: Int) -> Key { slots[slot].key }

  mutating func select(_ slot: Int) { current = slot }

  /// Parses a client's message and keeps its name and what follows from it and from where it came.
  mutating func screen(_ slot: Int, _ message: Span<UInt8>, hash: NameHash, server: () -> Int?) {
    var written = 0
    let first = slot &* Self.room
    let query: Result<Query, QueryFault> = unsafe octets.withUnsafeMutableBufferPointer { buffer in
      let buffer = unsafe UnsafeMutableBufferPointer(rebasing: buffer[first..<(first &+ Self.room)])
      var out = unsafe OutputSpan(buffer: buffer, initializedCount: 0)
      let result: Result<Query, QueryFault>
      do throws(QueryFault) {
        result = .success(try Query.parse(message, name: &out))
      } catch {
        result = .failure(error)
      }
      written = unsafe out.finalize(for: buffer)
      return result
    }
    slots[slot].query = query
    guard case .success(let screened) = query else {
      slots[slot].key.server = server()
      return
    }
    slots[slot].nameCount = written
    slots[slot].key = Key(
      hash: hash(octets.span.extracting(first..<(first &+ written))), type: screened.type, server: server())
  }

  private func name(_ slot: Int) -> Range<Int> {
    let first = slot &* Self.room
    return first..<(first &+ slots[slot].nameCount)
  }
}
