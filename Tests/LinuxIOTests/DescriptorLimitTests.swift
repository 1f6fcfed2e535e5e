import Glibc
import Testing

@testable import LinuxIO

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

  @Test("a limit beyond what is of use is not lowered")
  func higher() {
    let before = DescriptorLimit.current
    DescriptorLimit.raise(to: rlim_t(before - 1))
    #expect(DescriptorLimit.current == before)
  }
}
