from graphc.ops.define import pointwise, unary

from .harness import check_op, new_ops


def test_one_record_is_an_op():
    with new_ops():
        check_op(
            pointwise(
                "softsign",
                lambda x: x / (abs(x) + 1),
                lower=lambda x: x / (abs(x) + 1),
                out="float",
                vjp=[lambda g, input: g / (input.abs() + 1).square()],
                samples=unary(0.2, 3),
            )
        )
