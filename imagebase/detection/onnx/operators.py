"""The operators that exports of detectors use; no other reaches a runtime."""

from typing import Final

# Names that a graph may give its operators for those of ONNX itself.
DOMAINS: Final = frozenset({"", "ai.onnx"})
CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# Swin backbones under DETR, quantised, have some 6,000.
MAX_NODES: Final = 8_000

_LAYERS: Final = """
    Conv ConvTranspose Gemm MatMul Einsum MaxPool AveragePool GlobalAveragePool
    GlobalMaxPool BatchNormalization InstanceNormalization LayerNormalization
    GroupNormalization LpNormalization LRN Dropout GridSample RoiAlign
"""
_ACTIVATIONS: Final = """
    Relu LeakyRelu PRelu Elu Selu Celu Gelu ThresholdedRelu HardSigmoid HardSwish Mish
    Sigmoid Softplus Softsign Softmax LogSoftmax Tanh Erf Clip
"""
_ARITHMETIC: Final = """
    Add Sub Mul Div Pow Sqrt Exp Log Abs Neg Reciprocal Floor Ceil Round Sign Mod Min
    Max Mean Sum Sin Cos Tan Atan And Or Not Xor Equal Greater GreaterOrEqual Less
    LessOrEqual Where IsNaN IsInf ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd
    ReduceL1 ReduceL2 ReduceLogSumExp ReduceSumSquare ArgMax ArgMin CumSum
"""
_SHAPES: Final = """
    Shape Size Reshape Squeeze Unsqueeze Flatten Transpose Concat Split Slice Gather
    GatherElements GatherND ScatterElements ScatterND Expand Tile Pad Resize Upsample
    DepthToSpace SpaceToDepth Identity Cast CastLike Constant ConstantOfShape Range
    OneHot EyeLike Trilu
"""
_BOXES: Final = "TopK NonMaxSuppression NonZero"
_QUANTISED: Final = """
    QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul
    ConvInteger MatMulInteger
"""
ALLOWED: Final = frozenset(
    (_LAYERS + _ACTIVATIONS + _ARITHMETIC + _SHAPES + _BOXES + _QUANTISED).split()
)
