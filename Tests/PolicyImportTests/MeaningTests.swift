import EgressPolicy
import Testing

@testable import PolicyImport

/// What a source's tool answers of a name, and the imported policy has to answer the same.
struct Question: Sendable {
  let format: ImportFormat
  let source: String
  let allowed: [String]
  let denied: [String]
}

@Suite("Imported names mean what they mean in the source's tool")
struct MeaningTests {
  static let questions: [Question] = [
    Question(
      format: .toolhive, source: "network: { outbound: { allow_host: [ .a.example, b.example, '*.c.example' ] } }",
      allowed: ["a.example", "x.a.example", "y.x.a.example", "b.example", "c.example", "y.x.c.example"],
      denied: ["x.b.example", "xa.example"]),
    Question(
      format: .dockerMCP, source: "{ name: s, allowHosts: [ 'a.example:443', 'b.example:8080/http' ] }",
      allowed: ["a.example", "b.example"], denied: ["x.a.example"]),
    Question(
      format: .claude, source: #"{"sandbox":{"network":{"allowedDomains":["a.example","*.b.example"]}}}"#,
      allowed: ["a.example", "x.b.example", "y.x.b.example"], denied: ["x.a.example", "b.example"]),
    Question(
      format: .codex,
      source: "[permissions.w.network.domains]\n'*.a.example'='allow'\n'**.b.example'='allow'\n'r*.c.example'='allow'",
      allowed: ["x.a.example", "y.x.a.example", "b.example", "y.x.b.example", "r.c.example", "r1.c.example"],
      denied: ["a.example", "xr1.c.example", "c.example"]),
    Question(
      format: .hardenRunner, source: "with: { allowed-endpoints: 'a.example:443 *.b.example:443 c.example' }",
      allowed: ["a.example", "x.b.example", "y.x.b.example", "c.example"], denied: ["x.a.example", "b.example"]),
    Question(
      format: .cilium,
      source: """
        { kind: CiliumNetworkPolicy, spec: { egress: [ { toFQDNs: [ { matchName: a.example }, { matchPattern: "*.b.example" },
          { matchPattern: "**.c.example" }, { matchPattern: "sub*.d.example" }, { matchPattern: "*.e.*.example.net" } ],
          toPorts: [ { ports: [ { port: "443", protocol: TCP } ] } ] } ] } }
        """,
      allowed: [
        "a.example", "x.b.example", "x.c.example", "y.x.c.example", "sub.d.example", "subx.d.example",
        "x.e.y.example.net",
      ],
      denied: ["y.x.b.example", "b.example", "c.example", "y.sub.d.example", "e.y.example.net"]),
    Question(
      format: .compose, source: "services: { s: { labels: { dockerwall.outbound: 'a.example,*.b.example' } } }",
      allowed: ["a.example", "x.b.example"], denied: ["x.a.example", "b.example", "y.x.b.example"]),
    Question(
      format: .copilot, source: "a.example, https://b.example/login/*\n| `https://*.c.example/*` | text |",
      allowed: ["a.example", "y.x.a.example", "b.example", "y.x.c.example"], denied: ["x.b.example", "c.example"]),
    Question(
      format: .agenticWorkflow,
      source: "network: { allowed: [ a.example, '*.b.example', 'api-*.c.example', 'https://d.example' ] }",
      allowed: ["a.example", "y.x.a.example", "x.b.example", "y.x.b.example", "api-1.c.example", "x.d.example"],
      denied: ["b.example", "api.c.example"]),
    Question(
      format: .openshell,
      source: """
        network_policies: { n: { endpoints: [ { host: a.example, port: 443 }, { host: "*.b.example", port: 443 },
          { host: "**.c.example", port: 443 }, { host: "eu*.d.example", port: 443 } ] } }
        """,
      allowed: ["a.example", "x.b.example", "y.x.c.example", "eu.d.example", "eu1.d.example"],
      denied: ["x.a.example", "b.example", "y.x.b.example", "c.example"]),
    Question(
      format: .cargowall,
      source: """
        {"rules":[{"type":"hostname","value":"a.example","action":"allow"},
          {"type":"hostname","value":"*.b.example","action":"allow"},
          {"type":"hostname","value":"**.c.example","action":"allow"},
          {"type":"hostname","value":"x.*.d.example","action":"allow"}],"defaultAction":"deny"}
        """,
      allowed: ["a.example", "y.x.a.example", "x.b.example", "x.c.example", "y.x.c.example", "x.1.d.example"],
      denied: ["b.example", "y.x.b.example", "c.example", "x.d.example"]),
    Question(
      format: .responsePolicy, source: "a.example CNAME rpz-passthru.\n*.b.example CNAME rpz-passthru.\n* CNAME .",
      allowed: ["a.example", "x.b.example", "y.x.b.example"], denied: ["x.a.example", "b.example"]),
    Question(
      format: .list, source: "a.example\n*.b.example\n**.c.example\n.d.example\n||e.example^\n@@||f.example^",
      allowed: ["a.example", "x.b.example", "y.x.c.example", "d.example", "y.x.d.example", "f.example", "x.f.example"],
      denied: ["x.a.example", "b.example", "y.x.b.example", "c.example", "e.example"]),
  ]

  @Test("each format's wildcards", arguments: questions)
  func wildcards(question: Question) throws {
    let policy = try imported(question.format, text: question.source)
    #expect(policy.findings.allSatisfy { !$0.contains("error:") }, "\(policy.findings)")
    for name in question.allowed { #expect(policy.allows(name), "\(name) of\n\(policy.text)") }
    for name in question.denied { #expect(!policy.allows(name), "\(name) of\n\(policy.text)") }
  }

  @Test("every format has its question, but one that denies alone")
  func complete() {
    #expect(Set(ImportFormat.allCases).subtracting(Self.questions.map(\.format)) == [.hosts])
  }

  @Test("a name that several lines match has the ports of all, as in the source's tool")
  func overlaps() throws {
    let policy = try imported(
      .cilium,
      text: """
        { kind: CiliumNetworkPolicy, spec: { egress: [
          { toFQDNs: [ { matchName: api.example.com } ], toPorts: [ { ports: [ { port: "443", protocol: TCP } ] } ] },
          { toFQDNs: [ { matchPattern: "*.example.com" } ], toPorts: [ { ports: [ { port: "22", protocol: TCP } ] } ] } ] } }
        """)
    #expect(policy.ports("api.example.com") == "22/tcp, 443/tcp")
    #expect(policy.ports("git.example.com") == "22/tcp")
  }

  @Test(
    "where the most specific line decides in the source's tool, it does here, and an exception to a denial is refused")
  func mostSpecific() throws {
    let rules = [
      ("example.com", 443, "allow"), ("git.example.com", 22, "allow"), ("ads.example.net", 443, "deny"),
      ("good.ads.example.net", 443, "allow"),
    ].map { #"{"type":"hostname","value":"\#($0)","ports":[{"port":\#($1),"protocol":"tcp"}],"action":"\#($2)"}"# }
    let policy = try imported(
      .cargowall, text: #"{"defaultAction":"deny","rules":["# + rules.joined(separator: ",") + "]}")
    #expect(policy.ports("x.git.example.com") == "22/tcp" && policy.ports("x.example.com") == "443/tcp")
    #expect(!policy.allows("good.ads.example.net") && policy.refusals.count == 1, "\(policy.text)")
    #expect(try imported(.list, text: "api.example.com:22\n*.example.com").ports("api.example.com") == "22/tcp")
  }
}
