"""The workloads in PyTorch, eager or through `torch.compile`.

Convolutional networks are in channels_last, Adam is the fused one, and while the
generator learns the discriminator's parameters want no gradient: all three are in
PyTorch's documentation and all three make it quicker.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.workloads import (
    EPSILON,
    L1_WEIGHT,
    LAYER_EPSILON,
    MOMENTUM,
    SLOPE,
    cut,
    loop,
)

# --- networks ------------------------------------------------------------------


class Rows(nn.Module):
    """Feature maps (B, C, H, W) -> rows (B, H * W * C), without a copy."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Maps(nn.Module):
    """Rows (B, side * side * C) -> feature maps (B, C, side, side), without a copy."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, x):
        return x.view(len(x), self.side, self.side, -1).permute(0, 3, 1, 2)


class Conditional(nn.Module):
    """A network that is told the class too: (B, C) and labels (B,) -> what it gives."""

    def __init__(self, body):
        super().__init__()
        self.embed = nn.Embedding(10, 10)
        self.body = body

    def forward(self, x, labels):
        return self.body(torch.cat([x, self.embed(labels)], 1))


class UNet(nn.Module):
    """Chapter 6's: x (B, 1, side, side) -> pictures (B, 3, side, side)."""

    def __init__(self, w):
        super().__init__()
        first, *others = w.up
        sizes = list(itertools.pairwise(w.up))
        self.downs = nn.ModuleList(
            [half(1, first, 4), *(half(i, o, 4, bias=False) for i, o in sizes)]
        )
        self.down_norms = nn.ModuleList([nn.Identity(), *map(instance_norm, others)])
        back = [(o if o == w.up[-1] else 2 * o, i) for i, o in reversed(sizes)]
        self.ups = nn.ModuleList(double(i, o, 4, bias=False) for i, o in back)
        self.up_norms = nn.ModuleList(instance_norm(o) for _, o in back)
        self.last = double(2 * first, first // 2, 4)
        self.out = nn.Conv2d(first // 2 + 1, w.shape[-1], 3, padding=1)

    def forward(self, x):
        maps = [x]
        for down, norm in zip(self.downs, self.down_norms, strict=True):
            maps.append(F.leaky_relu(norm(down(maps[-1])), SLOPE))
        h = maps.pop()
        for up, norm in zip(self.ups, self.up_norms, strict=True):
            h = torch.cat([F.relu(norm(up(h))), maps.pop()], 1)
        h = torch.cat([F.relu(self.last(h)), maps.pop()], 1)
        return torch.tanh(self.out(h))


class Pairs(nn.Module):
    """A discriminator that is shown two pictures, side by side as channels."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x, y):
        return self.body(torch.cat([x, y], 1))


def instance_norm(features):
    return nn.InstanceNorm2d(features, eps=LAYER_EPSILON, affine=True)


def leaky():
    return nn.LeakyReLU(SLOPE)


def norm(features, dimensions=2):
    kind = nn.BatchNorm1d if dimensions == 1 else nn.BatchNorm2d
    return kind(features, eps=EPSILON, momentum=1 - MOMENTUM)


def half(i, o, kernel=3, bias=True):
    return nn.Conv2d(i, o, kernel, stride=2, padding=1, bias=bias)


def double(i, o, kernel=3, bias=True):
    more = {"output_padding": 1} if kernel == 3 else {}
    return nn.ConvTranspose2d(i, o, kernel, stride=2, padding=1, bias=bias, **more)


def each(sizes, make):
    """The layers make(i, o) of every stage, one after another."""
    return [layer for i, o in itertools.pairwise(sizes) for layer in make(i, o)]


def chapter1(w):
    codes = (2 if w.game == "vae" else 1) * w.latent
    encoder = nn.Sequential(
        *each((1, 32, 64, 128), lambda i, o: [half(i, o), nn.ReLU()]),
        Rows(),
        nn.Linear(4 * 4 * 128, codes),
    )
    decoder = nn.Sequential(
        nn.Linear(w.latent, 4 * 4 * 128),
        Maps(4),
        *each((128, 128, 64, 32), lambda i, o: [double(i, o), nn.ReLU()]),
        nn.Conv2d(32, 1, 3, padding=1),
    )
    return encoder, decoder


def faces(w):
    stage = w.start**2
    encoder = nn.Sequential(
        *each((3, *w.down), lambda i, o: [half(i, o), norm(o), leaky()]),
        Rows(),
        nn.Linear(stage * w.down[-1], 2 * w.latent),
    )
    decoder = nn.Sequential(
        nn.Linear(w.latent, stage * w.up[0]),
        norm(stage * w.up[0], 1),
        leaky(),
        Maps(w.start),
        *each((w.up[0], *w.up), lambda i, o: [double(i, o), norm(o), leaky()]),
        nn.Conv2d(w.up[-1], 3, 3, padding=1),
    )
    return encoder, decoder


def mlp(w):
    def hidden(i, o):
        return [nn.Linear(i, o), leaky(), nn.LayerNorm(o, eps=LAYER_EPSILON)]

    generator = nn.Sequential(
        *each((w.latent, *w.up), hidden),
        nn.Linear(w.up[-1], w.shape[0]),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        *each((w.shape[0], *w.down), lambda i, o: [nn.Linear(i, o), leaky()]),
        nn.Linear(w.down[-1], 1),
    )
    return generator, discriminator


def conv(w):
    size = w.start**2 * w.up[0]
    generator = nn.Sequential(
        nn.Linear(w.latent, size, bias=False),
        norm(size, 1),
        leaky(),
        Maps(w.start),
        *each(w.up, lambda i, o: [double(i, o, 4, bias=False), norm(o), leaky()]),
        double(w.up[-1], w.shape[-1], 4),
        nn.Tanh(),
    )
    side = w.shape[0] // 2 ** len(w.down)
    discriminator = nn.Sequential(
        *each(
            (w.shape[-1], *w.down),
            lambda i, o: [half(i, o, 4), leaky(), nn.Dropout(w.dropout)],
        ),
        Rows(),
        nn.Linear(side**2 * w.down[-1], 1),
    )
    return generator, discriminator


def conditional(w):
    generator = nn.Sequential(
        nn.Linear(w.latent + 10, w.up[0]),
        leaky(),
        *each(w.up, lambda i, o: [nn.Linear(i, o), norm(o, 1), leaky()]),
        nn.Linear(w.up[-1], w.shape[0]),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Linear(w.shape[0] + 10, w.down[0]),
        leaky(),
        *each(w.down, lambda i, o: [nn.Linear(i, o), leaky(), nn.Dropout(w.dropout)]),
        nn.Linear(w.down[-1], 1),
    )
    return Conditional(generator), Conditional(discriminator)


def unet(w):
    first, *others = w.down
    layers = [half(1 + w.shape[-1], first, 4), leaky()]
    for i, o in itertools.pairwise(w.down):
        more = dict(padding="same") if o == others[-1] else dict(stride=2, padding=1)
        layers += [nn.Conv2d(i, o, 4, bias=False, **more), instance_norm(o), leaky()]
    layers += [nn.Conv2d(w.down[-1], 1, 4, padding="same")]
    return UNet(w), Pairs(nn.Sequential(*layers))


NETWORKS = {f.__name__: f for f in (chapter1, faces, mlp, conv, conditional, unet)}


@torch.no_grad()
def initialise(network, w):
    """As Flax does: a truncated normal of variance 1 / fan_in, and no bias at first;
    for the conditional networks a normal of deviation 0.02."""
    for layer in network.modules():
        if w.networks == "conditional" and isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            inputs = getattr(layer, "in_channels", None) or layer.in_features
            fan_in = inputs * layer.weight[0, 0].numel()
            std = fan_in**-0.5 / 0.87962566103423978
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)


# --- steps ---------------------------------------------------------------------


def autoencoder_step(networks, optimizers, w, compiled):
    encoder, decoder = networks
    (optimizer,) = optimizers

    def loss_fn(x):
        if w.game == "autoencoder":
            return summed_cross_entropy(decoder(encoder(x)), x).mean()
        mean, log_var = encoder(x).chunk(2, dim=1)  # (B, latent)
        logits = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        error = squared_error if w.networks == "faces" else summed_cross_entropy
        kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)  # (B,)
        return (error(logits, x) + kl).mean()

    loss_fn = torch.compile(loss_fn) if compiled else loss_fn

    def step(x):
        optimizer.zero_grad()
        loss = loss_fn(x)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    return step


def summed_cross_entropy(logits, x):
    """(B,): nats an image."""
    pixels = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return pixels.sum((1, 2, 3))


def squared_error(logits, x):
    """(B,): 2000 times the mean over a picture's pixels."""
    return 2000 * ((logits.sigmoid() - x) ** 2).mean((1, 2, 3))


def cross_entropy(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def gan_step(networks, optimizers, w, compiled, frozen=True):
    """One z for both updates, as in PyTorch's DCGAN tutorial: the fakes are made once,
    of the labels in the batch, D sees them detached, and G's gradient goes back through
    the same ones."""
    generator, discriminator = networks
    g_optimizer, d_optimizer = optimizers

    def make(real, *labels):
        z = torch.randn(len(real), w.latent, device=real.device)
        return generator(z, *labels)

    def d_loss_fn(real, fake, *labels):
        on_real, on_fake = discriminator(real, *labels), discriminator(fake, *labels)
        return cross_entropy(on_real, 1.0) + cross_entropy(on_fake, 0.0)

    def g_loss_fn(fake, *labels):
        return cross_entropy(discriminator(fake, *labels), 1.0)

    if compiled:
        make, d_loss_fn, g_loss_fn = map(torch.compile, (make, d_loss_fn, g_loss_fn))

    def step(real, *labels):
        fake = make(real, *labels)
        d_optimizer.zero_grad()
        d_loss = d_loss_fn(real, fake.detach(), *labels)
        d_loss.backward()
        d_optimizer.step()

        discriminator.requires_grad_(not frozen)
        g_optimizer.zero_grad()
        g_loss = g_loss_fn(fake, *labels)
        g_loss.backward()
        g_optimizer.step()
        discriminator.requires_grad_(True)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

    return step


def pix2pix_step(networks, optimizers, w, compiled, frozen=True):
    """The fakes are made once, as in `gan_step`."""
    generator, discriminator = networks
    g_optimizer, d_optimizer = optimizers

    def make(x):
        return generator(x)

    def d_loss_fn(x, y, fake):
        on_real, on_fake = discriminator(x, y), discriminator(x, fake)
        return (cross_entropy(on_real, 1.0) + cross_entropy(on_fake, 0.0)) / 2

    def g_loss_fn(x, y, fake):
        return cross_entropy(discriminator(x, fake), 1.0), (y - fake).abs().mean()

    if compiled:
        make, d_loss_fn, g_loss_fn = map(torch.compile, (make, d_loss_fn, g_loss_fn))

    def step(x, y):
        fake = make(x)
        d_optimizer.zero_grad()
        d_loss = d_loss_fn(x, y, fake.detach())
        d_loss.backward()
        d_optimizer.step()

        discriminator.requires_grad_(not frozen)
        g_optimizer.zero_grad()
        g_loss, l1 = g_loss_fn(x, y, fake)
        (g_loss + L1_WEIGHT * l1).backward()
        g_optimizer.step()
        discriminator.requires_grad_(True)
        told = {"d_loss": d_loss, "g_loss": g_loss, "l1": l1}
        return {name: value.detach() for name, value in told.items()}

    return step


# --- all together --------------------------------------------------------------


def build(implementation, w, data):
    """run(steps) -> the last losses by name, and the facts about it, a dict."""
    torch.manual_seed(0)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    networks = NETWORKS[w.networks](w)
    for network in networks:
        initialise(network, w)
        network.to(device, memory_format=torch.channels_last)
    trained = [list(network.parameters()) for network in networks]
    owned = trained if w.game == "gan" else [sum(trained, [])]
    betas = w.beta1, 0.999
    fused = True if implementation != "torch_plain" else None
    optimizers = [
        torch.optim.Adam(p, lr=w.learning_rate, betas=betas, fused=fused) for p in owned
    ]
    make = gan_step if w.game == "gan" else autoencoder_step
    make = pix2pix_step if w.networks == "unet" else make
    more = {"frozen": bool(fused)} if w.game == "gan" else {}
    compiled = implementation == "torch_compile"
    step = make(networks, optimizers, w, compiled, **more)
    batches = [[to(device, a) for a in batch] for batch in cut(data, w)]
    facts = {
        "parameters": sum(p.numel() for ps in trained for p in ps),
        "device": "gpu" if gpu else "cpu",
        "device_name": torch.cuda.get_device_name() if gpu else "cpu",
        "versions": {"torch": torch.__version__},
    }
    return loop(step, batches), facts


def to(device, array):
    """A batch as torch likes it: pictures (B, C, H, W) in channels_last."""
    tensor = torch.from_numpy(array.copy()).to(device)
    if array.ndim == 4:
        tensor = tensor.permute(0, 3, 1, 2).contiguous(
            memory_format=torch.channels_last
        )
    return tensor
