// Stands in for TensorFlow Lite Micro's header of that name: the functions that interpreter.cc calls, with its types.
#pragma once

namespace tflite {

struct Model {
  const void* content;
};

inline const Model* GetModel(const void* content) {
  static Model model;
  model.content = content;
  return &model;
}

}  // namespace tflite
