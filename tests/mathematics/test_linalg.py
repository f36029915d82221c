"""Linear algebra against what factorisations are, and derivatives against finite differences."""

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck

L = torch.linalg


def matrix(*shape, complex=False, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    if complex:
        a = a + 1j * rng.standard_normal(shape)
    if shape[-1] == shape[-2]:
        a = a + 2 * np.diag(np.arange(1.0, shape[-1] + 1))
    return torch.tensor(a)


def close(a, b):
    return np.allclose(a.numpy(), b.numpy() if hasattr(b, "numpy") else b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("complex", [False, True])
def test_factors_multiply_to_the_matrix(complex):
    for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 3)):
        a = matrix(*shape, complex=complex)
        q, r = L.qr(a)
        assert close(q @ r, a) and close(q.mH @ q, np.eye(q.shape[-1]))
        u, s, vh = L.svd(a, full_matrices=False)
        assert close((u * s.unsqueeze(-2)) @ vh, a)
        p, low, up = L.lu(a)
        assert close(p @ low @ up, a)
        x = L.pinv(a)
        assert close(a @ x @ a, a) and close(x @ a @ x, x)
    a = matrix(3, 3, complex=complex)
    h = a @ a.mH + torch.eye(3)
    low = L.cholesky(h)
    assert close(low @ low.mH, h)
    values, vectors = L.eigh(h)
    assert close(vectors * values, h @ vectors)
    values, vectors = L.eig(a)
    assert close(vectors * values, a.to(torch.complex128) @ vectors)
    assert close(a @ L.inv(a), np.eye(3))
    assert close(L.matrix_exp(a) @ L.matrix_exp(-a), np.eye(3))
    assert close(L.det(a), np.prod(L.eigvals(a).numpy()))
    ld, pivots = L.ldl_factor(h, hermitian=True)
    assert close(L.ldl_solve(ld, pivots, h, hermitian=True), np.eye(3))
    assert close(L.householder_product(*torch.geqrf(matrix(4, 2))), L.qr(matrix(4, 2)).Q)


FUNCTIONS = {
    "inv": L.inv,
    "det": L.det,
    "slogdet": L.slogdet,
    "solve": lambda a: L.solve(a, a[:, :1] * 2),
    "qr": L.qr,
    "svd": lambda a: (lambda u, s, v: (u.abs(), s, u[:, :1] @ v[:1]))(*L.svd(a)),
    "eigh": lambda a: (lambda e, v: (e, v.abs()))(*L.eigh(a + a.mH)),
    "eig": lambda a: (lambda e, v: (e, v.abs()))(*L.eig(a)),
    "cholesky": lambda a: L.cholesky(a @ a.mH + torch.eye(2)),
    "pinv": L.pinv,
    "matrix_exp": L.matrix_exp,
    "lu": lambda a: L.lu(a)[1:],
    "triangular": lambda a: L.solve_triangular(a, a @ a, upper=True),
    "nuclear": lambda a: L.matrix_norm(a, "nuc"),
    "lstsq": lambda a: L.lstsq(a, a @ a).solution,
}


@pytest.mark.parametrize("complex", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name, complex):
    a = matrix(2, 2, complex=complex).requires_grad_()
    assert gradcheck(FUNCTIONS[name], (a,))
    assert gradgradcheck(FUNCTIONS[name], (a,), atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
@pytest.mark.parametrize("name", ["qr", "pinv", "lu", "nuclear"])
def test_derivatives_of_rectangles(name, shape):
    a = matrix(*shape, seed=3).requires_grad_()
    assert gradcheck(FUNCTIONS[name], (a,))
    assert gradgradcheck(FUNCTIONS[name], (a,), atol=1e-4)


def test_the_gradient_of_a_singular_determinant_is_its_cofactors():
    a = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64).requires_grad_()
    L.det(a).backward()
    assert close(a.grad, [[4, -2], [-2, 1]])


def test_singular_matrices_are_refused():
    singular = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    for fn, text in (
        (L.inv, r"linalg.inv: The diagonal element 2 is zero"),
        (lambda a: L.inv(torch.stack([torch.eye(2), a])), r"linalg.inv: \(Batch element 1\)"),
        (lambda a: L.solve(a, a), "torch.linalg.solve: The solver failed"),
        (lambda a: L.cholesky(a - 3), "the leading minor of order 1 is not positive-definite"),
    ):
        with pytest.raises(L.LinAlgError, match=text):
            fn(singular)
    assert L.inv_ex(singular).info.item() == 2


def test_compiled_programs_call_it_between_their_kernels():
    def step(a, b):
        return (L.solve(a * 2 + torch.eye(3), b) ** 2).sum() + L.slogdet(a)[1]

    a, b = matrix(3, 3).float().requires_grad_(), torch.ones(3, 2)
    compiled = torch.compile(step, fullgraph=True)
    assert torch.equal(compiled(a, b), step(a, b))
    grads = [torch.autograd.grad(f(a, b), a)[0] for f in (compiled, step)]
    assert torch.equal(*grads)
