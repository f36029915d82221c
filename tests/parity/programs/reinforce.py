"""REINFORCE with an actor and a critic on a corridor, and a Gaussian policy on a line: log_prob of
Categorical and Normal, discounted returns, entropy. Actions are drawn by numpy's numbers."""

from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from same import gradients, numbers, start, uniform
from torch.distributions import Categorical, Normal

results = {}
SavedAction = namedtuple("SavedAction", ["log_prob", "value"])


class Corridor:
    """Seven cells; the right end pays 1, each step costs 0.05."""

    def reset(self):
        self.at = 3
        return self.state()

    def state(self):
        return [self.at / 6, float(self.at == 0), (3 - self.at) / 3, 1.0]

    def step(self, action):
        self.at = max(0, self.at + (1 if action == 1 else -1))
        done = self.at == 6
        return self.state(), (1.0 if done else -0.05), done


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 16)
        self.action_head = nn.Linear(16, 2)
        self.value_head = nn.Linear(16, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        action_prob = F.softmax(self.action_head(x), dim=-1)
        state_values = self.value_head(x)
        return action_prob, state_values


model = start(Policy())
optimizer = optim.Adam(model.parameters(), lr=3e-2)
eps = torch.finfo(torch.get_default_dtype()).eps
env = Corridor()


def select_action(state, chance):
    state = torch.tensor(state)
    probs, state_value = model(state)
    m = Categorical(probs)
    assert m.sample().shape == ()
    # in place of m.sample(), whose stream is each library's own
    action = (chance > probs[0]).long()
    model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
    return action.item(), m.entropy()


def finish_episode():
    R = 0
    saved_actions = model.saved_actions
    policy_losses = []
    value_losses = []
    returns = deque()
    for r in model.rewards[::-1]:
        R = r + 0.99 * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    for (log_prob, value), R in zip(saved_actions, returns):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    if "grad affine1.weight" not in results:
        results.update(gradients(model))
    optimizer.step()
    del model.rewards[:]
    del model.saved_actions[:]
    return loss.item()


losses, lengths, entropies = [], [], []
for i_episode in range(3):
    state = env.reset()
    chances = uniform(12, seed=40 + i_episode)
    for t in range(12):
        action, entropy = select_action(state, chances[t])
        entropies.append(entropy.item())
        state, reward, done = env.step(action)
        model.rewards.append(reward)
        if done:
            break
    lengths.append(t)
    losses.append(finish_episode())
results["losses"] = losses
results["entropy losses"] = entropies
print("episode lengths", lengths)

# a continuous action
mean = nn.Parameter(torch.zeros(2))
log_std = nn.Parameter(torch.zeros(2))
opt = optim.SGD([mean, log_std], lr=0.05)
goal = torch.tensor([0.7, -0.3])
losses = []
for i in range(4):
    policy = Normal(mean, log_std.exp())
    action = (mean + log_std.exp() * numbers(16, 2, seed=60 + i)).detach()
    reward = -(action - goal).pow(2).sum(-1)
    advantage = reward - reward.mean()
    loss = -(policy.log_prob(action).sum(-1) * advantage).mean() - 0.01 * policy.entropy().sum()
    opt.zero_grad()
    loss.backward()
    if i == 0:
        results["gaussian grads"] = [mean.grad.clone(), log_std.grad.clone()]
    opt.step()
    losses.append(loss.item())
results["gaussian losses"] = losses
