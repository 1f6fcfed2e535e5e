// swift-tools-version: 6.3
import PackageDescription

// Layers: a target imports only targets of lower layers (checked again by `.ci/layers`).
//
//   L7  sluice
//   L6  Serving  PolicyImport
//   L5  Transport  Upstream  FirewallBridge  FirewallWorker  Gate  Settings  AuditStore  Control  ControlAPI
//   L4  Resolver  Enforcement  NFTables  BridgeProcesses  GateModel  Validator
//   L3  Zones  FirewallModel  TLS  HTTP2  Validation
//   L2  LDNS  HostNetwork  EgressPolicy  ResponseCache  GrantLedger  AuditLog
//   L1  LinuxIO  DNSWire  IPNetwork  Sharing
//   L0  CLDNS  CNetfilter  CZstd  CLinux

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

func layer(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(of name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.byName(name: name), "TestSupport"] + dependencies,
    resources: resources, swiftSettings: strict)
}

let package = Package(
  name: "sluice",
  products: [.executable(name: "sluice", targets: ["sluice"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // L0
    .systemLibrary(
      name: "CLDNS", pkgConfig: "ldns", providers: [.apt(["libldns-dev"])]),
    .systemLibrary(
      name: "CNetfilter", pkgConfig: "libnftnl", providers: [.apt(["libnftnl-dev", "libmnl-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "CLinux"),
    // L1
    layer("LinuxIO", ["CLinux"]),
    layer("DNSWire"),
    layer("IPNetwork"),
    layer("Sharing"),
    // L2
    layer("LDNS", ["CLDNS", "DNSWire"]),
    layer("HostNetwork", ["CLinux", "LinuxIO", "IPNetwork"]),
    layer("EgressPolicy", ["CLinux", "LinuxIO", "DNSWire", "IPNetwork"]),
    layer("ResponseCache", ["CLinux", "DNSWire"]),
    layer("GrantLedger", ["DNSWire", "IPNetwork"]),
    layer("AuditLog", ["CLinux", "LinuxIO", "DNSWire", "IPNetwork"]),
    // L3
    layer("Zones", ["LDNS", "DNSWire", "IPNetwork"]),
    // What the firewall is to be, which both ends of the bridge know.
    layer("FirewallModel", ["IPNetwork", "HostNetwork", "EgressPolicy", "GrantLedger"]),
    // TLS as a transform of octets, without a socket.
    layer(
      "TLS",
      [
        "LDNS", .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ]),
    // HTTP/2 as a transform of octets, without a socket.
    layer(
      "HTTP2",
      [
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
      ]),
    // What signatures prove (DNSSEC), without a socket.
    layer("Validation", ["LDNS", "DNSWire", "Sharing"]),
    // L4
    layer(
      "Resolver",
      [
        "CLinux", "DNSWire", "IPNetwork", "Sharing", "Zones", "EgressPolicy", "ResponseCache", "GrantLedger",
        "AuditLog", "Validation",
      ]),
    // The process that verifies signatures, and serve's end of it.
    layer("Validator", ["CLinux", "LinuxIO", "LDNS", "Sharing", "Validation"]),
    layer("Enforcement", ["GrantLedger", "FirewallModel"]),
    // What speaks netlink, and what the bridge's processes share.
    layer(
      "NFTables",
      ["CNetfilter", "CLinux", "LinuxIO", "IPNetwork", "EgressPolicy", "GrantLedger", "FirewallModel"]),
    layer("BridgeProcesses", ["CLinux", "LinuxIO", "HostNetwork", "FirewallModel"]),
    // What the gate judges connections by, which serve knows too.
    layer("GateModel", ["DNSWire", "IPNetwork", "EgressPolicy", "GrantLedger", "FirewallModel"]),
    // L5
    layer(
      "Transport",
      [
        "CLinux", "LinuxIO", "DNSWire", "IPNetwork", "Sharing", "EgressPolicy", "AuditLog", "Resolver",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      ]),
    layer("Upstream", ["LinuxIO", "DNSWire", "IPNetwork", "Sharing", "TLS", "HTTP2"]),
    layer("FirewallBridge", ["LinuxIO", "Sharing", "GrantLedger", "FirewallModel", "BridgeProcesses"]),
    // All that decides what is done with CAP_NET_ADMIN.
    layer(
      "FirewallWorker",
      [
        "CLinux", "LinuxIO", "IPNetwork", "HostNetwork", "EgressPolicy", "GrantLedger", "FirewallModel", "NFTables",
        "BridgeProcesses",
      ]),
    // The processes through which connections go that have to say a name.
    layer(
      "Gate",
      [
        "CLinux", "LinuxIO", "DNSWire", "IPNetwork", "Sharing", "EgressPolicy", "GrantLedger", "FirewallModel",
        "GateModel",
      ]),
    layer("Settings", ["DNSWire", "IPNetwork", "EgressPolicy", "Yams"]),
    layer("AuditStore", ["CZstd", "CLinux", "LinuxIO", "IPNetwork", "AuditLog"]),
    layer(
      "Control",
      [
        "CLinux", "LinuxIO",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ]),
    layer("ControlAPI", ["AuditLog"]),
    // L6
    layer(
      "Serving",
      [
        "CLinux", "LinuxIO", "DNSWire", "IPNetwork", "Sharing", "HostNetwork", "EgressPolicy", "ResponseCache",
        "GrantLedger", "AuditLog", "Zones", "Resolver", "Enforcement", "Transport", "Upstream", "FirewallModel",
        "NFTables", "BridgeProcesses", "FirewallBridge", "GateModel", "Gate", "Settings", "AuditStore", "Control",
        "ControlAPI", "TLS", "HTTP2", "LDNS", "Validation", "Validator",
      ]),
    // Lists and policies of other tools as ours.
    layer("PolicyImport", ["DNSWire", "IPNetwork", "EgressPolicy", "LDNS", "Settings"]),
    // L7
    .executableTarget(
      name: "sluice",
      dependencies: [
        "CLinux", "LinuxIO", "DNSWire", "IPNetwork", "LDNS", "HostNetwork", "EgressPolicy", "AuditLog", "Zones",
        "Resolver", "FirewallModel", "NFTables", "BridgeProcesses", "FirewallWorker", "Gate", "Settings", "AuditStore",
        "Control", "ControlAPI", "Serving", "PolicyImport", "Validator",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    // Tests
    .executableTarget(
      name: "BridgeBenchmark",
      dependencies: ["LinuxIO", "IPNetwork", "GrantLedger", "FirewallModel", "FirewallBridge"],
      path: "Tests/Benchmarks/BridgeBenchmark", swiftSettings: strict),
    .executableTarget(
      name: "PathBudget",
      dependencies: [
        "CCallgrind", "LinuxIO", "DNSWire", "IPNetwork", "Zones", "EgressPolicy", "ResponseCache", "AuditLog",
        "AuditStore",
        "Resolver", "TestSupport",
      ],
      path: "Tests/Benchmarks/PathBudget", swiftSettings: strict),
    .systemLibrary(name: "CCallgrind", path: "Tests/Benchmarks/CCallgrind"),
    .target(
      name: "TestSupport",
      dependencies: ["AuditLog", "CLinux", "DNSWire", "IPNetwork", "EgressPolicy", "FirewallModel", "Resolver"],
      path: "Tests/TestSupport", swiftSettings: strict),
    tests(of: "IPNetwork"),
    tests(of: "Sharing"),
    tests(of: "DNSWire", ["CLDNS"], resources: [.copy("Fixtures")]),
    .target(name: "ForbiddenCalls", path: "Tests/ForbiddenCalls"),
    tests(of: "LinuxIO", ["CLinux", "ForbiddenCalls"]),
    tests(of: "HostNetwork", ["CLinux", "IPNetwork", "LinuxIO"]),
    tests(of: "LDNS", ["DNSWire"]),
    tests(of: "Zones", ["DNSWire"]),
    tests(of: "Validation", ["DNSWire", "LDNS"]),
    tests(of: "EgressPolicy", ["DNSWire", "IPNetwork"]),
    tests(of: "ResponseCache", ["DNSWire"]),
    tests(of: "GrantLedger", ["DNSWire", "IPNetwork"]),
    tests(of: "AuditLog", ["DNSWire", "IPNetwork"], resources: [.copy("Fixtures")]),
    tests(
      of: "Resolver",
      ["DNSWire", "IPNetwork", "Zones", "EgressPolicy", "ResponseCache", "GrantLedger", "AuditLog", "Validation"]),
    tests(
      of: "Transport",
      [
        "AuditLog", "DNSWire", "IPNetwork", "LinuxIO", "EgressPolicy", "ResponseCache", "Resolver", "Zones",
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
      ]),
    tests(
      of: "TLS",
      [
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ]),
    tests(
      of: "HTTP2",
      [
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
      ]),
    tests(
      of: "Upstream",
      [
        "DNSWire", "HTTP2", "IPNetwork", "LinuxIO", "TLS", .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "NIOHTTP2", package: "swift-nio-http2"), .product(name: "NIOHPACK", package: "swift-nio-http2"),
      ]),
    tests(of: "FirewallModel", ["EgressPolicy", "HostNetwork", "IPNetwork", "GrantLedger"]),
    tests(of: "Enforcement", ["FirewallModel", "GrantLedger", "IPNetwork"]),
    tests(of: "NFTables", ["CNetfilter", "EgressPolicy", "FirewallModel", "GrantLedger", "IPNetwork", "LinuxIO"]),
    // Started by the executable, which is the validator too.
    tests(of: "Validator", ["DNSWire", "LinuxIO", "Validation", "sluice"]),
    tests(of: "BridgeProcesses", ["FirewallModel", "LinuxIO"]),
    tests(of: "GateModel", ["DNSWire", "EgressPolicy", "FirewallModel", "GrantLedger", "IPNetwork"]),
    tests(of: "Gate", ["DNSWire", "FirewallModel", "GateModel", "GrantLedger", "IPNetwork", "LinuxIO"]),
    tests(of: "FirewallBridge", ["FirewallModel", "GrantLedger", "IPNetwork", "LinuxIO"]),
    // Started by the executable, which is the bridge too.
    tests(
      of: "FirewallWorker",
      [
        "BridgeProcesses", "EgressPolicy", "FirewallBridge", "FirewallModel", "GrantLedger", "HostNetwork", "IPNetwork",
        "LinuxIO", "NFTables", "sluice",
      ]),
    tests(of: "Settings", ["DNSWire", "IPNetwork", "EgressPolicy"]),
    tests(
      of: "PolicyImport", ["DNSWire", "EgressPolicy", "IPNetwork", "Settings"], resources: [.copy("Fixtures")]),
    tests(of: "AuditStore", ["AuditLog", "CLinux", "DNSWire", "IPNetwork", "LinuxIO"]),
    tests(of: "Control", ["CLinux", "LinuxIO"]),
    tests(of: "ControlAPI"),
    tests(
      of: "Serving",
      [
        "AuditLog", "AuditStore", "BridgeProcesses", "CLinux", "Control", "DNSWire", "EgressPolicy", "Enforcement",
        "FirewallModel", "FirewallBridge", "GateModel", "GrantLedger", "HostNetwork", "IPNetwork", "LinuxIO",
        "NFTables", "Resolver", "ResponseCache", "Settings", "Transport", "Upstream", "Zones",
      ]),
    tests(
      of: "sluice",
      [
        "AuditLog", "AuditStore", "Control", "ControlAPI", "DNSWire", "EgressPolicy", "FirewallModel", "HostNetwork",
        "IPNetwork", "LinuxIO", "NFTables", "Resolver", "ResponseCache", "Serving", "Settings", "Zones",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .testTarget(
      name: "EndToEndTests",
      dependencies: [
        "sluice", "TestSupport", "DNSWire", "IPNetwork", "FirewallModel", "NFTables", "BridgeProcesses", "CLinux",
      ],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
