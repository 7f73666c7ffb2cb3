"""An ONNX graph as a PyTorch function, for the operators that `vaeguard export` writes. onnx2torch knows no ConvTranspose whose
padding differs by side, and onnx2pytorch no opset 17."""

import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.INT64: torch.int64,
    TensorProto.INT32: torch.int32,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
}


class Graph:
    """The nodes that outputs need, called with the graph's one input."""

    def __init__(self, model, outputs):
        made = {name: node for node in model.graph.node for name in node.output}
        self.known = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
        (self.input,) = (i.name for i in model.graph.input if i.name not in self.known)
        self.outputs, self.nodes, done = outputs, [], set()
        todo = [(name, False) for name in reversed(outputs)]
        while todo:  # what a node reads goes before it
            name, ready = todo.pop()
            node = made.get(name)
            if node is None or name in done:
                continue
            if ready:
                done.update(node.output)
                if node.op_type not in OPS:
                    raise SystemExit(f"the graph has the operator {node.op_type}; known are {', '.join(sorted(OPS))}")
                attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
                self.nodes.append((OPS[node.op_type], list(node.input), node.output[0], attributes))
            else:
                todo.append((name, True))
                todo += [(n, False) for n in node.input]

    def __call__(self, x):
        at = {**self.known, self.input: x}
        for f, ins, out, attributes in self.nodes:
            at[out] = f(*(at[n] if n else None for n in ins), **attributes)
        return [at[name] for name in self.outputs]


def windows(pads, dims):
    """ONNX's pads, all begins and then all ends, in the order of F.pad."""
    pads = pads or [0] * (2 * dims)
    return [p for d in reversed(range(dims)) for p in (pads[d], pads[d + dims])]


def conv(x, w, b=None, *, pads=None, strides=None, dilations=None, group=1, **_):
    dims = x.ndim - 2
    f = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    return f(F.pad(x, windows(pads, dims)), w, b, stride=strides or 1, dilation=dilations or 1, groups=group)


def conv_transpose(x, w, b=None, *, pads=None, strides=None, dilations=None, group=1, output_padding=None, **_):
    dims = x.ndim - 2
    f = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1]
    y = f(x, w, b, stride=strides or 1, dilation=dilations or 1, groups=group)
    more = output_padding or [0] * dims
    pads = pads or [0] * (2 * dims)
    return F.pad(y, [p for d in reversed(range(dims)) for p in (-pads[d], more[d] - pads[d + dims])])


def pool(x, *, kernel_shape, pads=None, strides=None, ceil_mode=0, **_):
    dims = x.ndim - 2
    f = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    return f(F.pad(x, windows(pads, dims), value=-torch.inf), kernel_shape, strides or 1, ceil_mode=bool(ceil_mode))


def cut(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes.tolist()
    for k, axis in enumerate(axes):
        step = 1 if steps is None else int(steps[k])
        if step < 1:
            raise SystemExit("Slice with a negative step")
        index = [slice(None)] * x.ndim
        index[axis] = slice(int(starts[k]), int(ends[k]), step)
        x = x[tuple(index)]
    return x


def reshape(x, shape, allowzero=0):
    return x.reshape([x.shape[i] if d == 0 and not allowzero else d for i, d in enumerate(shape.tolist())])


def unsqueeze(x, axes):
    for axis in sorted(a % (x.ndim + len(axes)) for a in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def squeeze(x, axes=None):
    if axes is None:
        return x.squeeze()
    for axis in sorted((a % x.ndim for a in axes.tolist()), reverse=True):
        x = x.squeeze(axis)
    return x


def gather(x, index, axis=0):
    axis %= x.ndim
    y = x.index_select(axis, index.reshape(-1) % x.shape[axis])
    return y.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def reduced(f):
    def run(x, axes=None, keepdims=1, **attributes):
        axes = attributes.get("axes", list(range(x.ndim)) if axes is None else [int(a) for a in axes])
        return f(x, axes, bool(keepdims))

    return run


def most(x, axis=0, keepdims=1, **_):
    return x.argmax(axis, bool(keepdims))  # of equal ones the first, as ONNX has it


def fold(f):
    def run(x, *more):
        for y in more:
            x = f(x, y)
        return x

    return run


def clip(x, low=None, high=None):
    return x if low is None and high is None else x.clamp(low, high)


def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return y if c is None else y + beta * c


def norm(x, scale, bias, mean, var, epsilon=1e-5, **_):
    return F.batch_norm(x, mean, var, scale, bias, eps=epsilon)


OPS = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "ArgMax": most, "BatchNormalization": norm,
    "Cast": lambda x, to: x.to(TYPES[to]), "Ceil": torch.ceil, "Clip": clip, "Concat": lambda *x, axis: torch.cat(x, axis),
    "Constant": lambda value: torch.from_numpy(numpy_helper.to_array(value).copy()), "Conv": conv, "ConvTranspose": conv_transpose,
    "Cos": torch.cos, "Div": lambda x, y: x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc"),
    "Elu": lambda x, alpha=1.0: F.elu(x, alpha), "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp,
    "Expand": lambda x, shape: x * torch.ones(shape.tolist(), dtype=x.dtype), "Flatten": lambda x, axis=1: x.reshape(x.shape[:axis].numel(), -1),
    "Floor": torch.floor, "Gather": gather, "GatherElements": lambda x, i, axis=0: x.gather(axis, i), "Gemm": gemm,
    "GlobalAveragePool": lambda x: x.mean(list(range(2, x.ndim)), True), "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "Identity": lambda x: x, "IsNaN": torch.isnan, "LeakyRelu": lambda x, alpha=0.01: F.leaky_relu(x, alpha), "Less": torch.lt,
    "LessOrEqual": torch.le, "Log": torch.log, "LogSoftmax": lambda x, axis=-1: F.log_softmax(x, axis), "MatMul": torch.matmul,
    "Max": fold(torch.maximum), "MaxPool": pool, "Min": fold(torch.minimum), "Mul": torch.mul, "Neg": torch.neg, "Not": torch.logical_not,
    "Or": torch.logical_or, "Pow": torch.pow, "ReduceMax": reduced(torch.amax), "ReduceMean": reduced(torch.mean), "ReduceMin": reduced(torch.amin),
    "ReduceSum": reduced(torch.sum), "Relu": torch.relu, "Reshape": reshape, "Shape": lambda x: torch.tensor(x.shape), "Sigmoid": torch.sigmoid,
    "Sin": torch.sin, "Slice": cut, "Softmax": lambda x, axis=-1: F.softmax(x, axis), "Softplus": F.softplus, "Sqrt": torch.sqrt,
    "Squeeze": squeeze, "Sub": torch.sub, "Sum": fold(torch.add), "Tanh": torch.tanh, "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": unsqueeze, "Where": torch.where,
}  # fmt: skip
