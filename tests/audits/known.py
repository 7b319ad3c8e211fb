"""Recurrences whose memory is known, and slow ways to find it out."""

import torch
from torch import nn

from unrecur.cells import Elman
from unrecur.interop.read import read_recurrences


def elman(hidden, inputs, activation="relu"):
    """An Elman cell of given weights, without biases."""
    hidden, inputs = (torch.as_tensor(w, dtype=torch.float32) for w in (hidden, inputs))
    cell = Elman(inputs.shape[1], len(hidden), activation, bias=False)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(hidden)
        cell.weight_ih_l0.copy_(inputs)
    return cell.eval()


def leaky(*rates):
    """Leaky integrators h' = a h + x of inputs above 0."""
    return elman(torch.diag(torch.tensor(rates)), torch.ones(len(rates), 1))


def delay_line(steps):
    """A shift register: unit i shows the input of i steps ago."""
    hidden, inputs = torch.zeros(steps, steps), torch.zeros(steps, 1)
    hidden[torch.arange(1, steps), torch.arange(steps - 1)] = 1.0
    inputs[0] = 1.0
    return elman(hidden, inputs)


def latch():
    """A unit that holds the sign of the last large input, beside one that forgets."""
    return elman([[4.0, 0.0], [0.0, 0.3]], [[6.0, 0.0], [0.0, 1.0]], "tanh")


def counter():
    """An LSTM whose first unit adds up its inputs and never forgets."""
    lstm = nn.LSTM(1, 2, batch_first=True)
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        lstm.weight_ih_l0[4:6] = 1.0  # both candidates follow the input
        lstm.bias_ih_l0[:2] = 3.0
        lstm.bias_ih_l0[2:4] = torch.tensor([16.0, -1.0])
        lstm.bias_ih_l0[6:] = 1.0
    return lstm.eval()


@torch.no_grad()
def states_by_hand(recurrence, x):
    """All states of a sequence [T, D] by the loop, one cell beside another, and the outputs."""
    states = []
    for cells in recurrence.cells:
        shown = []
        for direction, cell in enumerate(cells):
            h, found = cell.init_state(1)[0], []
            for x_t in x.flip(0) if direction else x:
                h = cell.phi(h, x_t)
                found.append(h)
            found = torch.stack(found[::-1] if direction else found)
            states.append(found)
            shown.append(cell.readout(found))
        x = torch.cat(shown, -1)
    return torch.cat(states, -1), x


class Tagger(nn.Module):
    """Tokens in, scores for each step out."""

    def __init__(self, batch_first=True, two_sided=False):
        super().__init__()
        self.embed = nn.Embedding(20, 5)
        self.rnn = nn.LSTM(5, 8, batch_first=batch_first, bidirectional=two_sided)
        self.out = nn.Linear(16 if two_sided else 8, 4)
        self.batch_first = batch_first

    def forward(self, tokens):
        x = self.embed(tokens)
        if self.batch_first:
            return self.out(self.rnn(x)[0])
        return self.out(self.rnn(x.transpose(0, 1))[0]).transpose(0, 1)


class Classifier(nn.Module):
    """Scores of the last state."""

    def __init__(self, layers=1):
        super().__init__()
        self.rnn = nn.GRU(3, 8, layers, batch_first=True)
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        return {"logits": self.out(self.rnn(x)[1][-1])}


class Loop(nn.Module):
    """A cell called step by step."""

    def __init__(self, cell=nn.LSTMCell):
        super().__init__()
        self.rnn = cell(3, 8)
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        state, found = None, []
        for x_t in x.unbind(1):
            state = self.rnn(x_t, state)
            found.append(self.out(state[0] if isinstance(state, tuple) else state))
        return torch.stack(found, 1)


class Packed(nn.Module):
    """Rows of their own lengths."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 8, batch_first=True)
        self.out = nn.Linear(8, 2)

    def forward(self, x, lengths):
        rows = {"batch_first": True, "enforce_sorted": False}
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, **rows)
        return self.out(nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0])


class Blocks(nn.Module):
    """A layer called block by block, the state handed on."""

    def __init__(self, hand_on=True):
        super().__init__()
        self.rnn = nn.GRU(3, 8, 2, batch_first=True)
        self.hand_on = hand_on

    def forward(self, x):
        state, found = None, []
        for part in x.split(7, 1):
            y, state = self.rnn(part, state if self.hand_on else None)
            found.append(y)
        return torch.cat(found, 1)


def recurrence_of(module):
    """The only recurrence of a module."""
    [found] = read_recurrences(module)
    return found
