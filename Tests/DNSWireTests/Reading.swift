import DNSWire

/// The library's readers with their outputs as arrays.
enum Reading {
  /// A name's canonical octets, and where the message goes on after it.
  static func name(
    _ message: [UInt8], at start: Int, budget: inout Int
  ) throws(FormatError) -> (wire: [UInt8], end: Int) {
    var end = start
    var failure: FormatError?
    let wire = [UInt8](capacity: NameWire.maxOctets) { out in
      do throws(FormatError) {
        try NameWire.read(message.span, at: &end, pointers: &budget, into: &out)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return (wire, end)
  }

  static func name(
    _ message: [UInt8], at start: Int, pointers: Int = NameWire.pointerBudget
  ) throws(FormatError) -> (wire: [UInt8], end: Int) {
    var budget = pointers
    return try name(message, at: start, budget: &budget)
  }

  static func query(_ message: [UInt8]) -> (result: Result<Query, QueryFault>, name: [UInt8]) {
    var result: Result<Query, QueryFault> = .failure(.drop)
    let name = [UInt8](capacity: NameWire.maxOctets) { out in
      do throws(QueryFault) {
        result = .success(try Query.parse(message.span, name: &out))
      } catch {
        result = .failure(error)
      }
    }
    return (result, name)
  }

  static func records(_ message: [UInt8]) throws(FormatError) -> (reader: ResponseReader, records: [RecordHeader]) {
    var reader = try ResponseReader(message.span)
    var records: [RecordHeader] = []
    while let record = try reader.next(message.span) { records.append(record) }
    return (reader, records)
  }

  static func failure(_ message: [UInt8]) -> FormatError.Kind? {
    do throws(FormatError) {
      _ = try records(message)
      return nil
    } catch {
      return error.kind
    }
  }
}
