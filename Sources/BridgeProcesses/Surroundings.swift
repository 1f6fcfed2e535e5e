package import FirewallModel
import HostNetwork
package import LinuxIO

extension Ruleset.Surroundings {
  /// As things are on this host now.
  ///
  /// - Parameter state: the path of the state folder.
  /// - Throws: when interfaces and routes, or the list of networks that were governed, cannot be read.
  package init(_ plan: FirewallPlan, state: String) throws(SystemError) {
    guard plan.mode == .managed else {
      self.init()
      return
    }
    let held = try StateFolder.networks(of: plan.table, at: state).held(beside: plan)
    let relevance = Enclosure.Relevance(plan, held: held.map(\.prefix))
    self.init(plan, held: held, host: try RouteSocket().read { relevance.contains($0) })
  }
}
