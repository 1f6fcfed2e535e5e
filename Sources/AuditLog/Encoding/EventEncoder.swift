import DNSWire
import IPNetwork

/// What the lines of a run's events are made with: the keys of `Documentation/event.md` in its order, one object a line.
package struct EventEncoder: ~Copyable {
  typealias Fields = AuditEvent.Fields

  enum Destination {
    case name
    /// Any name under the one given.
    case anyUnder
    case any
  }

  static let membersOmitted = AuditMembers.Shaped.membersOmitted.opening + Array("true".utf8)

  private let run: [UInt8]
  private var sequence: UInt64 = 0
  private var time = Timestamp()
  private let pieces = EventPieces.shared
  /// From behind the destination to the payload's size, by code.
  private let words: [[UInt8]]
  /// From behind the id to the client, by code.
  private let tokens: [[UInt8]]
  /// From behind the client's port to the type, by transport.
  private let transports: [[UInt8]]
  private let noTransport: [UInt8]
  private let types: [[UInt8]]
  private let responseCodes: [[UInt8]]

  /// - Parameter run: greater than that of every run before: it begins the ids of all events.
  package init(run: UInt64) {
    var prefix: [UInt8] = []
    prefix.append(run: run)
    self.run = prefix
    let pieces = pieces
    let codes = (0...UInt8.max).map { AuditCode(rawValue: $0) }
    words = codes.map { code in
      pieces.decision + Array(code.decision.rawValue.utf8) + pieces.reason + Array(code.reason.description.utf8)
        + pieces.payloadSize
    }
    tokens = codes.map { pieces.code + Array($0.token.description.utf8) + pieces.client }
    transports = AuditTransport.allCases.map { transport in
      var octets = pieces.transport
      octets.append(jsonQuoted: transport.name)
      return octets
    }
    noTransport = EventPieces.null + pieces.transport + EventPieces.null
    types = (0..<512).map { Array(RRType(rawValue: $0).description.utf8) }
    responseCodes = (0..<32).map { Array(ResponseCode(rawValue: $0).description.utf8) }
  }

  /// Appends the event of a record of its own.
  mutating func append(_ record: borrowing AuditRecord, to output: inout [UInt8]) {
    let header = record.header
    let fields = Fields(
      code: header.code, type: header.type, transport: header.transport, responseCode: header.responseCode,
      payloadSize: header.payloadSize, client: header.client, clientPort: header.clientPort,
      wallClock: header.wallClock, count: 1, interval: nil)
    let octets = record.octets.span
    begin(fields, octets.extracting(record.server), .name, octets.extracting(record.name), to: &output)
    appendMembers(octets.extracting(record.members), to: &output)
    end(to: &output)
  }

  /// Appends everything of an event but what follows its fixed keys.
  mutating func begin(
    _ fields: Fields, _ server: Span<UInt8>, _ destination: Destination, _ name: Span<UInt8>, to output: inout [UInt8]
  ) {
    begin(fields, server, to: &output)
    if destination != .name { output.append(UInt8(ascii: "*")) }
    if destination == .anyUnder { output.append(UInt8(ascii: ".")) }
    if destination != .any {
      if fields.code.isQuery { output.append(jsonName: name) } else { output.append(jsonEscaped: name) }
    }
    goOn(fields, to: &output)
    output.append(contentsOf: run)
    sequence += 1
    output.append(hexadecimal: sequence, digits: 10)
    finish(fields, to: &output)
  }

  /// Appends an event that has all its parts.
  package mutating func append(_ event: AuditEvent, to output: inout [UInt8]) {
    begin(event.fields, Self.octets(event.server).span, to: &output)
    output.append(jsonEscaped: Self.octets(event.destination).span)
    goOn(event.fields, to: &output)
    output.append(run: event.id.run)
    output.append(hexadecimal: event.id.number, digits: 10)
    finish(event.fields, to: &output)
    appendMembers(event.members.octets.span, to: &output)
    end(to: &output)
  }

  /// An octet for each character.
  private static func octets(_ text: String) -> [UInt8] {
    text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
  }

  /// Up to the destination.
  private mutating func begin(_ fields: Fields, _ server: Span<UInt8>, to output: inout [UInt8]) {
    output.append(contentsOf: pieces.time)
    time.append(fields.wallClock, to: &output)
    output.append(contentsOf: pieces.server)
    if server.isEmpty { output.append(ascii: "unknown") } else { output.append(jsonEscaped: server) }
    output.append(contentsOf: pieces.destination)
  }

  /// From behind the destination up to the id.
  private func goOn(_ fields: Fields, to output: inout [UInt8]) {
    output.append(contentsOf: words[Int(fields.code.rawValue)])
    output.append(decimal: UInt64(fields.payloadSize))
    output.append(contentsOf: pieces.id)
  }

  /// From behind the id to the last of the fixed keys.
  private mutating func finish(_ fields: Fields, to output: inout [UInt8]) {
    output.append(contentsOf: tokens[Int(fields.code.rawValue)])
    appendClient(fields, to: &output)
    if fields.code.isQuery {
      output.append(contentsOf: pieces.type)
      append(fields.type, to: &output)
      output.append(contentsOf: pieces.responseCode)
      append(fields.responseCode, to: &output)
      output.append(contentsOf: pieces.count)
    } else {
      output.append(contentsOf: pieces.noType)
    }
    output.append(decimal: fields.count)
    if let interval = fields.interval {
      output.append(contentsOf: pieces.first)
      time.append(interval.first, to: &output)
      output.append(contentsOf: pieces.last)
      time.append(interval.last, to: &output)
      output.append(UInt8(ascii: "\""))
    }
  }

  /// Appends the values of client, client port and transport; null where there is nothing.
  private func appendClient(_ fields: Fields, to output: inout [UInt8]) {
    switch fields.client {
    case let client?:
      output.append(UInt8(ascii: "\""))
      output.append(address: client)
      output.append(UInt8(ascii: "\""))
    case nil where fields.code.isService: output.append(contentsOf: EventPieces.null)
    case nil: output.append(ascii: "\"*\"")
    }
    output.append(contentsOf: pieces.clientPort)
    guard let transport = fields.transport else { return output.append(contentsOf: noTransport) }
    output.append(decimal: UInt64(fields.clientPort))
    output.append(contentsOf: transports[Int(transport.rawValue)])
  }

  /// Appends what an aggregate stands for: `count` wire names, one after the other, or as many texts, each as one label
  /// of a name.
  func appendSamples(_ names: Span<UInt8>, count: Int, areNames: Bool, to output: inout [UInt8]) {
    output.append(key: AuditMembers.List.samples)
    output.append(UInt8(ascii: "["))
    var at = 0
    for number in 0..<count {
      let end = Self.end(ofName: names, at)
      if number > 0 { output.append(UInt8(ascii: ",")) }
      output.append(UInt8(ascii: "\""))
      appendSample(names.extracting(at..<end), isName: areNames, to: &output)
      output.append(UInt8(ascii: "\""))
      at = end
    }
    output.append(UInt8(ascii: "]"))
  }

  /// Appends a wire name, or a text in the form of one.
  func appendSample(_ sample: Span<UInt8>, isName: Bool, to output: inout [UInt8]) {
    if isName {
      output.append(jsonName: sample)
    } else if sample.count > 2 {
      output.append(jsonEscaped: sample.extracting(1..<(sample.count - 1)))
    }
  }

  func end(to output: inout [UInt8]) {
    output.append(ascii: "}\n")
  }

  static func end(ofName names: Span<UInt8>, _ start: Int) -> Int {
    var at = start
    while at < names.count, names[at] != 0 {
      at += Int(names[at]) + 1
    }
    return min(at + 1, names.count)
  }

  /// Members that would break the line are left out, and the event says so.
  func appendMembers(_ members: Span<UInt8>, to output: inout [UInt8]) {
    guard !members.isEmpty else { return }
    guard JSONMembers.areWellFormed(members) else {
      output.append(contentsOf: Self.membersOmitted)
      return
    }
    unsafe members.withUnsafeBufferPointer { unsafe output.append(contentsOf: $0) }
  }

  private func append(_ type: RRType?, to output: inout [UInt8]) {
    guard let type else { return output.append(UInt8(ascii: "*")) }
    if type.rawValue < types.count { return output.append(contentsOf: types[Int(type.rawValue)]) }
    output.append(ascii: "TYPE")
    output.append(decimal: UInt64(type.rawValue))
  }

  private func append(_ code: ResponseCode, to output: inout [UInt8]) {
    if code.rawValue < responseCodes.count { return output.append(contentsOf: responseCodes[Int(code.rawValue)]) }
    output.append(ascii: "RCODE")
    output.append(decimal: UInt64(code.rawValue))
  }
}

extension [UInt8] {
  /// What the ids of all events of a run begin with.
  fileprivate mutating func append(run: UInt64) {
    append(hexadecimal: run, digits: 10)
    append(UInt8(ascii: "-"))
  }
}
