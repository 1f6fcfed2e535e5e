import AuditLog
import Control
import EgressPolicy
import FirewallModel
import Settings

/// What the machine is told, and says.
extension PolicyChanges {
  /// What decides and opens now; a change that is refused leaves all of it as it is.
  struct InForce {
    /// Of what a reload may change: forwards, the networks that were given back, and the bounds of permits.
    var settings: Settings
    /// As the files had them when they were read last; some of their rules may not be in force any more.
    var policies: [ServerPolicy]
    /// What is allowed for a time, oldest first.
    var permits: [Permit] = []
    /// By which the firewall knows servers and bounds.
    var indexes: FirewallIndexes
    /// Seconds since 1970, at which it was compiled: an end after it is still to come into force.
    var compiledAt: UInt64
    /// The sets that the bridge found, by firewall index; nil where every server has all of them.
    var sets: [ServerSets]?
    /// What the files had otherwise when they were read last, and a reload does not take.
    var needsRestart: [ChangedValue] = []
  }

  /// Something that changes what is in force.
  struct Change {
    enum Kind {
      /// The files may say something else.
      case files
      /// The bridge found other sets.
      case sets([ServerSets])
      /// A rule or a permit is over.
      case time
      /// Of servers that no policy has any more something may still stand in the firewall.
      case remains
      case permit(Permit)
      /// Permits end before their time.
      case withdraw(Set<UInt64>)
    }

    var kind: Kind
    /// Those who wait for its end, by numbers of their own.
    var callers: [UInt64] = []
    /// The first of them.
    var peer: ControlPeer?

    var isPermit: Bool { if case .permit = kind { true } else { false } }

    /// Takes away only: what ends must end, even where the firewall takes no other rules (P7).
    var isNarrowing: Bool {
      switch kind {
      case .time, .withdraw: true
      case .files, .sets, .permit, .remains: false
      }
    }

    /// Why the policy changes and who wanted it, as members of the event.
    var members: AuditMembers {
      let cause =
        switch kind {
        case .files: "files"
        case .permit: "permit"
        case .withdraw: "permit-withdrawn"
        case .sets: "sets"
        case .time: "time"
        case .remains: "remains"
        }
      return AuditMembers().with(peer?.members).with(.cause, cause)
    }
  }

  /// What is to be compiled on another thread.
  struct Compilation {
    /// The files are read first, and their policies are compiled.
    var readsFiles: Bool
    var policies: [ServerPolicy]
    var permits: [Permit]
  }

  /// What is to be put in force.
  struct Proposal {
    /// Nil where policies stay as they are.
    var compiled: CompiledPolicy?
    var settings: Settings
    /// The sets that the bridge found.
    var sets: [ServerSets]?
    /// Of the event that tells of it; nil where policies stay as they are, and none does.
    var members: AuditMembers?
    /// Between what serve runs with and the files; nil where none were read.
    var difference: SettingsDifference?
    /// False leaves rules and sets as they are.
    var changesRules = true
  }

  /// What it is told.
  enum Event {
    case asked(Change)
    /// Whether a permit stands in the log.
    case recorded(Bool)
    /// The bridge has read the files too, or says why not.
    case bridgeRead(String?)
    /// A second of waiting for that is over; whether the bridge answered an echo meanwhile.
    case bridgeWaited(isHeard: Bool)
    /// What was read, and what was compiled of it.
    case compiled(LoadedSettings?, CompiledPolicy?)
    /// What became of a proposal, and by which numbers the firewall knows servers if it is in force.
    case activated(Activation, indexes: FirewallIndexes, renumbers: Bool)
    /// The wall clock was set, or the time of a `wake` has come.
    case clockWasSet
    case woken
  }

  /// What is to be done, each before the next.
  enum Action {
    /// The log is told of a permit before anything else happens; ends with `recorded`.
    case record(Permit)
    /// The bridge reads the files again; ends with `bridgeRead`.
    case announce
    /// After a second `bridgeWaited` is told.
    case awaitBridge
    /// Ends with `compiled`.
    case compile(Compilation)
    /// Files are watched in these folders.
    case watch(Set<String>)
    /// Ends with `applied`.
    case activate(Proposal)
    /// A reload changed nothing; the number of errors.
    case recordRefused(errors: Int, members: AuditMembers)
    /// A permit is over; who ended it, if it was not the clock.
    case recordEnd(Permit, by: ControlPeer?)
    case tell(String)
    /// A change is over.
    case finish(Change, Activation, PolicyDifference?)
    /// `woken` is due in so many milliseconds, and at no other time; nil at none.
    case wake(UInt64?)
  }

  /// The clocks at one moment.
  struct Moment {
    /// Nanoseconds since 1970.
    var wall: UInt64
    /// Nanoseconds of the monotonic clock.
    var monotonic: UInt64

    var seconds: UInt64 { wall / 1_000_000_000 }
  }
}
