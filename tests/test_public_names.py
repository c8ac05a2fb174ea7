"""Names, and names and order of parameters, that programs of others rely on."""

from __future__ import annotations

import inspect
from operator import attrgetter

import pytest

import tinygradrnn as tg

NAMES = {
    "": "Backend BackendUnavailableError GradientCheckError Graph MixedBackendError "
    "StaleGraphError Tensor UnknownBackendError available_backends debug get_backend "
    "manual_seed no_grad scope timestep use_backend backend_scope",
    "Backend": "asarray memory_info scatter_add synchronize to_numpy available",
    "Tensor": "T astype backward data detach dtype grad item mT max mean min name ndim numpy "
    "requires_grad reshape shape sum to transpose",
    "Graph": "backward_events contributions forward_events parameters timesteps uses",
    "Node": "inputs label op scope shape timestep",
    "Drawing": "digraph dot save svg",
    "StepThrough": "__iter__ save",
    "nn": "Elman GRU LSTM LSTMState Last MLP Module Parameter PerStep detach interop",
    "nn.Cell": "initial_state output transition",
    "nn.Module": "astype eval freeze load_state_dict named_parameters parameters state_dict "
    "summary to train unfreeze",
    "nn.interop": "from_keras_weights from_torch to_torch_state_dict",
    "functional": "abs clip concatenate cross_entropy dropout embedding exp half_squared_error "
    "hard_gate leaky_relu log log_softmax logsumexp maximum minimum mse_loss nll_loss one_hot pad "
    "relu sigmoid soft_gate softmax sqrt stack tanh where binary_cross_entropy_with_logits",
    "optim": "Adagrad Adam AdamW RMSprop SGD clip_grad_norm clip_grad_value",
    "optim.SGD": "state_dict step zero_grad",
    "analysis": "contribution_table gradient_bound gradient_flow jacobian_products loss_surface "
    "state_jacobians",
}
PARAMETERS = {
    "tensor": "data requires_grad name dtype",
    "grad": "output inputs grad_output create_graph",
    "jacobian": "output input",
    "hessian_vector_product": "output inputs vectors",
    "check_gradients": "f inputs order",
    "draw": "target level rolled values gradients backward steps theme",
    "step_through": "loss level",
    "compile": "train_step",
    "recompute": "f inputs",
    "save": "path model optimizer extra",
    "load": "path model optimizer",
    "nn.Linear": "in_features out_features bias",
    "nn.Embedding": "num_embeddings embedding_dim padding_idx",
    "nn.Embedding.from_pretrained": "array freeze",
    "nn.Dropout": "p",
    "nn.RNN": "cell reverse learn_initial",
    "nn.Stacked": "layers dropout skip",
    "nn.Bidirectional": "forward backward merge",
    "nn.ElmanCell": "input_size hidden_size activation init bias",
    "nn.JordanCell": "input_size hidden_size output_size",
    "nn.LSTMCell": "input_size hidden_size peephole coupled forget_bias bias activation",
    "nn.GRUCell": "input_size hidden_size reset update bias",
    "nn.DeepElmanCell": "input_size hidden_size input_layers transition_layers output_layers",
    "nn.ClockworkCell": "input_size hidden_size periods",
    "nn.SCRNCell": "input_size hidden_size context_size alpha",
    "nn.IRNNCell": "input_size hidden_size",
    "nn.RNN.forward": "self x state lengths",
    "functional.cross_entropy": "logits targets mask reduction",
    "functional.ctc_loss": "log_probs targets input_lengths target_lengths blank reduction",
    "functional.ctc_greedy_decode": "log_probs input_lengths blank",
    "functional.ctc_beam_search": "log_probs input_lengths beam_width blank",
    "optim.SGD": "params lr momentum nesterov weight_decay",
    "optim.clip_grad_norm": "params max_norm p error_if_nonfinite",
    "optim.clip_grad_value": "params min max",
}


@pytest.mark.parametrize("owner", NAMES)
def test_names(owner):
    found = attrgetter(owner)(tg) if owner else tg
    assert [name for name in NAMES[owner].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("function", PARAMETERS)
def test_parameters(function):
    expected = PARAMETERS[function].split()
    assert list(inspect.signature(attrgetter(function)(tg)).parameters)[: len(expected)] == expected
