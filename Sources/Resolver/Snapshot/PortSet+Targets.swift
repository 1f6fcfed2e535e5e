package import EgressPolicy

extension PortSet {
  /// Transport and port of each element that an address gets; (0, 0) stands for every port.
  package var targets: [(transport: UInt8, port: UInt16)] {
    switch self {
    case .any: [(0, 0)]
    case .ports(let ports): ports.map { ($0.transport.rawValue, $0.port) }
    }
  }
}
