// Stands in for interpreter.cc: answers golden inputs with golden outputs, and nothing else. SPOILED: one value wrong.
#include <cstddef>
#include <cstring>

#include GOLDEN_H

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define OF(part) JOIN(NAME, part)

bool OF(_infer)(const OF(_input_t) * input, OF(_output_t) * output) {
  for (std::size_t i = 0; i < OF(_golden_samples); ++i) {
    if (std::memcmp(input, OF(_golden_inputs)[i], sizeof OF(_golden_inputs)[i]) != 0) continue;
    std::memcpy(output, OF(_golden_outputs)[i], sizeof OF(_golden_outputs)[i]);
#ifdef SPOILED
    output[0] = static_cast<OF(_output_t)>(output[0] > 0 ? output[0] - 64 : output[0] + 64);
#endif
    return true;
  }
  return false;
}
