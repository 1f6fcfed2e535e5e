import AuditStore
import Testing

@testable import AuditLog
@testable import sluice

/// What the places that look at single codes make of each. A code that is new has no line here: write one, and with it say
/// what each of those places is to make of it.
@Suite("Every audit code has its place")
struct AuditCodeStandTests {
  private enum Suggestion { case nothing, entry, remark }

  private struct Stand: Equatable {
    /// How long its repeats are counted (`WindowSpan.swift`).
    var window = WindowSpan.short
    /// Whether its events become sums where a server is over its share of the log (`Coalescer+Totals.swift`).
    var isSummed = false
    /// What `log suggest` makes of it (`PolicySuggestion.swift`).
    var suggestion = Suggestion.nothing
    /// Whether `log top` counts it (`LogTally.swift`).
    var isInTop = true
    /// Whether `log policy` shows it (`PolicyChangeText.swift`).
    var isPolicyChange = false
  }

  private static let stands: [(codes: [AuditCode], stand: Stand)] = [
    ([.notListed], Stand(suggestion: .entry)),
    ([.typeNotAllowed], Stand(window: .day, suggestion: .entry)),
    // Of a refused answer only where it says which addresses; `PolicySuggestionTests` has those.
    (
      [.classNotAllowed, .unknownClient, .answerNotPublic, .upstreamBlocked, .chainRefused], Stand(suggestion: .remark)
    ),
    (
      [
        .denied, .deniedAddress, .answerInvalid, .firewallUnavailable, .setFull, .upstreamUnreachable, .upstreamRefused,
        .chainTooLong, .overloaded, .interrupted, .upstreamUntrusted, .bogus, .insecure, .unvalidated,
      ], Stand()
    ),
    (
      [.granted, .answered, .answeredStale, .nameVerified, .overMaxBytes, .overMaxBytesPerHour, .inspectorFlagged],
      Stand()
    ),
    ([.familiesDiffer, .noise, .logQuota], Stand(isInTop: false)),
    ([.special], Stand(window: .hour, isInTop: false)),
    (
      [
        .neverResolved, .wrongPort, .expired, .rawAddress, .otherResolver, .dnsOverTLS, .dnsOverHTTPS, .spoofedSource,
        .hostFence, .maxBytes, .maxBytesPerHour, .networkHeld, .inboundRefused, .withdrawn, .grantLost,
        .noConnection, .sniMismatch, .sniMissing, .notTLS, .echRefused, .unreachable, .gateFull, .inspectorRefused,
      ], Stand(suggestion: .remark)
    ),
    (
      [.policyReloaded, .policyRefused, .grantsRevoked, .cacheFlushed, .allowedForTime, .allowanceEnded, .started],
      Stand(isPolicyChange: true)
    ),
    ([.revoked], Stand(isSummed: true, isPolicyChange: true)),
    ([.egressVolume], Stand(isSummed: true)),
    ([.askedByOperator], Stand(isInTop: false)),
    (
      [
        .enforcementDegraded, .enforcementRestored, .inspectorDown, .inspectorRestored, .upstreamMismatch,
        .upstreamIntercepted, .interfaceEnclosed,
        .networkExposed, .refusals,
        .summary, .stopped, .crashed, .logDisturbed,
      ], Stand()
    ),
  ]

  @Test("of each code every place that looks at single ones makes what is written here, and none is left out")
  func stands() throws {
    let written = Self.stands.flatMap(\.codes)
    #expect(Set(written).count == written.count)
    for code in AuditCode.registered where !written.contains(code) {
      Issue.record(
        "\(code.token) is new: a line above says what each place is to make of it, and the recipe where else")
    }
    #expect(Set(written).isSubset(of: AuditCode.registered))
    for (codes, stand) in Self.stands {
      for code in codes { #expect(try Self.found(code) == stand, "\(code.token)") }
    }
  }

  private static func found(_ code: AuditCode) throws -> Stand {
    var event = LoggedEvent(
      destination: "api.example.org", code: code.token.description, decision: code.decision.rawValue)
    event.type = code.isQuery ? "TXT" : nil
    if code.isService { event.client = nil }
    if code.isConnection { event.members = #","address":"192.0.2.1","protocol":"tcp","port":8443"# }
    let line = try event.line
    var suggestion = PolicySuggestion(server: "agent", policy: nil)
    suggestion.add(line)
    let lines = suggestion.lines()
    var tally = LogTally(by: .destination)
    tally.add(line)
    return Stand(
      window: WindowSpan(of: code), isSummed: Coalescer.Totals.of(code) != nil,
      suggestion: lines.isEmpty ? .nothing : lines.contains { $0.hasPrefix("  - ") } ? .entry : .remark,
      isInTop: !tally.first(1).isEmpty, isPolicyChange: PolicyChangeText.codes.contains(code))
  }
}
