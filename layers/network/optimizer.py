"""The optimizer of the networks: Muon, for kernels of convolutions as well as for matrices; Keras is imported inside."""

from __future__ import annotations

from typing import Any

MOMENTUM = 0.8
"""Share of the running sum of the gradients that a step keeps; our choice (docs/accuracy.md)."""

ADAM_RMS = 0.2
"""Root mean square of Adam's usual step at a learning rate of 1 (Liu et al. 2025)."""

RMS_RATE = 2 * ADAM_RMS
"""Root mean square of a kernel's step at a learning rate of 1; our choice."""


def make_optimizer(rate: Any, weight_decay: float, last: str) -> Any:
    """Keras' Muon, gradients clipped together at norm 1: kernels step with equal singular values, biases and `last` take Adam.

    `weight_decay` is the share of a kernel that a step takes away, times the rate; `last` names the last layer. Source: Jordan et
    al. 2024, kellerjordan.github.io/posts/muon, who flatten kernels of convolutions as is done here; size of the step: Liu et al.
    2025, arXiv:2502.16982. Keras gives its Muon to variables of two axes only.
    """
    import keras

    class Muon(keras.optimizers.Muon):
        def _should_use_adamw(self, variable: Any) -> bool:
            return len(variable.shape) < 2 or last in variable.path

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if weight_decay and len(variable.shape) > 1:
                variable.assign_sub(learning_rate * weight_decay * variable)
            super().update_step(gradient, variable, learning_rate)

        def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
            """Keras' iteration X <- (a + b A + c A A) X with A = X X', on A alone: X enters twice instead of twice a step."""
            if tall := x.shape[0] > x.shape[1]:
                x = keras.ops.transpose(x)
            x = x / (keras.ops.norm(x) + 1e-7)
            gram, product = x @ keras.ops.transpose(x), None
            for step in range(steps):
                factor = self.muon_a * keras.ops.eye(x.shape[0]) + self.muon_b * gram + self.muon_c * gram @ gram
                product = factor if product is None else factor @ product
                if step + 1 < steps:
                    gram = factor @ gram @ factor
            x = product @ x
            return keras.ops.transpose(x) if tall else x

        def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
            running = m.assign(self.momentum * m + gradient)
            flat = keras.ops.reshape(gradient + self.momentum * running, (-1, variable.shape[-1]))
            step = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(flat, self.ns_steps))
            variable.assign_sub(keras.ops.reshape(step, variable.shape))

    return Muon(rate, momentum=MOMENTUM, rms_rate=RMS_RATE, weight_decay=None, adam_weight_decay=None, global_clipnorm=1.0)
