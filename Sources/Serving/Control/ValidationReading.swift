import Validator

/// What `/metrics` says of the validator.
struct ValidationReading: Sendable {
  private let isUp: Bool
  private let counts: ValidatorLink.Statistics
  private let questions: UInt64

  init(_ validation: AnswerValidation) {
    isUp = validation.link.isUp
    counts = validation.link.statistics
    questions = validation.questions
  }

  func write(_ text: inout MetricsText) {
    text.family("sluice_validator_up", .gauge, "1 while the validator of DNSSEC signatures answers.")
    text.sample("sluice_validator_up", isUp ? 1 : 0)
    text.family("sluice_validator_judgements_total", .counter, "Messages held against signatures, by what came of it.")
    for (result, count) in [
      ("bogus", counts.bogus), ("none", counts.failures),
      ("judged", counts.judgements - counts.bogus - counts.failures),
    ] {
      text.sample("sluice_validator_judgements_total", ["result": result], count)
    }
    text.family("sluice_validator_restarts_total", .counter, "Validators that came after the first.")
    text.sample("sluice_validator_restarts_total", counts.restarts)
    text.family("sluice_validation_questions_total", .counter, "Questions for DS and DNSKEY of zones.")
    text.sample("sluice_validation_questions_total", questions)
  }
}
