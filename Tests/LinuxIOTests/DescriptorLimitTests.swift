import Glibc
import LinuxIO
import Testing

@Suite("Open descriptors")
struct DescriptorLimitTests {
  @Test("the limit that programs are started with is raised, and a higher one stays")
  func raise() {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var before = rlimit()
    _ = unsafe getrlimit(resource, &before)
    var low = rlimit(rlim_cur: 1024, rlim_max: before.rlim_max)
    _ = unsafe setrlimit(resource, &low)
    #expect(DescriptorLimit.current == 1024)
    DescriptorLimit.raise()
    let raised = DescriptorLimit.current
    #expect(raised == min(65_536, Int(clamping: before.rlim_max)))
    DescriptorLimit.raise()
    #expect(DescriptorLimit.current == raised)
    _ = unsafe setrlimit(resource, &before)
  }

  private static let mostAllowed: UInt64 = {
    var limits = rlimit()
    _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
    return UInt64(limits.rlim_max)
  }()

  @Test(
    "a limit beyond what is of use is not lowered", .enabled(if: mostAllowed >= 70_000, "needs a higher hard limit"))
  func higher() throws {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var before = rlimit()
    _ = unsafe getrlimit(resource, &before)
    var high = rlimit(rlim_cur: 70_000, rlim_max: before.rlim_max)
    try #require(unsafe setrlimit(resource, &high) == 0)
    DescriptorLimit.raise()
    let raised = DescriptorLimit.current
    _ = unsafe setrlimit(resource, &before)
    #expect(raised == 70_000)
  }
}
