import Glibc

/// How many descriptors this process may have open (RLIMIT_NOFILE, getrlimit(2)).
package enum DescriptorLimit {
  /// Enough for every bound of serve together; more would only make a leak last longer.
  private static let wanted: rlim_t = 65_536

  /// The limit that applies now.
  package static var current: Int {
    Int(clamping: limits.rlim_cur)
  }

  /// Raises the limit as far as it is of use and the process may; programs are started with 1024 for the sake of
  /// select(2), which nothing here calls.
  package static func raise() { raise(to: wanted) }

  static func raise(to wanted: rlim_t) {
    var limits = limits
    let raised = min(wanted, limits.rlim_max)
    guard raised > limits.rlim_cur else { return }
    limits.rlim_cur = raised
    _ = unsafe setrlimit(resource, &limits)
  }

  private static var resource: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }

  private static var limits: rlimit {
    var limits = rlimit(rlim_cur: 1024, rlim_max: 1024)
    _ = unsafe getrlimit(resource, &limits)
    return limits
  }
}
