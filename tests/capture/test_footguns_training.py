"""Training under compile: history that leaves compiled code, optimizers, schedules, accumulation,
several models, loops kept in compiled functions. Every case is compared with eager mode after every
step."""

import copy
import sys
from pathlib import Path

import pytest

import graphc
from graphc import nn
from graphc.optim import SGD, Adam, AdamW

sys.path.insert(0, str(Path(__file__).parent))
from scenarios import CASES, case, check, mlp, ramp  # noqa: E402

FIRST = len(CASES)


def leaf(*shape, start=1.0):
    return ramp(*shape, start=start).requires_grad_()


def batch(i=0, n=4):
    return (ramp(n, 3) * 0.1 + i).sin(), (ramp(n, 2) + i).cos()


def loss_of(model, x, y):
    return ((model(x) - y) ** 2).mean()


OPTIMIZERS = {
    "sgd": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: Adam(p, lr=0.01),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: Adam(p, lr=0.01, amsgrad=True),
}


def _whole_step(make):
    def scenario(compile, see):
        model = mlp()
        opt = make(model.parameters())

        def step(x, y):
            opt.zero_grad()
            loss = loss_of(model, x, y)
            loss.backward()
            opt.step()
            return loss

        f = compile(step)
        for i in range(4):
            see(f(*batch(i)), model, opt)

    return scenario


def _eager_step(make):
    def scenario(compile, see):
        model = mlp()
        opt = make(model.parameters())
        f = compile(model)
        for i in range(4):
            opt.zero_grad()
            loss = loss_of(f, *batch(i))
            loss.backward()
            opt.step()
            see(loss, model, opt)

    return scenario


for _name, _make in OPTIMIZERS.items():
    for _kind, _build in (("whole_step", _whole_step), ("compiled_model", _eager_step)):
        _scenario = _build(_make)
        _scenario.__name__ = f"{_kind}_{_name}"
        case(_scenario)


def trainer(compile, make=OPTIMIZERS["momentum"], model=None):
    model = mlp() if model is None else model
    opt = make(model.parameters())

    def step(x, y):
        opt.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        opt.step()
        return loss

    return model, opt, compile(step)


@case
def learning_rate_by_hand(compile, see):
    model, opt, f = trainer(compile)
    for i in range(6):
        opt.param_groups[0]["lr"] = 0.1 / (i + 1)
        see(f(*batch(i)), model, opt)


@case
def learning_rate_schedule(compile, see):
    model, opt, f = trainer(compile, OPTIMIZERS["adam"])
    schedule = graphc.optim.lr_scheduler.StepLR(opt, step_size=2, gamma=0.5)
    for i in range(6):
        see(f(*batch(i)), model, opt, schedule.get_last_lr())
        schedule.step()


@case
def other_hyperparameters_change(compile, see):
    model, opt, f = trainer(compile)
    see(f(*batch()), model, opt)
    group = opt.param_groups[0]
    group["momentum"] = 0.5
    see(f(*batch()), model, opt)
    group["weight_decay"] = 0.0
    see(f(*batch()), model, opt)
    group["nesterov"] = True
    see(f(*batch()), model, opt)
    group["momentum"] = 0.0
    group["nesterov"] = False
    see(f(*batch()), model, opt)
    group["maximize"] = True
    see(f(*batch()), model, opt)


@case
def betas_replaced(compile, see):
    model, opt, f = trainer(compile, OPTIMIZERS["adam"])
    see(f(*batch()), model, opt)
    opt.param_groups[0]["betas"] = (0.5, 0.9)
    see(f(*batch()), model, opt)
    see(f(*batch()), model, opt)


@case
def parameter_group_added(compile, see):
    model, extra = mlp(), nn.Linear(2, 2)
    opt = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        opt.zero_grad()
        loss = ((extra(model(x)) - y) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    f = compile(step)
    see(f(*batch()), model, extra, opt)
    opt.add_param_group({"params": extra.parameters(), "lr": 0.01})
    for i in range(2):
        see(f(*batch(i)), model, extra, opt)


@case
def optimizer_state_loaded(compile, see):
    model, opt, f = trainer(compile, OPTIMIZERS["adam"])
    for i in range(2):
        see(f(*batch(i)), model, opt)
    saved, weights = copy.deepcopy(opt.state_dict()), copy.deepcopy(model.state_dict())
    for i in range(2):
        see(f(*batch(i)), model, opt)
    opt.load_state_dict(saved)
    model.load_state_dict(weights)
    for i in range(2):
        see(f(*batch(i)), model, opt)


@case
def optimizer_state_cleared(compile, see):
    model, opt, f = trainer(compile)
    for i in range(2):
        see(f(*batch(i)), model, opt)
    opt.state.clear()
    for i in range(2):
        see(f(*batch(i)), model, opt)


@case
def optimizer_state_changed_by_the_user(compile, see):
    model, opt, f = trainer(compile)
    for i in range(2):
        see(f(*batch(i)), model, opt)
    for p in model.parameters():
        opt.state[p]["momentum_buffer"].zero_()
    see(f(*batch()), model, opt)
    p = next(iter(model.parameters()))
    opt.state[p]["momentum_buffer"] = p.detach().clone()
    see(f(*batch()), model, opt)


@case
def optimizer_replaced(compile, see):
    model = mlp()
    opt = SGD(model.parameters(), lr=0.1)

    def step(x, y):
        opt.zero_grad()
        loss_of(model, x, y).backward()
        opt.step()

    f = compile(step)
    f(*batch())
    see(model)
    opt = Adam(model.parameters(), lr=0.01)
    f(*batch())
    see(model)
    opt = SGD([model[0].weight], lr=0.1)
    f(*batch())
    see(model)


@case
def compiled_optimizer_step(compile, see):
    model = mlp()
    opt = Adam(model.parameters(), lr=0.01)
    step = compile(opt.step)
    for i in range(4):
        opt.zero_grad()
        loss_of(model, *batch(i)).backward()
        step()
        see(model, opt)
        opt.param_groups[0]["lr"] *= 0.5


@case
def gradient_accumulation_by_hand(compile, see):
    model = mlp()
    opt = SGD(model.parameters(), lr=0.1)
    f = compile(model)
    for i in range(6):
        (loss_of(f, *batch(i)) / 3).backward()
        see(model)
        if i % 3 == 2:
            opt.step()
            opt.zero_grad()
            see(model)


@case
def gradient_accumulation_inside(compile, see):
    model = mlp()
    opt = SGD(model.parameters(), lr=0.1)

    def micro(x, y):
        loss_of(model, x, y).backward()

    f = compile(micro)
    for i in range(6):
        f(*batch(i))
        see(model)
        if i % 3 == 2:
            opt.step()
            opt.zero_grad(set_to_none=i == 2)
            see(model)


@case
def zero_grad_kinds(compile, see):
    model = mlp()

    def step(x, y, to_none):
        model.zero_grad(set_to_none=to_none)
        loss_of(model, x, y).backward()

    f = compile(step)
    for i, to_none in enumerate((True, False, False, True, False)):
        f(*batch(i), to_none)
        see(model)


@case
def gradients_kept_by_the_user(compile, see):
    model, opt, f = trainer(compile)
    f(*batch())
    kept = [p.grad for p in model.parameters()]
    f(*batch(1))
    see(
        kept,
        [p.grad for p in model.parameters()],
        [a is p.grad for a, p in zip(kept, model.parameters())],
    )
    kept[0].zero_()
    see(model)


@case
def gradient_set_by_the_user(compile, see):
    model = mlp()
    opt = SGD(model.parameters(), lr=0.1)
    f = compile(lambda: opt.step())
    for p in model.parameters():
        p.grad = graphc.ones_like(p)
    f()
    see(model)
    model[0].weight.grad = None
    f()
    see(model)
    model[2].weight.grad = graphc.ones(2, 4).t().contiguous().t()
    f()
    see(model)


@case
def gradient_clipping(compile, see):
    model = mlp()
    opt = SGD(model.parameters(), lr=0.1)

    def step(x, y, limit):
        opt.zero_grad()
        loss_of(model, x, y).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        nn.utils.clip_grad_value_(model.parameters(), limit)
        opt.step()
        return norm

    f = compile(step)
    for i, limit in enumerate((0.1, 0.2, 100.0)):
        see(f(*batch(i), limit), model)


@case
def two_optimizers_gan(compile, see):
    g, d = nn.Linear(3, 3), nn.Linear(3, 1)
    og, od = Adam(g.parameters(), lr=0.01), SGD(d.parameters(), lr=0.1)

    def step(real, noise):
        od.zero_grad()
        fake = g(noise)
        loss_d = (
            nn.functional.softplus(-d(real)).mean()
            + nn.functional.softplus(d(fake.detach())).mean()
        )
        loss_d.backward()
        od.step()
        og.zero_grad()
        loss_g = nn.functional.softplus(-d(fake)).mean()
        loss_g.backward()
        og.step()
        return loss_d, loss_g

    f = compile(step)
    for i in range(3):
        see(f(batch(i)[0], batch(i + 5)[0]), g, d, og, od)


@case
def gan_with_compiled_models(compile, see):
    g, d = nn.Linear(3, 3), nn.Linear(3, 1)
    cg, cd = compile(g), compile(d)
    og, od = SGD(g.parameters(), lr=0.1), SGD(d.parameters(), lr=0.1)
    for i in range(3):
        real, noise = batch(i)[0], batch(i + 5)[0]
        fake = cg(noise)
        od.zero_grad()
        (cd(real).mean() - cd(fake.detach()).mean()).backward()
        od.step()
        og.zero_grad()
        cd(fake).mean().backward()
        og.step()
        see(g, d, fake)


@case
def siamese(compile, see):
    m = mlp()
    f = compile(m)
    for i in range(2):
        m.zero_grad()
        ((f(batch(i)[0]) - f(batch(i + 1)[0])) ** 2).sum().backward()
        see(m)


@case
def several_backwards(compile, see):
    f = compile(lambda x: (x * x).sum())
    x = leaf(3)
    y = f(x)
    y.backward(retain_graph=True)
    see(x)
    y.backward()
    see(x)
    see.error(lambda: y.backward())


@case
def double_backward(compile, see):
    f = compile(lambda x: (x**3).sum() + (x.sin() * x).sum())
    x = leaf(3)
    (g,) = graphc.autograd.grad(f(x), x, create_graph=True)
    see(g)
    (g**2).sum().backward()
    see(x)


@case
def gradient_penalty_inside(compile, see):
    m = mlp()

    def penalty(x):
        x = x.detach().requires_grad_()
        (g,) = graphc.autograd.grad(m(x).sum(), x, create_graph=True)
        return (g**2).sum()

    f = compile(penalty)
    for i in range(2):
        m.zero_grad()
        f(batch(i)[0]).backward()
        see(m)


@case
def autograd_grad_inside(compile, see):
    def g(x):
        y = (x**2).sum()
        (d,) = graphc.autograd.grad(y, x)
        return y, d

    f = compile(g)
    x = leaf(3)
    for _ in range(2):
        see(f(x), x)


@case
def one_of_two_results_goes_backward(compile, see):
    f = compile(lambda x, w: (x * w, (x + w).sum()))
    for order in ((0,), (1,), (0, 1), (1, 0), (0,)):
        x, w = leaf(3), leaf(3, start=2.0)
        outs = f(x, w)
        for k in order:
            outs[k].sum().backward(retain_graph=True)
            see(x, w)


@case
def inputs_with_and_without_gradient(compile, see):
    f = compile(lambda x, w: (x * w).sum())
    for a, b in ((True, True), (True, False), (False, True), (False, False)):
        x, w = ramp(3).requires_grad_(a), ramp(3).requires_grad_(b)
        y = f(x, w)
        if a or b:
            y.backward()
        see(x, w, y)


@case
def compiled_between_eager_parts(compile, see):
    f = compile(lambda h: h.tanh() * 2)
    x = leaf(3)
    for _ in range(2):
        y = (f(x * 3) + x).sum()
        y.backward()
        see(x, y)


@case
def results_changed_in_place_before_backward(compile, see):
    f = compile(lambda x: x * 3)
    x = leaf(3)
    y = f(x)
    y.mul_(2)
    y[0] = 0
    y.sum().backward()
    see(x, y)


@case
def view_of_a_result_before_backward(compile, see):
    f = compile(lambda x: (x * 3).view(2, 2)[0])
    x = leaf(4)
    y = f(x)
    y.add_(1)
    (y * y).sum().backward()
    see(x, y)


@case
def retained_gradients(compile, see):
    f = compile(lambda x: x * 3)
    x = leaf(3)
    y = f(x)
    y.retain_grad()
    (y * y).sum().backward()
    see(x, y.grad)


@case
def tensor_hook_on_a_result(compile, see):
    f = compile(lambda x: x * 3)
    x, seen = leaf(3), []
    y = f(x)
    h = y.register_hook(lambda g: (seen.append(g), g * 2)[1])
    y.sum().backward(retain_graph=True)
    see(x, seen)
    h.remove()
    y.sum().backward()
    see(x, seen)


@case
def hook_inside(compile, see):
    def g(x):
        y = x * 2
        y.register_hook(lambda grad: grad * 10)
        return (y * y).sum()

    f = compile(g)
    x = leaf(3)
    for _ in range(2):
        f(x).backward()
        see(x)


@case
def hook_on_a_leaf_with_a_backward_inside(compile, see):
    x = leaf(3)
    k = 2.0
    x.register_hook(lambda g: g * k)

    def step(y):
        x.grad = None
        (x * y).sum().backward()

    f = compile(step)
    f(ramp(3))
    see(x)
    k = 5.0
    f(ramp(3))
    see(x)


class Square(graphc.autograd.Function):
    factor = 2.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * Square.factor


@case
def custom_function(compile, see):
    f = compile(lambda x: Square.apply(x).sum())
    x = leaf(3)
    for Square.factor in (2.0, 3.0):
        f(x).backward()
        see(x)
    Square.factor = 2.0


@case
def custom_function_in_a_step(compile, see):
    x = leaf(3)

    def step():
        x.grad = None
        y = Square.apply(x).sum()
        y.backward()
        return y

    f = compile(step)
    for Square.factor in (2.0, 3.0):
        see(f(), x)
    Square.factor = 2.0


@case
def checkpoint_by_hand(compile, see):
    class Checkpoint(graphc.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return (x @ w).tanh()

        @staticmethod
        def backward(ctx, g):
            x, w = [t.detach().requires_grad_() for t in ctx.saved_tensors]
            with graphc.enable_grad():
                y = (x @ w).tanh()
            return graphc.autograd.grad(y, (x, w), g)

    w = leaf(3, 3)

    def step(x):
        w.grad = None
        Checkpoint.apply(x, w).sum().backward()

    f = compile(step)
    for i in range(2):
        f(batch(i)[0])
        see(w)


@case
def exponential_moving_average(compile, see):
    model, opt, _ = trainer(lambda f: f)
    ema = copy.deepcopy(model)

    def step(x, y):
        opt.zero_grad()
        loss_of(model, x, y).backward()
        opt.step()
        with graphc.no_grad():
            for a, b in zip(ema.parameters(), model.parameters(), strict=True):
                a.mul_(0.9).add_(b, alpha=0.1)

    f = compile(step)
    for i in range(3):
        f(*batch(i))
        see(model, ema)


@case
def loss_accumulated_over_steps(compile, see):
    model, opt, f = trainer(compile)
    total = 0
    for i in range(3):
        total = total + f(*batch(i)).detach()
        see(total)


@case
def loss_accumulated_in_a_tensor_outside(compile, see):
    model, opt, _ = trainer(lambda f: f)
    total = graphc.zeros(())

    def step(x, y):
        opt.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        opt.step()
        total.add_(loss.detach())

    f = compile(step)
    for i in range(3):
        f(*batch(i))
        see(total, model)


@case
def batch_size_of_a_step(compile, see):
    model, opt, f = trainer(compile)
    for n in (4, 4, 2, 1, 7, 4):
        see(f(*batch(0, n)), model)


@case
def steps_with_dropout_and_batch_norm(compile, see):
    model = nn.Sequential(
        nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2)
    )
    model, opt, f = trainer(compile, OPTIMIZERS["adamw"], model)
    for i in range(3):
        see(f(*batch(i)), model, opt)
    model.eval()
    see(f(*batch()), model)
    model.train()
    see(f(*batch()), model)


@case
def frozen_part_way(compile, see):
    model, opt, f = trainer(compile)
    see(f(*batch()), model)
    model[0].requires_grad_(False)
    see(f(*batch(1)), model)
    see(f(*batch(2)), model)
    model[0].requires_grad_(True)
    see(f(*batch(3)), model)


@case
def resumed_run(compile, see):
    model, opt, f = trainer(compile, OPTIMIZERS["adam"])
    for i in range(2):
        f(*batch(i))
    state = copy.deepcopy((model.state_dict(), opt.state_dict(), graphc.get_rng_state()))
    model2, opt2, f2 = trainer(compile, OPTIMIZERS["adam"])
    model2.load_state_dict(state[0])
    opt2.load_state_dict(state[1])
    graphc.set_rng_state(state[2])
    for i in range(2, 4):
        see(f(*batch(i)), f2(*batch(i)), model, model2, opt, opt2)


@case
def evaluation_between_steps(compile, see):
    model, opt, f = trainer(compile)
    predict = compile(model)
    for i in range(3):
        f(*batch(i))
        model.eval()
        with graphc.no_grad():
            see(predict(batch(i)[0]), model)
        model.train()


@case
def weights_shared_with_an_embedding(compile, see):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embedding.weight

        def forward(self, i):
            return self.out(self.embedding(i))

    graphc.manual_seed(3)
    m = Tied()
    f = compile(lambda i, t: nn.functional.cross_entropy(m(i), t))
    opt = SGD(m.parameters(), lr=0.1)
    for _ in range(3):
        opt.zero_grad()
        f(graphc.tensor([0, 1, 4]), graphc.tensor([1, 1, 2])).backward()
        opt.step()
        see(m, list(m.state_dict()))


@case
def detached_and_no_grad_parts(compile, see):
    w = leaf(3)

    def step(x):
        with graphc.no_grad():
            target = (w * 2).relu()
        out = w * x + (w * 3).detach()
        return ((out - target) ** 2).sum()

    f = compile(step)
    for _ in range(2):
        f(ramp(3)).backward()
        see(w)


@case
def a_leaf_made_inside(compile, see):
    def g(x):
        w = graphc.ones(3, requires_grad=True)
        ((x * w) ** 2).sum().backward()
        return w.grad

    f = compile(g)
    see(f(ramp(3)), f(ramp(3) + 1))


@case
def backward_through_two_compiled_functions(compile, see):
    f, g = compile(lambda x: x.sin()), compile(lambda x: (x * x).sum())
    x = leaf(3)
    for _ in range(2):
        g(f(x)).backward()
        see(x)


@case
def parameters_updated_by_hand(compile, see):
    w = leaf(3)

    def step(x):
        loss = ((w * x - 1) ** 2).sum()
        loss.backward()
        with graphc.no_grad():
            w.sub_(0.01 * w.grad)
            w.grad.zero_()
        return loss

    f = compile(step)
    for _ in range(3):
        see(f(ramp(3)), w)


@case
def parameters_updated_by_data(compile, see):
    w = leaf(3)

    def step(x):
        w.grad = None
        loss = ((w * x - 1) ** 2).sum()
        loss.backward()
        w.data -= 0.01 * w.grad.data
        return loss

    f = compile(step)
    for _ in range(3):
        see(f(ramp(3)), w)


@pytest.mark.parametrize("name", list(CASES)[FIRST:])
def test_training(name):
    check(name)
