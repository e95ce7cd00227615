// Made by edgeflow: ask the program, and prove on golden samples that this device prepares and answers as it should.
//
// Copy from here what your firmware needs: normalise, quantize, dequantize and the label of the greatest value are all
// that stands between a sample and an answer. A sample has the shape of the input and values in the range that
// manifest.json says under preprocessing.scale; how an image is resized to that shape, it says under resize.
//
// What was executed: edgeflow's tests compile this file with g++ for x86-64, warnings as errors, and run it on golden
// samples with stand-ins for the interpreter; interpreter.cc they compile and run against stand-ins for the headers of
// TensorFlow Lite Micro. By hand, and not in each test, both ran with TensorFlow Lite Micro itself (commit 90b983c, its
// reference kernels, x86-64) and answered as expected in float32, int8 and int16. Nothing of it ran on a
// microcontroller or an Ethos-U. The golden answers are real: @ANSWERED_BY@.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <type_traits>

#include "@NAME@.h"
#include "@NAME@_golden.h"  // for main() alone: leave it out of your firmware

// interpreter.cc has it: run the program once; false when it cannot.
bool @NAME@_infer(const @NAME@_input_t* input, @NAME@_output_t* output);

namespace {

// A value of the input before mean and std → after; `i` is its place in the input.
float normalise(float scaled, std::size_t i) {
  const std::size_t channel = (i / @NAME@_channel_stride) % @NAME@_channels;
  return (scaled - @NAME@_mean[channel]) / @NAME@_std[channel];
}

// Steps are rounded to nearest, ties away from zero, and integers clipped; floats stay.
template <typename T>
T quantize(float real, float scale, std::int32_t zero_point) {
  if (!std::is_integral<T>::value) return static_cast<T>(real);
  const float low = static_cast<float>(std::numeric_limits<T>::lowest());
  const float high = static_cast<float>(std::numeric_limits<T>::max());
  const float nearest = std::round(real / scale) + static_cast<float>(zero_point);
  return static_cast<T>(std::fmin(std::fmax(nearest, low), high));
}

template <typename T>
float dequantize(T stored, float scale, std::int32_t zero_point) {
  if (!std::is_integral<T>::value) return static_cast<float>(stored);
  return (static_cast<float>(stored) - static_cast<float>(zero_point)) * scale;
}

std::size_t greatest(const @NAME@_output_t* output) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < @NAME@_output_values; ++i) {
    if (output[i] > output[best]) best = i;
  }
  return best;
}

// One value in a hundred may be rounded the other way, and none by more than a step: compilers divide apart.
bool preprocessing_is_right() {
  std::size_t apart = 0;
  for (std::size_t i = 0; i < @NAME@_golden_scaled_values; ++i) {
    const float real = normalise(@NAME@_golden_scaled[i], i);
    const @NAME@_input_t stored = quantize<@NAME@_input_t>(real, @NAME@_input_scale, @NAME@_input_zero_point);
    const float difference = std::fabs(static_cast<float>(stored) - static_cast<float>(@NAME@_golden_inputs[0][i]));
    const bool integers = std::is_integral<@NAME@_input_t>::value;
    if (!(difference <= (integers ? 1.0f : 1e-4f * std::fmax(1.0f, std::fabs(real))))) return false;
    if (integers && difference > 0.0f) ++apart;
  }
  return apart * 100 <= @NAME@_golden_scaled_values;
}

bool answer_is_right(std::size_t sample) {
  static @NAME@_output_t answer[@NAME@_output_values];
  if (!@NAME@_infer(@NAME@_golden_inputs[sample], answer)) {
    std::printf("sample %u: the interpreter FAILED\n", static_cast<unsigned>(sample));
    return false;
  }
  const @NAME@_output_t* expected = @NAME@_golden_outputs[sample];
  bool right = true;
  for (std::size_t i = 0; i < @NAME@_output_values; ++i) {
    const float a = dequantize(answer[i], @NAME@_output_scale, @NAME@_output_zero_point);
    const float b = dequantize(expected[i], @NAME@_output_scale, @NAME@_output_zero_point);
    if (!(std::fabs(a - b) <= @NAME@_golden_tolerance)) right = false;  // also where one is NaN
  }
  std::printf("sample %u: '%s', expected '%s'%s\n", static_cast<unsigned>(sample), @NAME@_labels[greatest(answer)],
              @NAME@_labels[greatest(expected)], right ? "" : ": WRONG");
  return right;
}

}  // namespace

int main() {
  bool right = preprocessing_is_right();
  std::printf("preprocessing: %s\n", right ? "right" : "WRONG");
  for (std::size_t sample = 0; sample < @NAME@_golden_samples; ++sample) right = answer_is_right(sample) && right;
  std::printf("%s\n", right ? "all as expected" : "something is WRONG");
  return right ? 0 : 1;
}
