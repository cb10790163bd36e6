"""What generate_digits.py draws: any digits, those asked for, ways between them, likenesses."""

import itertools

import numpy as np
from tqdm import tqdm

import choosing
import data
import latent
import models
import scores
from formats import FRAMES, PLANE, Drawing

SEARCH_STEPS = 300


class Artist:
    """Draws with a generator what the settings ask for; each method returns a Drawing."""

    def __init__(self, settings, generator):
        self.settings, self.generator = settings, generator

    def draw(self, num):
        """Yield the first digits of the seed, uint8 (at most 1,000, 28, 28)."""
        draw = models.build_drawing(self.generator, self.settings.truncation)
        blocks = draw(num, self.settings.seed)
        while ten := [*itertools.islice(blocks, 10)]:
            yield data.to_pixels(np.concatenate(ten))

    def draw_any(self, num):
        """The first digits of the seed."""

        def blocks():
            with progress(num) as bar:
                for block in self.draw(num):
                    yield block
                    bar.update(len(block))

        return Drawing(blocks(), num)

    def choose(self, wanted):
        """The digits asked for, a choosing.Chosen; says how many were drawn for them."""
        blocks = self.draw(choosing.most_tries(len(wanted)))
        look, least = scores.Judge().look, self.settings.min_confidence
        with progress(len(wanted)) as bar:
            chosen, drawn = choosing.choose(wanted, blocks, look, least, bar.update)
        print(f"Drew {drawn:,} digits to keep {len(wanted):,}, each at least {least:g} sure")
        return chosen

    def draw_wanted(self, wanted):
        """The digits asked for, in a grid, or as the lines of --text."""
        chosen = self.choose(wanted)
        known = chosen._asdict()
        pixels = known.pop("images")
        lines = self.settings.text
        if not lines or (self.settings.output and not self.settings.output.endswith(".png")):
            return Drawing([pixels], len(pixels), known=known)
        width = max(map(len, lines))
        is_digit = np.array([sign != " " for line in lines for sign in line.ljust(width)])
        cells = np.zeros((len(is_digit), *pixels.shape[1:]), np.uint8)
        cells[is_digit] = pixels
        return Drawing([cells], len(cells), width)

    def draw_way(self, wanted, num):
        """Digits on the way through others: --walk's loop, or --grid_walk's plane."""
        indices = np.arange(num) if wanted is None else self.choose(wanted).index
        z = latent.digit_noise(self.settings.seed, indices, self.generator.input_shape[1])
        z = latent.loop(z, FRAMES) if self.settings.walk else latent.plane(z, PLANE)
        z *= np.float32(self.settings.truncation)
        blocks = map(data.to_pixels, models.draw_noise(self.generator, z))
        columns = FRAMES if self.settings.walk else PLANE
        return Drawing(blocks, len(z), columns, {"noise": z})

    def draw_near(self, target):
        """The picture beside what comes closest to it."""
        steps = latent.find_noise(self.generator, target, self.settings.seed, SEARCH_STEPS)
        with progress(SEARCH_STEPS, " steps") as bar:
            for found in steps:
                bar.set_postfix_str(f"{found[1]:.1f} grey levels", False)
                bar.update()
        z, difference = found
        print(f"Nearest: {difference:.1f} grey levels of 255 away (root mean square)")
        (drawn,) = models.draw_noise(self.generator, z)
        return Drawing([target[None], data.to_pixels(drawn)], 2, 2)


def progress(total, unit=" digits"):
    """A progress bar, where it takes long enough and someone looks."""
    return tqdm(total=total, unit=unit, disable=None if total >= 200 else True)
