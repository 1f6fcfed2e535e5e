#ifndef SLUICE_CALLGRIND_REQUESTS_H
#define SLUICE_CALLGRIND_REQUESTS_H

// The two requests to callgrind that PathBudget needs, so that the build needs no header of Valgrind: a program under
// Valgrind asks by a sequence that changes nothing elsewhere (Valgrind manual, "The Client Request mechanism").

#include <stdint.h>

static inline void sluice_callgrind_request(uint64_t number) {
  volatile uint64_t arguments[6] = {number};
#if defined(__x86_64__)
  uint64_t result = 0;
  __asm__ volatile("rolq $3, %%rdi\n rolq $13, %%rdi\n rolq $61, %%rdi\n rolq $51, %%rdi\n xchgq %%rbx, %%rbx"
                   : "+d"(result)
                   : "a"(&arguments[0])
                   : "cc", "memory");
#elif defined(__aarch64__)
  register uint64_t result __asm__("x3") = 0;
  register volatile uint64_t *first __asm__("x4") = arguments;
  __asm__ volatile("ror x12, x12, #3\n ror x12, x12, #13\n ror x12, x12, #51\n ror x12, x12, #61\n orr x10, x10, x10"
                   : "+r"(result)
                   : "r"(first)
                   : "cc", "memory");
#endif
}

/// Begins to count under callgrind with `--instr-atstart=no`; does nothing elsewhere.
static inline void sluice_callgrind_start(void) { sluice_callgrind_request(('C' << 24 | 'T' << 16) + 4); }

/// Stops counting.
static inline void sluice_callgrind_stop(void) { sluice_callgrind_request(('C' << 24 | 'T' << 16) + 5); }

#endif
