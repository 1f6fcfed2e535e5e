package import AuditLog

/// Why a question was ended that policy allowed when it came. It is answered SERVFAIL: the client asks again, and gets what
/// holds then.
package enum Interruption: String, Sendable, CaseIterable {
  /// Another policy is in force, which decides otherwise about the name or opens something else for it.
  case policy
  /// An operator ended what is open for the name.
  case `operator`
  /// The time of its entry is over.
  case time
  /// The answer that was to be renewed is in the cache no more.
  case cache
  /// The service stops.
  case stopping

  /// What the event says beside its code, `interrupted`.
  package var members: AuditMembers { AuditMembers(.cause, rawValue) }
}
