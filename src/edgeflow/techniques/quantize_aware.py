"""Quantization-aware training with torchao's pt2e: weights learn to live with 8 bits, and keep their float32 names.

The network is exported as it trains, convolutions are folded with their batch normalisation as converters will fold
them, and fake quantizers are put where runtimes quantize: weights per channel and symmetric, the inputs of
convolutions, linear layers and additions per tensor with a zero point. What was learned goes back into the model
itself, so that every converter and every quantizer takes it as it takes any other checkpoint, and finds the ranges on
its calibration samples. Jacob et al., arXiv:1712.05877.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeflow.errors import StageError

LEAST_BATCH, GREATEST_BATCH = 2, 1 << 16  # one sample would be taken for a constant
WEIGHT_EPS = 2**-12  # least scale of a weight: a channel of zeros has none of its own


def prepared(model: Any, example: Any) -> Any:
    """A network in training mode with the model's weights under the model's names, and fake quantizers around them.

    `example` is float32[1, …]. It is never switched to evaluation: torchao's switch makes every dropout one of p = 0.5.
    Raises StageError when the model cannot be exported.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    batch = {0: torch.export.Dim("batch", min=LEAST_BATCH, max=GREATEST_BATCH)}
    twice = example.repeat(LEAST_BATCH, *(1 for _ in example.shape[1:]))
    try:
        exported = torch.export.export(model.train(), (twice,), dynamic_shapes=(batch,)).module()
    except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
        why = str(error).strip().partition("\n")[0]
        raise StageError(f"train: quantize_aware: torch.export cannot export the model as it trains: {why}") from error
    network = prepare_qat_pt2e(exported, _quantizer())
    if missing := sorted(set(model.state_dict()) - set(network.state_dict())):
        raise StageError(
            f"train: quantize_aware: torchao lost the parameter {missing[0]}; the model cannot be trained so"
        )
    return network


def give_back(network: Any, model: Any) -> None:
    """Put what the network learned into the model that it was made from."""
    learned = network.state_dict()
    model.load_state_dict({name: learned[name] for name in model.state_dict()})


def _quantizer() -> Any:
    import torch
    from torchao.quantization import pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

    def spec(observer: Any, dtype: Any, low: int, high: int, scheme: Any, axis: int | None, **more: Any) -> Any:
        fake = pt2e.FusedMovingAvgObsFakeQuantize.with_args(observer=observer, **more)
        return QuantizationSpec(
            dtype=dtype, quant_min=low, quant_max=high, qscheme=scheme, ch_axis=axis, observer_or_fake_quant_ctr=fake
        )

    activation = spec(pt2e.MovingAverageMinMaxObserver, torch.uint8, 0, 255, torch.per_tensor_affine, None)
    channels = pt2e.MovingAveragePerChannelMinMaxObserver
    weight = spec(channels, torch.int8, -127, 127, torch.per_channel_symmetric, 0, eps=WEIGHT_EPS)
    aten = torch.ops.aten
    weighted = {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.linear.default}
    added = {aten.add.Tensor, aten.add_.Tensor}

    class Runtimes(Quantizer):
        """Quantizes where ONNX Runtime, LiteRT and TFLite Micro do."""

        def annotate(self, model: Any) -> Any:
            for node in model.graph.nodes:
                if node.target in weighted:
                    wanted = {node.args[0]: activation, node.args[1]: weight}
                elif node.target in added and _floats(node.args):
                    wanted = dict.fromkeys(node.args, activation)
                else:
                    continue
                node.meta["quantization_annotation"] = QuantizationAnnotation(wanted, _annotated=True)
            return model

        def validate(self, model: Any) -> None:
            """Nothing to refuse."""

    return Runtimes()


def _floats(arguments: Sequence[Any]) -> bool:
    """True for tensors of floats only: counters of batches are added up too."""
    values = [getattr(argument, "meta", {}).get("val") for argument in arguments]
    return all(value is not None and value.is_floating_point() for value in values)
