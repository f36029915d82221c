"""Looks into a compiled function: its graph, its kernels with their C source, what was not fused.

python examples/inspect_kernels.py [--quick]     (or: python -m graphc inspect FILE.py:attention)
"""

import sys

import graphc as torch


@torch.compile(fullgraph=True)
def attention(q, k, v):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    weights = torch.softmax(scores, dim=-1)
    return weights @ v


torch.manual_seed(0)
q, k, v = (torch.randn(4, 16, 8) for _ in range(3))
attention(q, k, v)

print("--- the captured graph, every operation with its line")
print(attention.graph)
print("\n--- the same after fusion: kernels, and what they store (*)")
print(attention.graph_after)
print(f"\n--- {len(attention.kernels)} kernels")
for kernel in attention.kernels:
    print(kernel)
if "--quick" not in sys.argv:
    print("\n--- the C source of the one with most operations")
    print(max(attention.kernels, key=lambda kernel: len(kernel.ops)).source)
print("\n--- why other operations were not fused")
print(attention.why_not_fused)
print("\n--- memory plan")
print(attention.memory)
print("\n--- what was compiled, when, and on what it depends")
print(attention.explain())
