import LinuxIO
import Serving
import Testing

@testable import sluice

@Suite("Waiting for a table's lock")
struct LockWaitTests {
  private let wait = LockWait(table: "sluice", since: MonotonicTime(nanoseconds: 0))
  private let late = MonotonicTime(nanoseconds: LockWait.patience * 1_000_000)

  @Test("a table that is there is in force, however late it is seen")
  func there() throws {
    #expect(try wait.isInForce(.success(true), now: MonotonicTime(nanoseconds: 1)))
    #expect(try wait.isInForce(.success(true), now: late))
  }

  @Test("a table that is not there yet, and a look that failed, are looked at again until the end")
  func waiting() throws {
    let early = MonotonicTime(nanoseconds: LockWait.patience * 1_000_000 - 1)
    #expect(try !wait.isInForce(.success(false), now: early))
    #expect(try !wait.isInForce(.failure(StartError("cannot be read")), now: early))
  }

  @Test("at the end the last look's failure is told, or that the lock is held for nothing")
  func over() {
    #expect(reason(.failure(StartError("cannot be read"))) == "cannot be read")
    #expect(reason(.success(false)) == "another process holds table inet sluice, and there is no such table")
  }

  private func reason(_ found: Result<Bool, StartError>) -> String? {
    do throws(StartError) {
      _ = try wait.isInForce(found, now: late)
      return nil
    } catch {
      return error.reason
    }
  }
}
