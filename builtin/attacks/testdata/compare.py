"""Writes foolbox.json: what Foolbox 3.3.4 does on the network of TestFoolbox.

    go test ./builtin/attacks -run TestFoolbox -dump /tmp/net.json
    python3 builtin/attacks/testdata/compare.py /tmp/net.json > builtin/attacks/testdata/foolbox.json
"""
import json
import sys

import foolbox as fb
import torch

net = {k: torch.tensor(v) for k, v in json.load(open(sys.argv[1])).items()}
x = net["x"].reshape(-1, net["w1"].shape[1])


class MLP(torch.nn.Module):
    def forward(self, x):
        return torch.tanh(x @ net["w1"].T + net["b1"]) @ net["w2"].T + net["b2"]


torch.manual_seed(0)
model = fb.PyTorchModel(MLP().eval(), bounds=(0, 1), device="cpu")
y = model(x).argmax(1)
A = fb.attacks
cw = dict(binary_search_steps=9, steps=300, stepsize=0.01, initial_const=0.01)
attacks = {
    "fgsm linf 0.05": (A.LinfFastGradientAttack(), 0.05, "linf"),
    "fgsm l2 0.2": (A.L2FastGradientAttack(), 0.2, "l2"),
    "bim linf 0.05": (A.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10), 0.05, "linf"),
    "pgd linf 0.05": (A.LinfPGD(), 0.05, "linf"),
    "pgd l2 0.2": (A.L2PGD(), 0.2, "l2"),
    "deepfool l2": (A.L2DeepFoolAttack(loss="logits"), None, "l2"),
    "deepfool linf": (A.LinfDeepFoolAttack(loss="logits"), None, "linf"),
    "cw l2": (A.L2CarliniWagnerAttack(**cw), None, "l2"),
    "cw l2 confidence 2": (A.L2CarliniWagnerAttack(confidence=2, **cw), None, "l2"),
}
out = {}
for name, (attack, eps, norm) in attacks.items():
    n = 80 if name.startswith("cw") else len(x)
    _, adv, ok = attack(model, x[:n], y[:n], epsilons=eps)
    d = (adv - x[:n]).double()
    size = d.abs().amax(1) if norm == "linf" else d.norm(dim=1)
    # torch's median is the lower one of an even number
    s = size[ok].sort()[0]
    out[name] = {"success": ok.double().mean().item(), "median": ((s[(len(s) - 1) // 2] + s[len(s) // 2]) / 2).item()}
json.dump(out, sys.stdout, indent=1)
print()
