import EgressPolicy
import LinuxIO

extension [ServerPolicy] {
  /// What of the policies holds by the wall clock: rules whose time is over are left out.
  func inForceNow() -> [ServerPolicy] {
    let now = WallClock.seconds()
    return map { $0.inForce(at: now) }
  }
}
