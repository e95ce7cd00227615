// Made by edgeflow: the one part of the example that knows TensorFlow Lite Micro; example.cc says what was executed.
#include <cstring>

#include "@NAME@.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

// @ARENA@
alignas(16) std::uint8_t arena[@NAME@_arena_bytes + @ARENA_EXTRA_BYTES@];

tflite::MicroInterpreter* start() {
  static tflite::MicroMutableOpResolver<@NAME@_operator_kinds> resolver;
  if (!@NAME@_add_operators(resolver)) return nullptr;
  static tflite::MicroInterpreter interpreter(tflite::GetModel(@NAME@), resolver, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) return nullptr;
  const bool fits = @FITS@;
  return fits ? &interpreter : nullptr;
}

}  // namespace

// @BEFORE@
bool @NAME@_infer(@PARAMETERS@) {
  static tflite::MicroInterpreter* interpreter = start();
  if (interpreter == nullptr) return false;
@SET@
  if (interpreter->Invoke() != kTfLiteOk) return false;
@GET@
  return true;
}
