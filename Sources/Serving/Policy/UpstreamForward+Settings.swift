import Settings
import Upstream

extension UpstreamForward {
  /// Those of a configuration, in the order of `Settings.forwardZones`.
  static func all(of settings: Settings) -> [UpstreamForward] {
    settings.forwards.map { forward in
      UpstreamForward(zone: forward.zone, servers: forward.upstreams.map { UpstreamServer($0) })
    }
  }
}
