"""A vision transformer: patches by a strided convolution or by rearranging, a class token, learnt
places, pre-norm blocks, and one head for classes."""

from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from same import gradients, integers, numbers, start, step

results = {}


def pair(t):
    return t if isinstance(t, tuple) else (t, t)


class FeedForward(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        return self.net(x)


class Attention(nn.Module):
    def __init__(self, dim, heads=2, dim_head=8, dropout=0.0):
        super().__init__()
        inner_dim = dim_head * heads
        project_out = not (heads == 1 and dim_head == dim)
        self.heads = heads
        self.scale = dim_head**-0.5
        self.norm = nn.LayerNorm(dim)
        self.attend = nn.Softmax(dim=-1)
        self.dropout = nn.Dropout(dropout)
        self.to_qkv = nn.Linear(dim, inner_dim * 3, bias=False)
        self.to_out = (
            nn.Sequential(nn.Linear(inner_dim, dim), nn.Dropout(dropout))
            if project_out
            else nn.Identity()
        )

    def forward(self, x):
        b, n, _ = x.shape
        x = self.norm(x)
        qkv = self.to_qkv(x).chunk(3, dim=-1)
        q, k, v = (t.reshape(b, n, self.heads, -1).transpose(1, 2) for t in qkv)
        dots = torch.matmul(q, k.transpose(-1, -2)) * self.scale
        attn = self.dropout(self.attend(dots))
        out = torch.matmul(attn, v)
        out = out.permute(0, 2, 1, 3).flatten(2)
        return self.to_out(out)


class Transformer(nn.Module):
    def __init__(self, dim, depth, heads, dim_head, mlp_dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.layers = nn.ModuleList([])
        for _ in range(depth):
            self.layers.append(
                nn.ModuleList([Attention(dim, heads, dim_head), FeedForward(dim, mlp_dim)])
            )

    def forward(self, x):
        for attn, ff in self.layers:
            x = attn(x) + x
            x = ff(x) + x
        return self.norm(x)


class ViT(nn.Module):
    def __init__(
        self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, pool="cls",
        channels=3, dim_head=8, conv_stem=True,
    ):  # fmt: skip
        super().__init__()
        image_height, image_width = pair(image_size)
        self.patch = pair(patch_size)
        num_patches = (image_height // self.patch[0]) * (image_width // self.patch[1])
        patch_dim = channels * self.patch[0] * self.patch[1]
        assert pool in {"cls", "mean"}
        self.conv_stem = conv_stem
        if conv_stem:
            self.conv_proj = nn.Conv2d(channels, dim, self.patch, stride=self.patch)
        else:
            self.to_patch_embedding = nn.Sequential(
                nn.LayerNorm(patch_dim), nn.Linear(patch_dim, dim), nn.LayerNorm(dim)
            )
        self.pos_embedding = nn.Parameter(torch.randn(1, num_patches + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = Transformer(dim, depth, heads, dim_head, mlp_dim)
        self.pool = pool
        self.mlp_head = nn.Linear(dim, num_classes)
        nn.init.trunc_normal_(self.pos_embedding, std=0.02)

    def forward(self, img):
        if self.conv_stem:
            x = self.conv_proj(img).flatten(2).transpose(1, 2)
        else:
            (b, c, h, w), (p1, p2) = img.shape, self.patch
            x = img.view(b, c, h // p1, p1, w // p2, p2).permute(0, 2, 4, 3, 5, 1)
            x = self.to_patch_embedding(x.reshape(b, (h // p1) * (w // p2), p1 * p2 * c))
        b, n, _ = x.shape
        cls_tokens = self.cls_token.expand(b, -1, -1)
        x = torch.cat((cls_tokens, x), dim=1)
        x += self.pos_embedding[:, : (n + 1)]
        x = self.transformer(x)
        x = x.mean(dim=1) if self.pool == "mean" else x[:, 0]
        return self.mlp_head(x)


images = numbers(4, 3, 16, 16, seed=1)
labels = integers(5, 4, seed=2)
make = partial(
    ViT, image_size=16, patch_size=4, num_classes=5, dim=16, depth=2, heads=2, mlp_dim=32
)
for name, model in (("conv", make()), ("mean", make(pool="mean", conv_stem=False))):
    start(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)

    @step
    def update(images, labels, model=model):
        output = model(images)
        loss = F.cross_entropy(output, labels)
        loss.backward()
        return output, loss

    losses = []
    for i in range(4):
        output, loss = update(images, labels)
        if i == 0:
            results[f"{name} output"] = output.detach().clone()
            results.update(gradients(model, f"{name} "))
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        losses.append(loss.item())
    results[f"{name} losses"] = losses
