"""Five steps of torch.optim on small arrays: parameters and optimiser memory after each. make_steps.py OUT.json"""
import json, sys
import torch

STEPS, N = 5, 6
RULES = {
    "sgd": lambda p: torch.optim.SGD([p], 0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW([p], 0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
}
out = {"torch": torch.__version__}
for name, make in RULES.items():
    g = torch.Generator().manual_seed(5)
    p = torch.randn(N, generator=g, dtype=torch.float64).requires_grad_(True)
    grads = [torch.randn(N, generator=g, dtype=torch.float64) * 10.0 ** (s - 2) for s in range(STEPS)]
    start, opt, steps = p.tolist(), make(p), []
    for grad in grads:
        p.grad = grad.clone()
        opt.step()
        state = opt.state[p]
        memory = [state[k].tolist() for k in (("momentum_buffer",) if name == "sgd" else ("exp_avg", "exp_avg_sq"))]
        steps.append({"grad": grad.tolist(), "param": p.tolist(), "state": memory})
    out[name] = {"start": start, "steps": steps}
json.dump(out, open(sys.argv[1], "w"), indent=0)
