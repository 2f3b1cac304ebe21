"""End-to-end memory network (Sukhbaatar et al. 2015): reads a story several times, each time with what it has found so far."""

import torch
from torch import Tensor, nn


class MemoryNetwork(nn.Module):
    """End-to-end memory network: a question and the statements of its story, as numbers of words, to features; the learner adds the head.

    Paper: Sukhbaatar et al. 2015, End-to-end memory networks, https://arxiv.org/abs/1503.08895, with position encoding, temporal encoding,
    adjacent weight tying, linear start and random noise. With word j = 1..J of a sentence and entry k = 1..d, l_kj = 2 (1 - j/J) -
    2 (k/d)(1 - 2j/J):

    - u_1 = sum_j l_j * A_1[q_j]; m_i = sum_j l_j * A_h[x_ij] + T_h[age_i]; c_i = sum_j l_j * A_h+1[x_ij] + T_h+1[age_i]
    - p = softmax_i(u_h . m_i); u_h+1 = u_h + sum_i p_i c_i, for h = 1..hops; the features are u_hops+1.

    Departs from the paper: l is twice the paper's, of mean 1. The output layer is not tied to the last table, because the head is the
    learner's and has rows for classes, not for words.

    Inputs are integers (N, 1 + statements, width), 0 is no word. x[:, 0] is the question, x[:, 1] the latest statement, x[:, 2] the one
    before, ...; the words of each stand at its beginning.

    Args:
        words: how many words there are; they have the numbers from 1 to `words`.
        hops: how often the story is read, >= 1.
        dimension: of the features, d, >= 1.
        sentences: the most statements that a story has here: the number of memories, and of ages with an entry of their own.
        empty_memories: memories for which a story has no statement are vectors of zeros, and take their share of the softmax: attention
            can rest on nothing. False: attention is on statements only.
        linear_start: for so many batches of training, from the first on, and for predictions in that time, attention is without softmax:
            p_i = u_h . m_i.
        noise: how likely an empty memory comes before each statement in training, so that ages shift; drawn from torch's global generator.
            From 0 to below 1; 0 draws nothing.
        seed: of the initial weights, drawn from N(0, 0.1^2).

    Attributes:
        meanings: A, (words, hops + 1, dimension): the meaning of every word for each reading. ages: T, (sentences, hops + 1, dimension).
        batches: how many batches of training there were, no further than `linear_start`.

    Raises:
        ValueError: a number that is none of these, or a story with more statements than `sentences`.

    >>> x = torch.tensor([[[3, 4], [1, 2], [5, 0]], [[3, 2], [5, 1], [0, 0]]])  # two questions, of two statements and of one
    >>> MemoryNetwork(5, dimension=8)(x).shape
    torch.Size([2, 8])
    """

    batches: Tensor

    def __init__(
        self,
        words: int,
        *,
        hops: int = 3,
        dimension: int = 20,
        sentences: int = 50,
        empty_memories: bool = True,
        linear_start: int = 0,
        noise: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("words", words), ("hops", hops), ("dimension", dimension), ("sentences", sentences)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected an integer >= 1")
        if not isinstance(linear_start, int) or linear_start < 0:
            raise ValueError(f"linear_start is {linear_start!r}; expected a number of batches >= 0, where 0 is softmax from the first on")
        if not 0 <= noise < 1:
            raise ValueError(f"noise is {noise!r}; expected a probability from 0 to below 1")
        self.words, self.hops, self.dimension, self.sentences = words, hops, dimension, sentences
        self.empty_memories, self.linear_start, self.noise, self.seed = empty_memories, linear_start, noise, seed
        generator = torch.Generator().manual_seed(seed)
        self.meanings = nn.Parameter(0.1 * torch.randn(words, hops + 1, dimension, generator=generator))
        self.ages = nn.Parameter(0.1 * torch.randn(sentences, hops + 1, dimension, generator=generator))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > 1 + self.sentences:
            raise ValueError(
                f"stories of {x.shape[1] - 1} statements, and the network was made for {self.sentences}; "
                f"cut them to the latest, or make it with sentences={x.shape[1] - 1}"
            )
        # All statements of all stories in one list: stories differ in length, and what a story does not have costs nothing.
        there = x[:, 1:, 0] != 0
        story, place = there.nonzero(as_tuple=True)
        encoded = self._encoded(torch.cat([x[:, 0], x[:, 1:][story, place]]).long())
        u, memory = encoded[: len(x), 0], encoded[len(x) :] + self.ages.index_select(0, self._age(there, story, place))
        linear = self._linear()
        for hop in range(self.hops):
            match = (memory[:, hop] * u.index_select(0, story)).sum(1)
            attention = self._softmax(match, len(x), story, place)
            if linear is not None:
                attention = torch.where(linear, match, attention)
            u = u.index_add(0, story, attention[:, None] * memory[:, hop + 1])
        return u

    def _encoded(self, sentences: Tensor) -> Tensor:
        """Sentences (R, width) as sum_j l_j * A[x_j], (R, hops + 1, dimension).

        l_kj is a_j + (k/d) b_j with a_j = 2 - 2j/J and b_j = 4j/J - 2, so the sum over words is a product of matrices: for each sentence
        the sums of a_j and b_j for each word, without gradient, times A and (k/d) A: one product for all readings, in place of looking up
        and weighting every word's rows for each.
        """
        word = sentences != 0
        share = torch.arange(1, sentences.shape[1] + 1).to(self.meanings) / word.sum(1, keepdim=True)
        weights = torch.stack([2 - 2 * share, 4 * share - 2], 1).masked_fill(~word[:, None], 0)
        rows = (sentences - 1).clamp_min(0)[:, None].expand(-1, 2, -1)
        counts = weights.new_zeros(len(sentences), 2, self.words).scatter_add_(2, rows, weights)
        entry = torch.arange(1, self.dimension + 1).to(self.meanings) / self.dimension
        tables = torch.cat([self.meanings, self.meanings * entry])
        return (counts.flatten(1) @ tables.flatten(1)).view(-1, self.hops + 1, self.dimension)

    def _age(self, there: Tensor, story: Tensor, place: Tensor) -> Tensor:
        """The statements' ages, int64 (M,), in training with empty memories between them."""
        if not (self.training and self.noise):
            return place
        empty = (torch.rand(there.shape, device=there.device) < self.noise).cumsum(1)
        return (place + empty[story, place]).clamp_max(self.sentences - 1)

    def _linear(self) -> Tensor | None:
        """Whether attention is without softmax in this batch, bool (); None: never. In training it counts the batch."""
        if not self.linear_start:
            return None
        linear = self.batches < self.linear_start
        if self.training:
            self.batches += linear
        return linear

    def _softmax(self, match: Tensor, stories: int, story: Tensor, place: Tensor) -> Tensor:
        """softmax (M,) over each story's own memories, from matches (M,) of the statements with these stories and places."""
        rest = 0.0 if self.empty_memories else torch.finfo(match.dtype).min  # -inf would make NaN of a story without statements
        return match.new_full((stories, self.sentences), rest).index_put((story, place), match).softmax(1)[story, place]
