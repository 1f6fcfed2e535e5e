package import FirewallModel
import Glibc
package import LinuxIO

/// The plan in an anonymous file that supervisor and workers share, so that it survives each of them.
///
/// Octet 0 to 7 is the number of the last incarnation, 8 to 15 the active slot of the plan (0: none), 16 to 23 that of the
/// envelope. What is new is written to the other slot and only then made the active one: a process that dies in between
/// leaves the old one whole.
package struct SharedPlanFile {
  /// Far above the largest valid plan; slots do not overlap.
  private static let slotOctets = 64 << 20
  package static let maximumPlanOctets = slotOctets - 8

  package let descriptor: Int32

  package init(descriptor: Int32) {
    self.descriptor = descriptor
  }

  /// What has two slots each.
  private enum Page: Int {
    case plan = 8
    case envelope = 16

    var slots: (UInt64, UInt64) { self == .plan ? (1, 2) : (3, 4) }
  }

  /// A new file of incarnation 0 with what is given; without a plan none is active.
  ///
  /// - Throws: where the kernel gives no file, and `EFBIG` for what is longer than a slot.
  package static func make(_ plan: FirewallPlan?, _ envelope: Envelope? = nil) throws(SystemError) -> SharedPlanFile {
    let file = try MemoryFile(named: "sluice-plan").take()
    let planFile = SharedPlanFile(descriptor: file.raw)
    if let plan { try planFile.store(plan.encoded()) }
    if let envelope { try planFile.store(envelope) }
    return SharedPlanFile(descriptor: file.release())
  }

  /// Counts up and returns the number of this incarnation.
  package func nextIncarnation() throws(SystemError) -> UInt64 {
    let next = (word(at: 0) ?? 0) &+ 1
    try write(word: next, at: 0)
    return next
  }

  /// - Parameter plan: encoded.
  package func store(_ plan: [UInt8]) throws(SystemError) { try store(plan, .plan) }

  /// Makes an envelope the active one; `EFBIG` where it is longer than a slot.
  package func store(_ envelope: Envelope) throws(SystemError) { try store(envelope.encoded(), .envelope) }

  private func store(_ octets: [UInt8], _ page: Page) throws(SystemError) {
    guard octets.count <= Self.maximumPlanOctets else { throw SystemError(call: "pwrite", errno: EFBIG) }
    let slot = word(at: page.rawValue) == page.slots.0 ? page.slots.1 : page.slots.0
    let start = Int(slot) * Self.slotOctets
    try write(word: UInt64(octets.count), at: start)
    try write(octets, at: start + 8)
    try write(word: slot, at: page.rawValue)
  }

  /// No plan is active any more; the envelope stays.
  package func forget() throws(SystemError) {
    try write(word: 0, at: Page.plan.rawValue)
  }

  /// The active plan, or nil without a valid one.
  package func load() -> FirewallPlan? {
    decoded(.plan) { octets throws(BridgeFormatError) in try FirewallPlan(decoding: octets) }
  }

  /// The active envelope, or nil without a valid one.
  package func loadEnvelope() -> Envelope? {
    decoded(.envelope) { octets throws(BridgeFormatError) in try Envelope(decoding: octets) }
  }

  private func decoded<Value>(_ page: Page, _ decode: ([UInt8]) throws(BridgeFormatError) -> Value) -> Value? {
    guard let octets = octets(of: page) else { return nil }
    do throws(BridgeFormatError) {
      return try decode(octets)
    } catch {
      // Processes of one executable wrote it, as a whole before it became active.
      StandardError.write("sluice bridge: the \(page) that processes share cannot be read: \(error)")
      return nil
    }
  }

  private func octets(of page: Page) -> [UInt8]? {
    guard let slot = word(at: page.rawValue), slot == page.slots.0 || slot == page.slots.1 else { return nil }
    let start = Int(slot) * Self.slotOctets
    guard let count = word(at: start), count <= UInt64(Self.maximumPlanOctets) else { return nil }
    return read(Int(count), at: start + 8)
  }

  private func word(at offset: Int) -> UInt64? {
    // As `OctetWriter` writes a number: little-endian.
    read(8, at: offset)?.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func write(word: UInt64, at offset: Int) throws(SystemError) {
    var writer = OctetWriter()
    writer.integer(word)
    try write(writer.octets, at: offset)
  }

  private func read(_ count: Int, at offset: Int) -> [UInt8]? {
    var octets = [UInt8](repeating: 0, count: count)
    let got = unsafe octets.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
    return got == count ? octets : nil
  }

  private func write(_ octets: [UInt8], at offset: Int) throws(SystemError) {
    let count = unsafe octets.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
    guard count == octets.count else { throw SystemError(call: "pwrite", errno: errno) }
  }
}
