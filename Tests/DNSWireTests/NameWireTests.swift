import DNSWire
import Testing

@Suite("Names in messages")
struct NameWireTests {
  private let header = [UInt8](repeating: 0, count: 12)

  private func kind(_ octets: [UInt8], at offset: Int = 12, pointers: Int = NameWire.pointerBudget) -> FormatError.Kind?
  {
    do throws(FormatError) {
      _ = try Reading.name(header + octets, at: offset, pointers: pointers)
      return nil
    } catch {
      return error.kind
    }
  }

  @Test("a pointer backwards is followed and the offset stops behind it")
  func compressed() throws {
    let octets: [UInt8] = [3, 65, 66, 67, 0, 1, 120, 0xC0, 12, 9]
    let (wire, end) = try Reading.name(header + octets, at: 17)
    #expect(wire == [1, 120, 3, 97, 98, 99, 0])
    #expect(end == 21)
  }

  @Test("pointers to themselves, in a circle, forwards, past the end and into the header are refused (threats W4)")
  func pointers() {
    #expect(kind([0xC0, 12]) == .forwardPointer)
    #expect(kind([0xC0, 14, 0xC0, 12]) == .forwardPointer)
    #expect(kind([0xC0, 14, 0xC0, 12], at: 14) == .forwardPointer)
    #expect(kind([0xC0, 20, 0, 0, 0, 0, 0, 0, 0]) == .forwardPointer)
    #expect(kind([0xFF, 0xFF]) == .forwardPointer)
    #expect(kind([1, 97, 0xC0, 12]) == .forwardPointer)
    #expect(kind([0, 0xC0, 0], at: 13) == .forwardPointer)
    #expect(kind([0, 0xC0, 11], at: 13) == .forwardPointer)
    #expect(kind([0xC0]) == .truncated)
    #expect(kind([0, 0xC0], at: 13) == .truncated)
  }

  @Test("the pointers of a message are counted over all of its names (threats W5)")
  func budget() throws {
    // A root name, then a chain in which each pointer leads to the one before.
    var octets: [UInt8] = [0]
    for index in 0..<200 {
      let target = index == 0 ? 12 : 13 + 2 * (index - 1)
      octets += [0xC0 | UInt8(target >> 8), UInt8(target & 255)]
    }
    #expect(kind(octets, at: 13 + 2 * 127) == nil)
    #expect(kind(octets, at: 13 + 2 * 128) == .tooManyPointers)
    var budget = 10
    _ = try Reading.name(header + octets, at: 13 + 2 * 6, budget: &budget)
    #expect(budget == 3)
  }

  @Test("the obsolete label types are refused (threats W6)", arguments: 0x40...0xBF as ClosedRange<UInt8>)
  func labelTypes(_ octet: UInt8) {
    #expect(kind([octet] + [UInt8](repeating: 97, count: 200) + [0]) == .labelType)
  }

  @Test("255 octets are read, 256 are not, compressed or not (threats W7)")
  func length() throws {
    let label = { (count: Int) in [UInt8(count)] + [UInt8](repeating: 97, count: count) }
    let long = label(63) + label(63) + label(63)
    #expect(kind(long + label(61) + [0]) == nil)
    #expect(kind(long + label(62) + [0]) == .nameTooLong)
    #expect(kind(long + [0] + label(61) + [0xC0, 12], at: 12 + 193) == nil)
    #expect(kind(long + [0] + label(62) + [0xC0, 12], at: 12 + 193) == .nameTooLong)
    #expect(kind([UInt8](repeating: 1, count: 600)) == .nameTooLong)
  }

  @Test("a name that ends with the message is refused")
  func truncated() {
    for octets in [[], [3], [3, 97], [3, 97, 98, 99], [1, 97, 5, 97, 0]] as [[UInt8]] {
      #expect(kind(octets) == .truncated)
    }
    #expect(kind([0], at: 13) == .truncated)
    #expect(kind([0], at: 1000) == .truncated)
    #expect(kind([0], at: -1) == .truncated)
  }

  @Test("a name that does not fit is refused, not cut")
  func noSpace() {
    let message = header + [3, 97, 98, 99, 0]
    for capacity in 0..<5 {
      var failure: FormatError?
      _ = [UInt8](capacity: capacity) { out in
        var at = 12
        var budget = 1
        do throws(FormatError) {
          try NameWire.read(message.span, at: &at, pointers: &budget, into: &out)
        } catch {
          failure = error
        }
      }
      #expect(failure?.kind == .noSpace)
    }
  }

  @Test("only the 26 ASCII letters change case (threats N4, RFC 4343)")
  func lowercase() {
    for octet in 0...255 as ClosedRange<UInt8> {
      #expect(NameWire.lowercased(octet) == ((65...90).contains(octet) ? octet + 32 : octet))
    }
  }

  @Test("printing wire octets that are no name ends (threats W9)")
  func brokenWire() {
    for wire in [[], [5], [5, 97], [63, 0], [1, 97]] as [[UInt8]] {
      _ = NameWire.presentation(wire.span)
      _ = NameWire.labelCount(wire.span)
      _ = Name(canonical: wire.span).labels
      _ = Name(canonical: wire.span).parent
      _ = Name(canonical: wire.span).isSubdomain(of: .root)
    }
    #expect(NameWire.presentation([0].span) == ".")
  }
}
