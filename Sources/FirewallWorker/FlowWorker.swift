import FirewallModel
import Dispatch
import GrantLedger
import LinuxIO
import NFTables
import Synchronization

/// Works on the kernel's connection table on a thread of its own: reading a large one takes longer than a grant may.
final class FlowWorker: Sendable {
  enum Task: Sendable {
    case cut(request: UInt32, refusal: BridgeRefusal?, targets: [FlowTarget])
    case inUse(request: UInt32, targets: [FlowTarget], elements: [GrantElement])
  }

  enum Outcome: Sendable {
    case cut(request: UInt32, refusal: BridgeRefusal?, flows: Int)
    case inUse(request: UInt32, elements: [GrantElement])
    case failed(request: UInt32, refusal: BridgeRefusal?, text: String)
  }

  private let tasks = Mutex<(queue: [Task], isOver: Bool)>(([], false))
  private let wake = DispatchSemaphore(value: 0)
  private let thread = Mutex<NamedThread?>(nil)
  /// Becomes readable when something is done.
  let outcomes: Mailbox<Outcome>

  init() throws(SystemError) {
    outcomes = try Mailbox()
    let started = try NamedThread("flows") { [self] in run() }
    thread.withLock { $0 = started }
  }

  func submit(_ task: Task) {
    tasks.withLock { $0.queue.append(task) }
    wake.signal()
  }

  /// Waits for the task at hand and ends the thread; what still waits is not done.
  func stop() {
    tasks.withLock { $0.isOver = true }
    wake.signal()
    thread.withLock { $0.take() }?.join()
  }

  private func run() {
    while true {
      wake.wait()
      let (task, isOver) = tasks.withLock { state -> (Task?, Bool) in
        (state.queue.isEmpty ? nil : state.queue.removeFirst(), state.isOver)
      }
      if isOver { return }
      if let task { outcomes.post(perform(task)) }
    }
  }

  private func perform(_ task: Task) -> Outcome {
    do {
      // A socket for each task: they are rare, and nothing of an earlier one can be read by a later one.
      let table = try ConnectionTable()
      switch task {
      case .cut(let request, let refusal, let targets):
        return .cut(request: request, refusal: refusal, flows: try table.cut(targets))
      case .inUse(let request, let targets, let elements):
        let used = try table.inUse(targets)
        return .inUse(request: request, elements: used.sorted().filter { $0 < elements.count }.map { elements[$0] })
      }
    } catch {
      let text = "the kernel's connections cannot be read: \(error)"
      switch task {
      case .cut(let request, let refusal, _): return .failed(request: request, refusal: refusal, text: text)
      case .inUse(let request, _, _): return .failed(request: request, refusal: BridgeRefusal(.failed), text: text)
      }
    }
  }
}
