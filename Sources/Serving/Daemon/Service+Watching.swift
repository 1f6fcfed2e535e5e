import LinuxIO
import Resolver
import Settings

/// What serve follows while it serves: policy files, the clock and the host's network.
extension Service {
  func watch(_ policies: PolicyController) throws(StartError) -> PolicyWatcher {
    do {
      return try PolicyWatcher(settings.folders, reactor: reactor) { policies.reload(nil) }
    } catch {
      throw StartError("watch: \(error)")
    }
  }

  /// A clock that is set ends what is over by it at once; it is set, too, when the host has slept.
  func followClock(_ policies: PolicyController, _ service: ResolutionService) throws(StartError) {
    do {
      let watcher = try ClockWatcher()
      var sleep = SleepClock()
      try reactor.register(watcher.readiness, readable: true, writable: false) {
        [unowned policies, unowned service] _ in
        guard watcher.take() else { return }
        let slept = sleep.take()
        if slept > 0 { service.slept(nanoseconds: slept) }
        policies.clockWasSet()
      }
    } catch {
      throw StartError("the clock cannot be followed: \(error)")
    }
  }

  func followHost() throws(StartError) -> HostWatcher {
    do {
      return try HostWatcher(reactor: reactor, mailbox: mailbox)
    } catch {
      throw StartError("the host's network cannot be followed: \(error)")
    }
  }

  /// Before anything that an earlier run opened is taken over.
  func start(_ watcher: HostWatcher, _ service: ResolutionService) throws(StartError) {
    do {
      service.host = try watcher.current()
    } catch {
      throw StartError("the host's network cannot be read: \(error)")
    }
    service.refuseAddresses(for: service.snapshot)
    watcher.onChange = { [unowned service] in service.hostChanged($0) }
    service.onHost = { watcher.take($0) }
  }
}
