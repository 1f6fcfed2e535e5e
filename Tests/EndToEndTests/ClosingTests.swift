import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("While the rules are away", .timeLimit(.minutes(5)))
  struct ClosingTests {
    @Test("where they cannot be put back nothing leaves, questions are answered, and all is as before when they can")
    func closed() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        // In one transaction the table goes and another program owns one of its name, for as long as it lives.
        let program = """
          import subprocess, time
          nft = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE)
          nft.stdin.write(b"delete table inet sluice; add table inet sluice { flags owner; }\\n")
          nft.stdin.flush()
          time.sleep(600)
          """
        let thief = try RunningCommand(["python3", "-c", program], in: bed.host, folder: bed.folder)
        defer { thief.signal(SIGKILL) }
        try eventually("the networks are closed") {
          try bed.nft("list chains inet").contains("chain arriving/hook")
        }
        for _ in 0..<3 {
          for address in ["45.11.0.66", "45.11.0.10"] {
            #expect(try !bed.connects(address), "\(address) is open without rules")
          }
          #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN", "questions to the resolver go on")
        }
        #expect(try bed.nft("list chains inet").contains("chain arriving/hook"))
        // nft ends with its input, and the table with nft.
        thief.signal(SIGKILL)
        try eventually("what policy opens is open again") { try bed.connects("45.11.0.10") }
        #expect(try !bed.connects("45.11.0.66"))
        try eventually("nothing is closed any more") {
          try !bed.nft("list chains inet").contains("chain arriving/hook")
        }
      }
    }
  }
}
