"""DCGAN: a generator of transposed convolutions and a discriminator of strided ones, with the
weights_init function, label constants and the two-sided update."""

import torch
import torch.nn as nn
import torch.optim as optim
from same import gradients, numbers, start

results = {}
nc, nz, ngf, ndf = 1, 8, 4, 4


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 4, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input)


netG = Generator()
netG.apply(weights_init)
start(netG, 1)
netD = Discriminator()
netD.apply(weights_init)
start(netD, 2)
print(netG)
print(netD)
criterion = nn.BCELoss()
fixed_noise = numbers(4, nz, 1, 1, seed=3)
real_label, fake_label = 1.0, 0.0
optimizerD = optim.Adam(netD.parameters(), lr=0.002, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=0.002, betas=(0.5, 0.999))
G_losses, D_losses = [], []
for i in range(3):
    # the discriminator: log(D(x)) + log(1 - D(G(z)))
    netD.zero_grad()
    real = numbers(6, nc, 16, 16, seed=10 + i).tanh()
    label = torch.full((real.size(0),), real_label, dtype=real.dtype)
    output = netD(real).view(-1)
    errD_real = criterion(output, label)
    errD_real.backward()
    noise = numbers(6, nz, 1, 1, seed=20 + i)
    fake = netG(noise)
    label.fill_(fake_label)
    output = netD(fake.detach()).view(-1)
    errD_fake = criterion(output, label)
    errD_fake.backward()
    errD = errD_real + errD_fake
    if i == 0:
        results["fake output"] = fake.detach()
        results.update(gradients(netD, "D "))
    optimizerD.step()
    # the generator: log(D(G(z)))
    netG.zero_grad()
    label.fill_(real_label)
    output = netD(fake).view(-1)
    errG = criterion(output, label)
    errG.backward()
    if i == 0:
        # the discriminator has moved once: these are gradients after a step
        results.update({f"{k} losses": v for k, v in gradients(netG, "G ").items()})
    optimizerG.step()
    G_losses.append(errG.item())
    D_losses.append(errD.item())
results["G losses"], results["D losses"] = G_losses, D_losses
with torch.no_grad():
    results["fixed losses"] = netG(fixed_noise).detach().cpu()
