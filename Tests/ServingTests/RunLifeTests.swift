import AuditLog
import AuditStore
import Foundation
import Testing

@testable import Serving

/// What a start says of the run before it.
@Suite struct RunLifeTests {
  private static let life: Set<AuditCode> = [.started, .stopped, .crashed]

  /// Serves with the log at a path.
  private func serve(_ log: String, isStopped: Bool) throws -> [AuditCode] {
    let stage = try Stage(Setting())
    let audit = try AuditStore(settings: AuditStoreSettings(path: log, rings: 1))
    stage.service.tellStart(in: audit)
    stage.settle()
    // Without the stop the ring is as SIGKILL leaves it.
    if isStopped {
      try audit.start()
      audit.stop()
    }
    return stage.events.map(\.code).filter(Self.life.contains)
  }

  /// What serve does until something that it needs cannot be had.
  private func failToServe(_ log: String) throws {
    let audit = try AuditStore(settings: AuditStoreSettings(path: log, rings: 1))
    try audit.start()
    audit.stop()
  }

  @Test("a crash is told by the next start, however many starts failed between, and no failed start is a crash")
  func failedStarts() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-life-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let log = folder.appending(path: "audit.jsonl").path
    try failToServe(log)
    #expect(try serve(log, isStopped: false) == [.started])
    try failToServe(log)
    try failToServe(log)
    #expect(try serve(log, isStopped: true) == [.crashed, .started])
    try failToServe(log)
    #expect(try serve(log, isStopped: true) == [.started])
  }
}
