"""moe.py: rows of layers with experts, for descriptions in arch/."""

import torch

from form import GATED_FFN, PLAIN, SAME, Of, Stacked, matrix, uniform

# Logits of the router far apart, so that the choice does not hang on rounding.
ROUTER = matrix(3.0)
SIGMOID_ROUTER = matrix(1.0)


def expert_rows(c, router="mlp.gate.weight", experts="mlp.experts", router_fill=ROUTER):
    """The router, and experts as [experts, 2 * width, embedding] of the reference: gate first."""
    return [("ffn_gate_inp.weight", router, router_fill, SAME),
            (["ffn_gate_exps.weight", "ffn_up_exps.weight"], experts + ".gate_up_proj", PLAIN, Stacked(2)),
            ("ffn_down_exps.weight", experts + ".down_proj", PLAIN, SAME)]


# Added to the sigmoids for the choice, not for the weights.
CHOICE_BIAS = uniform(0.3)


def shared_rows(of):
    """An expert that all tokens go through."""
    return [(name.replace(".", "_shexp."), of + theirs.removeprefix("mlp"), fill, form)
            for name, theirs, fill, form in GATED_FFN]


def interleaved(transpose):
    """Gate in even columns, up in odd ones; weights are [experts, embedding, 2 * width] then."""
    def shapes(shape):
        return [(shape[0], shape[2] // 2, shape[1]) if transpose else (shape[0], shape[1] // 2)] * 2

    def join(gate, up):
        both = torch.stack([gate, up], 2).flatten(1, 2)
        return both.transpose(1, 2) if transpose else both
    return Of(join, shapes)


TRANSPOSED = Of(lambda t: t.transpose(1, 2), lambda shape: [(shape[0], shape[2], shape[1])])
