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
bool @NAME@_infer(@PARAMETERS@);

namespace {

struct Normalisation {
  const float* mean;
  const float* std;
  std::size_t channels;
  std::size_t stride;  // values of an input between two channels
};

// A value of an input before mean and std → after; `i` is its place in the input.
inline float normalise(float scaled, std::size_t i, const Normalisation& how) {
  const std::size_t channel = (i / how.stride) % how.channels;
  return (scaled - how.mean[channel]) / how.std[channel];
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

template <typename T>
std::size_t greatest(const T* output, std::size_t values) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < values; ++i) {
    if (output[i] > output[best]) best = i;
  }
  return best;
}

// One value in a hundred may be rounded the other way, and none by more than a step: compilers divide apart.
template <typename T>
bool input_is_right(const float* scaled, std::size_t values, const T* expected, float scale, std::int32_t zero_point,
                    const Normalisation& how) {
  std::size_t apart = 0;
  for (std::size_t i = 0; i < values; ++i) {
    const float real = normalise(scaled[i], i, how);
    const T stored = quantize<T>(real, scale, zero_point);
    const float difference = std::fabs(static_cast<float>(stored) - static_cast<float>(expected[i]));
    const bool integers = std::is_integral<T>::value;
    if (!(difference <= (integers ? 1.0f : 1e-4f * std::fmax(1.0f, std::fabs(real))))) return false;
    if (integers && difference > 0.0f) ++apart;
  }
  return apart * 100 <= values;
}

template <typename T>
bool output_is_right(const T* answer, const T* expected, std::size_t values, float scale, std::int32_t zero_point,
                     float tolerance) {
  for (std::size_t i = 0; i < values; ++i) {
    const float a = dequantize(answer[i], scale, zero_point);
    const float b = dequantize(expected[i], scale, zero_point);
    if (!(std::fabs(a - b) <= tolerance)) return false;  // also where one is NaN
  }
  return true;
}

bool preprocessing_is_right() {
  bool right = true;
@CHECK_INPUTS@
  return right;
}

bool answer_is_right(std::size_t sample) {
@ANSWERS@
  if (!@NAME@_infer(@ARGUMENTS@)) {
    std::printf("sample %u: the interpreter FAILED\n", static_cast<unsigned>(sample));
    return false;
  }
  bool right = true;
@CHECK_OUTPUTS@
@REPORT@
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
