import DNSWire
import IPNetwork

/// What the lines of a run's events are made with: the keys of `Documentation/event.md` in its order, one object a line.
package struct EventEncoder: ~Copyable {
  /// The parts of an event that are not text.
  struct Fields {
    var code: AuditCode
    /// Nil where an aggregate holds several types.
    var type: RRType?
    /// Nil where there is none, or where an aggregate of connections holds several.
    var transport: AuditTransport?
    var responseCode: ResponseCode
    var payloadSize: UInt32
    /// Nil where an aggregate holds several clients, and where the service has none.
    var client: IPAddress?
    var clientPort: UInt16
    var wallClock: UInt64
    var count: UInt64
    /// The first and the last of several.
    var interval: (first: UInt64, last: UInt64)?
  }

  enum Destination {
    case name
    /// Any name under the one given.
    case anyUnder
    case any
  }

  static let membersOmitted = Array(",\"members_omitted\":true".utf8)

  private let run: [UInt8]
  private var sequence: UInt64 = 0
  private var time = Timestamp()
  private let words: [[UInt8]]
  private let types: [[UInt8]]
  private let responseCodes: [[UInt8]]

  /// - Parameter run: greater than that of every run before: it begins the ids of all events.
  package init(run: UInt64) {
    var prefix: [UInt8] = []
    prefix.append(hexadecimal: run, digits: 10)
    prefix.append(UInt8(ascii: "-"))
    self.run = prefix
    words = (0...UInt8.max).map { value in
      let code = AuditCode(rawValue: value)
      return Array("\",\"decision\":\"\(code.decision.rawValue)\",\"reason\":\"\(code.reason)\",\"payload_size\":".utf8)
    }
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
    output.append(ascii: "{\"ts\":\"")
    time.append(fields.wallClock, to: &output)
    output.append(ascii: "\",\"server\":\"")
    if server.isEmpty { output.append(ascii: "unknown") } else { output.append(jsonEscaped: server) }
    output.append(ascii: "\",\"destination\":\"")
    if destination != .name { output.append(UInt8(ascii: "*")) }
    if destination == .anyUnder { output.append(UInt8(ascii: ".")) }
    if destination != .any {
      if fields.code.isQuery { output.append(jsonName: name) } else { output.append(jsonEscaped: name) }
    }
    output.append(contentsOf: words[Int(fields.code.rawValue)])
    output.append(decimal: UInt64(fields.payloadSize))
    output.append(ascii: ",\"id\":\"")
    output.append(contentsOf: run)
    sequence += 1
    output.append(hexadecimal: sequence, digits: 10)
    output.append(ascii: "\",\"code\":\"")
    output.append(ascii: fields.code.token)
    output.append(ascii: "\",\"client\":")
    appendClient(fields, to: &output)
    if fields.code.isQuery {
      output.append(ascii: ",\"type\":\"")
      append(fields.type, to: &output)
      output.append(ascii: "\",\"rcode\":\"")
      append(fields.responseCode, to: &output)
      output.append(ascii: "\",\"count\":")
    } else {
      output.append(ascii: ",\"type\":null,\"rcode\":null,\"count\":")
    }
    output.append(decimal: fields.count)
    if let (first, last) = fields.interval {
      output.append(ascii: ",\"first_ts\":\"")
      time.append(first, to: &output)
      output.append(ascii: "\",\"last_ts\":\"")
      time.append(last, to: &output)
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
    case nil where fields.code.isService: output.append(ascii: "null")
    case nil: output.append(ascii: "\"*\"")
    }
    output.append(ascii: ",\"client_port\":")
    guard let transport = fields.transport else { return output.append(ascii: "null,\"transport\":null") }
    output.append(decimal: UInt64(fields.clientPort))
    output.append(ascii: ",\"transport\":\"")
    switch transport {
    case .udp: output.append(ascii: "udp\"")
    case .tcp: output.append(ascii: "tcp\"")
    case .control: output.append(ascii: "control\"")
    }
  }

  /// Appends what an aggregate stands for: `count` wire names, one after the other, or as many texts, each as one label
  /// of a name.
  func appendSamples(_ names: Span<UInt8>, count: Int, areNames: Bool, to output: inout [UInt8]) {
    output.append(ascii: ",\"samples\":[")
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
