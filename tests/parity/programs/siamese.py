"""A siamese network on digits: twin towers judged by binary cross-entropy on |a - b|, by the
contrastive loss, and by triplets."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from same import digits, gradients, start, step
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset

results = {}
images, labels = digits(120)


class Pairs(Dataset):
    """Even items pair an image with one of its class, odd ones with one of the next class."""

    def __init__(self, images, labels):
        super().__init__()
        self.data = images.unsqueeze(1)
        self.group_examples(labels)

    def group_examples(self, labels):
        self.targets = labels
        self.grouped_examples = {}
        for i in range(0, 10):
            self.grouped_examples[i] = torch.where(labels == i)[0]

    def __len__(self):
        return self.data.shape[0]

    def __getitem__(self, index):
        selected_class = self.targets[index].item()
        if index % 2 == 0:
            other = self.grouped_examples[selected_class]
            target = torch.tensor(1, dtype=self.data.dtype)
        else:
            other = self.grouped_examples[(selected_class + 1) % 10]
            target = torch.tensor(0, dtype=self.data.dtype)
        image_2 = self.data[other[index % other.shape[0]].item()]
        return self.data[index], image_2, target


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        euclidean_distance = F.pairwise_distance(output1, output2, keepdim=True)
        return torch.mean(
            label * torch.pow(euclidean_distance, 2)
            + (1 - label) * torch.pow(torch.clamp(self.margin - euclidean_distance, min=0.0), 2)
        )


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2, stride=1),
            nn.Conv2d(4, 8, kernel_size=3),
            nn.ReLU(),
        )
        self.embed = nn.Linear(8 * 3 * 3, 12)
        self.fc = nn.Sequential(nn.Linear(12, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))
        self.sigmoid = nn.Sigmoid()
        self.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        output = self.cnn(x)
        output = output.view(output.size()[0], -1)
        return self.embed(output)

    def forward(self, input1, input2):
        output1 = self.forward_once(input1)
        output2 = self.forward_once(input2)
        return output1, output2, self.sigmoid(self.fc(torch.abs(output1 - output2)))


def by_probability(out1, out2, chance, targets):
    return F.binary_cross_entropy(chance.squeeze(), targets)


def by_distance(out1, out2, chance, targets):
    return ContrastiveLoss()(out1, out2, targets.unsqueeze(1))


train_loader = DataLoader(Pairs(images, labels), batch_size=24)
for name, criterion in (("probability", by_probability), ("distance", by_distance)):
    model = start(SiameseNetwork())
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)

    @step
    def update(images_1, images_2, targets, model=model, criterion=criterion):
        out1, out2, chance = model(images_1, images_2)
        loss = criterion(out1, out2, chance, targets)
        loss.backward()
        return chance, loss

    losses = []
    for images_1, images_2, targets in train_loader:
        optimizer.zero_grad()
        chance, loss = update(images_1, images_2, targets)
        if not losses:
            results[f"{name} output"] = chance.detach().clone()
            results.update(gradients(model, f"{name} "))
        optimizer.step()
        losses.append(loss.item())
    scheduler.step()
    results[f"{name} losses"] = losses

# triplets
model = start(SiameseNetwork())
triplet = nn.TripletMarginLoss(margin=1.0, p=2)
swapped = nn.TripletMarginWithDistanceLoss(
    distance_function=lambda x, y: 1.0 - F.cosine_similarity(x, y), swap=True
)
data = images.unsqueeze(1)
anchor, positive, negative = (model.forward_once(data[i : i + 20]) for i in (0, 20, 40))
loss = triplet(anchor, positive, negative) + swapped(anchor, positive, negative)
loss = loss + F.cosine_embedding_loss(anchor, negative, torch.ones(20).fill_(-1), margin=0.2)
loss.backward()
results["triplet output"] = loss.detach()
results.update(gradients(model, "triplet "))
