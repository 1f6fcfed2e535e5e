import EgressPolicy
import GrantLedger
import Testing

@testable import Resolver

/// What a stricter policy of the next run makes of what was shown of an answer (P4).
@Suite struct GrantTermsTests {
  private func rule(_ cname: ChainPolicy, _ dnssec: ValidationMode) throws -> EgressRule {
    let plain = try ResolverTests.rule("api.example.com")
    return EgressRule(pattern: plain.pattern, cname: cname, dnssec: dnssec, location: plain.location)
  }

  @Test("a rule takes over what it would have taken itself, and nothing else")
  func satisfied() throws {
    let chains: [(GrantTerms.Chain, Set<ChainPolicy>)] = [
      (.any, [.follow]), (.none, [.follow, .listed, .strict]), (.listed(mark: 7), [.follow, .listed]),
      (.listed(mark: 8), [.follow]), (.undenied(mark: 7), [.follow]),
    ]
    let signatures: [(GrantTerms.Signatures, Set<ValidationMode>)] = [
      (.unknown, [.off]), (.unsigned, [.off, .verify]), (.secure, [.off, .verify, .require]),
    ]
    for (chain, allowing) in chains {
      for (shown, asking) in signatures {
        let terms = GrantTerms(rawValue: GrantTerms(shown, chain).rawValue)
        #expect(terms.chain == chain && terms.signatures == shown)
        for cname in ChainPolicy.allCases {
          for dnssec in ValidationMode.allCases {
            let isTaken = terms.satisfy(try rule(cname, dnssec), list: 7)
            #expect(isTaken == (allowing.contains(cname) && asking.contains(dnssec)), "\(terms) \(cname) \(dnssec)")
          }
        }
      }
    }
  }

  @Test("where names are denied, a chain has to have been looked at by the same denials")
  func denying() throws {
    let rule = try rule(.follow, .off)
    let chains: [(GrantTerms.Chain, Bool)] = [
      (.any, false), (.none, true), (.listed(mark: 7), true), (.listed(mark: 8), false), (.undenied(mark: 9), true),
      (.undenied(mark: 7), false),
    ]
    for (chain, isTaken) in chains {
      #expect(GrantTerms(.unknown, chain).satisfy(rule, list: 7, denials: 9) == isTaken, "\(chain)")
    }
    let shown = GrantTerms(of: rule, hasChain: true, isSecure: false, list: 7, denials: 9)
    #expect(shown == GrantTerms(.unknown, .undenied(mark: 9)))
    #expect(GrantTerms(of: rule, hasChain: false, isSecure: false, list: 7, denials: 9).chain == .none)
  }

  @Test("what a rule shows satisfies the same rule, and of a rule that asks for nothing nothing is kept")
  func own() throws {
    for cname in ChainPolicy.allCases {
      for dnssec in ValidationMode.allCases {
        let rule = try rule(cname, dnssec)
        let terms = GrantTerms(of: rule, hasChain: cname != .strict, isSecure: dnssec == .require, list: 0xFFF_FFFF)
        #expect(terms.satisfy(rule, list: 0xFFF_FFFF), "\(cname) \(dnssec)")
        #expect((terms == GrantTerms()) == (cname == .follow && dnssec == .off), "\(cname) \(dnssec)")
      }
    }
    #expect(!GrantTerms(rawValue: .max).satisfy(try rule(.strict, .off), list: 7), "no version wrote that")
  }
}
