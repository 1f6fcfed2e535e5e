import Foundation

/// A seccomp profile as container engines read it (OCI runtime specification, `linux.seccomp`, with Docker's `archMap`),
/// as far as it says who may make a socket of AF_VSOCK.
struct SeccompProfile {
  private struct Rule: Decodable {
    struct Argument: Decodable {
      var index: Int
      var value: UInt64
      var valueTwo: UInt64?
      var op: String
    }

    var names: [String]?
    var name: String?
    var action: String
    var args: [Argument]?

    func concerns(_ call: String) -> Bool { name == call || names?.contains(call) ?? false }
  }

  private struct Text: Decodable {
    struct Machine: Decodable {
      var architecture: String
      var subArchitectures: [String]?
    }

    var defaultAction: String
    var architectures: [String]?
    var archMap: [Machine]?
    var syscalls: [Rule]?
  }

  private static let family: UInt64 = 40
  private static let permitting: Set<String> = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY"]

  private let text: Text

  /// - Throws: where it is no profile.
  init(_ json: some Sequence<UInt8>) throws {
    text = try JSONDecoder().decode(Text.self, from: Data(json))
  }

  /// What a process under it may do with AF_VSOCK.
  enum Reach: Equatable {
    case open
    /// Where `socket` may be called at all, programs of 32 bits come to every family by `socketcall`, whose arguments seccomp
    /// does not see.
    case by32Bit
    case closed
  }

  /// - Parameter runs32Bit: whether this kernel runs programs of i386 beside those of its own.
  func reach(runs32Bit: Bool) -> Reach {
    let rules = (text.syscalls ?? []).filter { $0.concerns("socket") }
    let matching = rules.filter { rule in (rule.args ?? []).allSatisfy { Self.holds($0) } }
    let decisive = matching.map(\.action) + (matching.isEmpty ? [text.defaultAction] : [])
    if Self.permitting.contains(text.defaultAction) {
      // Rules forbid; without one for the family it is open.
      if decisive.allSatisfy(Self.permitting.contains) { return .open }
    } else if decisive.contains(where: Self.permitting.contains) {
      return .open
    }
    let opensAny =
      Self.permitting.contains(text.defaultAction) || rules.contains { Self.permitting.contains($0.action) }
    return runs32Bit && admits32Bit && opensAny ? .by32Bit : .closed
  }

  private var admits32Bit: Bool {
    let machines = text.archMap ?? []
    let own = machines.first { $0.architecture == "SCMP_ARCH_X86_64" }?.subArchitectures ?? []
    return (own + (text.architectures ?? [])).contains("SCMP_ARCH_X86")
  }

  /// Whether a condition on the arguments is one that AF_VSOCK meets; of the type and protocol any value may be asked for.
  private static func holds(_ argument: Rule.Argument) -> Bool {
    guard argument.index == 0 else { return true }
    return switch argument.op {
    case "SCMP_CMP_EQ": family == argument.value
    case "SCMP_CMP_NE": family != argument.value
    case "SCMP_CMP_LT": family < argument.value
    case "SCMP_CMP_LE": family <= argument.value
    case "SCMP_CMP_GT": family > argument.value
    case "SCMP_CMP_GE": family >= argument.value
    case "SCMP_CMP_MASKED_EQ": family & argument.value == argument.valueTwo ?? 0
    default: true
    }
  }
}
