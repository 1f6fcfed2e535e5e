import LinuxIO

/// Why the audit log cannot be used; nothing may be served without it (P7).
package struct AuditStoreError: Error, CustomStringConvertible {
  package let description: String

  init(_ path: String, _ text: String) {
    description = "audit log \(path): \(text)"
  }

  init(_ path: String, _ error: SystemError) {
    self.init(path, error.description)
  }
}
