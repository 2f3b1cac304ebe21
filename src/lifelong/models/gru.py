"""A recurrent network with gates: the baseline for what is read word by word."""

import torch
from torch import Tensor, nn


class GRU(nn.Module):
    """A GRU that reads a story word by word, and then the question, as numbers of words, to features; the learner adds the head.

    Paper: Cho et al. 2014, https://arxiv.org/abs/1406.1078, in the form of torch's `nn.GRU`. The features are its last state.

    Inputs are integers (N, 1 + statements, width), 0 is no word and is skipped. x[:, 0] is the question, x[:, 1] the latest statement,
    x[:, 2] the one before, ...; it reads from the oldest statement to the latest.

    Args:
        words: how many words there are; they have the numbers from 1 to `words`.
        dimension: of the words' vectors, >= 1.
        hidden: width of the state and of the features, >= 1.
        seed: of the initial weights, drawn as torch does: words' vectors from N(0, 1), the rest uniform in +-1/sqrt(hidden).

    Raises:
        ValueError: one of these numbers is less than 1.

    >>> x = torch.tensor([[[3, 4], [1, 2], [5, 0]], [[3, 2], [5, 1], [0, 0]]])  # two questions, of two statements and of one
    >>> GRU(5, hidden=8)(x).shape
    torch.Size([2, 8])
    """

    def __init__(self, words: int, *, dimension: int = 32, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        for name, value in (("words", words), ("dimension", dimension), ("hidden", hidden)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected an integer >= 1")
        self.words, self.dimension, self.hidden, self.seed = words, dimension, hidden, seed
        with torch.random.fork_rng(devices=[]):  # torch's layers draw as they are made
            self.meanings = nn.Embedding(words + 1, dimension, padding_idx=0)
            self.reader = nn.GRU(dimension, hidden)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.meanings.weight[1:].normal_(generator=generator)
            for weight in self.reader.parameters():
                weight.uniform_(-(hidden**-0.5), hidden**-0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        text = torch.cat([x[:, 1:].flip(1), x[:, :1]], 1).flatten(1).long()
        word = text != 0
        last = word.sum(1).clamp_min(1) - 1  # of nothing at all it reads one "no word", whose vector is 0
        order = word.logical_not().argsort(dim=1, stable=True)[:, : int(last.max()) + 1]
        # What comes after a text's last word is read in vain; packed sequences would leave it out, at the price of a batch for every word.
        states: Tensor = self.reader(self.meanings(text.gather(1, order).T))[0]
        return states[last, torch.arange(len(x), device=x.device)]
