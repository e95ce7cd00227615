// Stands in for TensorFlow Lite Micro's header of that name: the functions that the tests' programs register with.
#pragma once

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

class MicroOpResolver {
 public:
  unsigned int added = 0;
};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAdd() { return add(); }
  TfLiteStatus AddConv2D() { return add(); }
  TfLiteStatus AddDepthwiseConv2D() { return add(); }
  TfLiteStatus AddEthosU() { return add(); }
  TfLiteStatus AddFullyConnected() { return add(); }
  TfLiteStatus AddMean() { return add(); }
  TfLiteStatus AddPad() { return add(); }

 private:
  TfLiteStatus add() { return added++ < tOpCount ? kTfLiteOk : kTfLiteError; }
};

}  // namespace tflite
