/// What `doctor` may find. Each kind has one way to mend it, which a test follows: `RemedyTests` and `DoctorTests`.
enum FindingKind: String, CaseIterable {
  // Files
  case configurationError = "configuration-error"
  case configurationWarning = "configuration-warning"
  case fileWritable = "file-writable"
  case fileOwner = "file-owner"
  case fileExposed = "file-exposed"
  case fileUnreadable = "file-unreadable"
  case logFolder = "log-folder"
  case logReadable = "log-readable"
  case controlFolder = "control-folder"

  // The machine
  case clock
  case firewallOff = "firewall-off"
  case tablesUnread = "tables-unread"
  case tablesUnusable = "tables-unusable"
  case forwardingOff = "forwarding-off"
  case connectionsFull = "connections-full"

  // The running server
  case serverForbidden = "server-forbidden"
  case serverAbsent = "server-absent"
  case bridgeDown = "bridge-down"
  case kernelBehind = "kernel-behind"
  case logBlocked = "log-blocked"
  case logUnrotated = "log-unrotated"
  case upstreamSilent = "upstream-silent"
  case upstreamRefusing = "upstream-refusing"
  case policyDiffers = "policy-differs"
  case restartNeeded = "restart-needed"

  // Rules
  case tableAbsent = "table-absent"
  case tableDiffers = "table-differs"
  case tableUncompared = "table-uncompared"
  case nftablesReload = "nftables-reload"
  case nftablesRefused = "nftables-refused"
  case queriesRefused = "queries-refused"
  case queriesUnknown = "queries-unknown"
  case setUnused = "set-unused"
  case forwardOpen = "forward-open"
  case forwardUnknown = "forward-unknown"
  case forwardClosed = "forward-closed"
  case forwardUnread = "forward-unread"

  // Networks and interfaces
  case interfacesUnread = "interfaces-unread"
  case networkExposed = "network-exposed"
  case networkElsewhere = "network-elsewhere"
  case networkOthers = "network-others"
  case networkHeld = "network-held"
  case networkAbsent = "network-absent"
  case networkList = "network-list"
  case linkShared = "link-shared"
  case portForeign = "port-foreign"
  case linkAbove = "link-above"
  case neighboursOpen = "neighbours-open"
  case neighboursFrames = "neighbours-frames"
  case flowtableGoverned = "flowtable-governed"
  case flowtableOther = "flowtable-other"

  // Addresses that serve listens on
  case listenAbsent = "listen-absent"
  case listenOutside = "listen-outside"
  case listenUnheard = "listen-unheard"
  /// Followed in RulesFirstTests.
  case listenTaken = "listen-taken"
  case podmanFile = "podman-file"
  case podmanNetwork = "podman-network"
  case podmanPort = "podman-port"

  // Engines
  case engineAbsent = "engine-absent"
  case engineUnasked = "engine-unasked"
  case engineRootless = "engine-rootless"

  // Containers
  case containerUngoverned = "container-ungoverned"
  case containerOutside = "container-outside"
  case containerHostNetwork = "container-host-network"
  case containerTrusted = "container-trusted"
  case containerTwoServers = "container-two-servers"
  case containerSecondAddress = "container-second-address"
  case containerCutAddress = "container-cut-address"
  case containerHeld = "container-held"
  case containerNoResolver = "container-no-resolver"
  case containerOtherResolver = "container-other-resolver"
  case containerOtherPort = "container-other-port"
  case containerSeveralResolvers = "container-several-resolvers"
  case containerVolume = "container-volume"
  case containerPrivileged = "container-privileged"
  case containerCapability = "container-capability"
  case containerRawPackets = "container-raw-packets"
  case containerPublishesResolver = "container-publishes-resolver"
  case containerPublishes = "container-publishes"
  case driverBeside = "driver-beside"
  case gatewayIsolated = "gateway-isolated"
  case networkInternal = "network-internal"
  case vsockOpen = "vsock-open"
  case vsockUnknown = "vsock-unknown"
}
