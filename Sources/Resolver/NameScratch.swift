import DNSWire

/// The octets of the name of the query in hand, canonical; one buffer for the life of a thread.
struct NameScratch: ~Copyable {
  /// RFC 1035 section 2.3.4.
  private static let capacity = 255
  /// Always `capacity` octets; the name is the first `count` of them.
  private(set) var octets = [UInt8](repeating: 0, count: NameScratch.capacity)
  private(set) var count = 0

  /// Parses a client's message and keeps its name.
  mutating func parse(_ message: Span<UInt8>) throws(QueryFault) -> Query {
    var written = 0
    let result: Result<Query, QueryFault> = unsafe octets.withUnsafeMutableBufferPointer { buffer in
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
    count = written
    return try result.get()
  }
}
