"""This repo's networks and training in PyTorch, to be timed as the functions of contestants.py."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import data
from config import TrainSettings

R1_INTERVAL = 16
EPSILON = 1e-3  # of batch normalisation in Keras; PyTorch's own is 1e-5


class Multiplier(nn.Module):
    """The learning-rate multiplier: its input times ten."""

    def forward(self, x):
        return 10 * x


class DiscreteCode(nn.Module):
    """The largest of the first 32 numbers as a one-hot code, 6 where it is; the rest as it is."""

    def forward(self, x):
        codes = nn.functional.one_hot(x[:, :32].argmax(1), 32)
        return torch.cat([6.0 * codes, x[:, 32:]], 1)


def build_networks():
    """Generator and discriminator (to logits), with this repo's first weights."""
    discriminator = nn.Sequential(
        nn.ZeroPad2d((1, 2, 1, 2)),  # as Keras pads
        nn.Conv2d(1, 32, 5, 2),
        Multiplier(),
        nn.LeakyReLU(0.02),
        nn.ZeroPad2d((3, 4, 3, 4)),
        nn.Conv2d(32, 96, 9, 3),
        Multiplier(),
        nn.LeakyReLU(0.02),
        nn.Dropout(0.1),
        nn.Flatten(),
        Multiplier(),
        nn.Linear(96 * 5 * 5, 1),
    )
    generator = nn.Sequential(
        DiscreteCode(),
        nn.Linear(200, 7 * 7 * 256, bias=False),
        nn.Unflatten(1, (256, 7, 7)),
        nn.BatchNorm2d(256, EPSILON),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 32, 4, 2, 1, bias=False),
        nn.BatchNorm2d(32, EPSILON),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 4, 2, 1, bias=False),
        nn.BatchNorm2d(32, EPSILON),
        nn.ReLU(),
        Multiplier(),
        nn.ConvTranspose2d(32, 1, 5, 1, 2),
        nn.Tanh(),
    )
    with torch.no_grad():  # lest a player win at once
        for layer in discriminator:
            if hasattr(layer, "weight"):
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5 / 10)
        for number in (1, 5, 8):
            generator[number].weight.normal_(0, 0.001)
        generator[12].weight.normal_(0, 0.0005)
    return generator, discriminator


def pytorch(batch_size, one_pass=False, compiled=False):
    """A contestant, channels last, in the loop of PyTorch's DCGAN example.

    The example passes through the discriminator three times a step: real images, fake ones for
    its own loss, and fake ones again for the generator's. With `one_pass` all go through at once,
    forwards and backwards, as in this repo; `compiled`: by torch.compile.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_flush_denormal(True)  # as TensorFlow does
    generator, discriminator = (
        network.to(device, memory_format=torch.channels_last) for network in build_networks()
    )
    options = {"lr": 1e-4, "betas": (0.0, 0.99), "eps": 1e-7, "fused": True}
    g_adam = torch.optim.Adam(generator.parameters(), **options)
    d_adam = torch.optim.Adam(discriminator.parameters(), **options)
    uncompiled = discriminator  # for the penalty, whose second gradient torch.compile refuses
    if compiled:
        generator, discriminator = torch.compile(generator), torch.compile(discriminator)
    pixels = torch.from_numpy(data.load_images(TrainSettings().data).copy()).to(device)
    ones = torch.ones(batch_size, 1, device=device)

    def penalty(real):
        """R1, as every 16th step of ours has it."""
        uncompiled.eval()
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(uncompiled(real).sum(), real, create_graph=True)
        uncompiled.train()
        return R1_INTERVAL / 2 * slope.square().sum([1, 2, 3]).mean()

    def three_passes(real, fake):
        """The example's: the discriminator moves before the generator's gradient is taken."""
        binary_cross_entropy_with_logits(discriminator(real), ones).backward()
        binary_cross_entropy_with_logits(discriminator(fake.detach()), 0 * ones).backward()
        d_adam.step()
        loss = binary_cross_entropy_with_logits(discriminator(fake), ones)
        loss.backward()
        return loss

    def single_pass(real, fake):
        """This repo's: the generator's gradient from the discriminator's, image by image."""
        images = fake.detach().requires_grad_()
        real_logits, fake_logits = discriminator(torch.cat([real, images])).chunk(2)
        d_loss = binary_cross_entropy_with_logits(real_logits, ones)
        d_loss += binary_cross_entropy_with_logits(fake_logits, 0 * ones)
        d_loss.backward()
        factor = -torch.exp(-fake_logits.detach())
        fake.backward(images.grad * factor[:, :, None, None])
        d_adam.step()
        return binary_cross_entropy_with_logits(fake_logits, ones)

    forward_and_backward = single_pass if one_pass else three_passes

    def run(steps):
        for number in range(steps):
            batch = torch.randint(len(pixels), (batch_size,), device=device)
            real = pixels[batch, None] / 127.5 - 1
            real = real.contiguous(memory_format=torch.channels_last)
            fake = generator(torch.randn(batch_size, 200, device=device))
            d_adam.zero_grad()
            g_adam.zero_grad()
            if number % R1_INTERVAL == 0:
                penalty(real).backward()
            loss = forward_and_backward(real, fake)
            g_adam.step()
        loss.item()  # waits until all is done

    return run
