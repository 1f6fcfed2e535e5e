import Resolver

/// An audit log that can be written, and whose writer never sleeps.
package struct OpenGate: AuditGate {
  package init() {}

  package var isBlocked: Bool { false }
  package func wake() {}
}
