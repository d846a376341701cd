"""The optimizer against singular values by NumPy, and against Adam by Keras for what is no kernel."""

import numpy as np
import pytest

from imperv.layers.network.optimizer import MOMENTUM, RMS_RATE, make_optimizer


def start(shape, name, seed=0):
    import keras

    value = np.random.default_rng(seed).standard_normal(shape).astype("f4")
    with keras.name_scope(name.split("/")[0]):
        return keras.Variable(value, name=name.split("/")[1]), value


@pytest.mark.parametrize("shape", [(3, 3, 12, 16), (3, 3, 2, 32), (2, 2, 8, 16)])
def test_a_step_of_a_kernel_turns_its_gradient_into_alike_singular_values(shape):
    """U S V of a 3 x 3 kernel as a matrix with one column an output: the step has the same U and V, and no S of its own."""
    kernel, before = start(shape, "down0_conv1/kernel")
    optimizer = make_optimizer(0.01, 0.0, "fraction")
    optimizer.build([kernel])
    gradients = [np.random.default_rng(k).standard_normal(shape).astype("f4") * 1e-3 for k in (1, 2)]
    running = np.zeros(shape, "f4")
    for gradient in gradients:
        running = MOMENTUM * running + gradient
        ahead = (gradient + MOMENTUM * running).reshape(-1, shape[-1])
        optimizer.apply([gradient], [kernel])
        step = (before - kernel.numpy()).reshape(-1, shape[-1])
        u, _, v = np.linalg.svd(ahead, full_matrices=False)
        inside = u.T @ step @ v.T / (0.01 * RMS_RATE * max(ahead.shape) ** 0.5)
        assert np.allclose(inside, np.diag(np.diag(inside)), atol=2e-2)
        assert np.all((np.diag(inside) > 0.6) & (np.diag(inside) < 1.25))
        assert np.allclose(u @ (u.T @ step), step, atol=1e-5)
        before = kernel.numpy()


@pytest.mark.parametrize("shape", [(108, 16), (18, 32)])
def test_the_iteration_is_that_of_keras(shape):
    """Of tall and wide matrices, with a singular value a thousandth of the largest."""
    import keras

    u, s, v = np.linalg.svd(np.random.default_rng(5).standard_normal(shape), full_matrices=False)
    s[-1] = s[0] / 1000
    matrix = keras.ops.convert_to_tensor(((u * s) @ v).astype("f4"))
    optimizer = make_optimizer(0.01, 0.0, "fraction")
    ours = keras.ops.convert_to_numpy(optimizer.zeropower_via_newtonschulz5(matrix, 5))
    theirs = keras.ops.convert_to_numpy(keras.optimizers.Muon.zeropower_via_newtonschulz5(optimizer, matrix, 5))
    assert np.allclose(ours, theirs, atol=1e-4) and np.abs(theirs).max() > 0.1


def test_the_size_of_a_step_does_not_depend_on_the_gradient():
    sizes = []
    for scale in (1e-6, 1e-2):
        kernel, before = start((3, 3, 8, 8), "bottom_conv1/kernel")
        optimizer = make_optimizer(0.01, 0.0, "fraction")
        optimizer.build([kernel])
        optimizer.apply([scale * np.random.default_rng(3).standard_normal((3, 3, 8, 8)).astype("f4")], [kernel])
        sizes.append(float(np.sqrt(((kernel.numpy() - before) ** 2).mean())))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    assert sizes[0] == pytest.approx(0.01 * RMS_RATE, rel=0.3)


@pytest.mark.parametrize(("shape", "name"), [((16,), "down0_conv1/bias"), ((1, 1, 16, 1), "fraction/kernel")])
def test_biases_and_the_last_layer_take_adams_steps(shape, name):
    import keras

    ours, _ = start(shape, name)
    theirs, _ = start(shape, name)
    optimizer, adam = make_optimizer(0.01, 0.0, "fraction"), keras.optimizers.Adam(0.01)
    optimizer.build([ours])
    adam.build([theirs])
    for k in range(3):
        gradient = 1e-3 * np.random.default_rng(k).standard_normal(shape).astype("f4")
        optimizer.apply([gradient], [ours])
        adam.apply([gradient], [theirs])
    assert np.allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_weights_decay_and_biases_do_not():
    kernel, weights = start((3, 3, 4, 4), "down0_conv1/kernel")
    bias, shifts = start((4,), "down0_conv1/bias")
    optimizer = make_optimizer(0.01, 0.5, "fraction")
    optimizer.build([kernel, bias])
    optimizer.apply([np.zeros((3, 3, 4, 4), "f4"), np.zeros(4, "f4")], [kernel, bias])
    assert np.allclose(kernel.numpy(), weights * (1 - 0.01 * 0.5), atol=1e-6)
    assert np.allclose(bias.numpy(), shifts)
