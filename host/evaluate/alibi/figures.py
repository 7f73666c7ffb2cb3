"""Figures of one detector, by the definitions of vaeguard's report.json."""
import numpy as np

RATES = {"0.001": 0.001, "0.01": 0.01, "0.05": 0.05}


def judge(negative, positive):
    """AUC (ties count half) and, for each rate, the largest share of positives
    above a threshold that at most that share of negatives exceeds."""
    if len(negative) == 0 or len(positive) == 0:
        return {"auc": None, "tpr_at_fpr": {k: None for k in RATES}}
    negative, positive = np.sort(negative), np.sort(positive)
    below = np.searchsorted(negative, positive, "left")
    equal = np.searchsorted(negative, positive, "right") - below
    auc = float((below + 0.5 * equal).sum() / (len(negative) * len(positive)))
    tpr = {}
    # A threshold at t flags scores ≥ t: candidates are the distinct scores.
    t = np.unique(np.concatenate([negative, positive]))
    fp = len(negative) - np.searchsorted(negative, t, "left")
    tp = len(positive) - np.searchsorted(positive, t, "left")
    for key, rate in RATES.items():
        legal = fp <= rate * len(negative) + 1e-9
        tpr[key] = float(tp[legal].max() / len(positive)) if legal.any() else 0.0
    return {"auc": auc, "tpr_at_fpr": tpr}


def report(name, method, threshold, calibration, seconds, y, clean, attacks):
    """(report.json, scores.json) as vaeguard's runs compare reads them.

    clean and the values of attacks are dicts of arrays: digest, score,
    flagged, predicted, reconstructed, corrected; attacks also y, before (the
    classifier on the clean row), success and rows (the clean row that each was
    made from; None: not known).
    """
    accuracy = float((clean["predicted"] == y).mean())
    out = {
        "name": name,
        "classifier": {"name": "", "digest": "", "classes": int(y.max()) + 1, "accuracy": accuracy},
        "detector": {"method": method, "digest": "", "threshold": threshold, "promised_fpr": None, "n_calibration": calibration,
                     "ms_per_instance": clean["ms"]},
        "clean": {"n": len(y), "fpr": float(clean["flagged"].mean()), "accuracy": accuracy,
                  "accuracy_reconstructed": float((clean["reconstructed"] == y).mean()),
                  "accuracy_corrected": float((clean["corrected"] == y).mean()), "ci95": {}},
        "attacks": [], "adaptive": [], "adaptive_union": None, "corruptions": [], "worst_case": None, "curves": [], "warnings": [],
        "seconds": seconds,
    }
    scores = {"clean": {"digest": clean["digest"], "score": clean["score"].tolist(), "flagged": clean["flagged"].tolist()}, "attacks": []}
    for key, a in attacks.items():
        won, right = a["success"], a["before"] == a["y"]
        group = {"detected": float(a["flagged"][won].mean()) if won.any() else None, **judge(clean["score"], a["score"][won])}
        everything = {"detected": float(a["flagged"].mean()), **judge(clean["score"], a["score"])}
        out["attacks"].append({
            "id": key, "name": key, "n": len(won), "n_success": int(won.sum()),
            "success_rate": float(won.sum() / right.sum()) if right.any() else None,
            "accuracy": float((a["predicted"] == a["y"]).mean()),
            "accuracy_reconstructed": float((a["reconstructed"] == a["y"]).mean()),
            "accuracy_corrected": float((a["corrected"] == a["y"]).mean()),
            **group, "all": everything, "ci95": {}})
        scores["attacks"].append({"id": key, "digest": a["digest"], "score": a["score"].tolist(), "flagged": a["flagged"].tolist(),
                                  **({} if a["rows"] is None else {"rows": a["rows"].tolist()}),
                                  "success": won.tolist(), "corrected": (a["corrected"] == a["y"]).tolist()})
    return out, scores


def table(reports):
    """A Markdown table: a line for each attack and detector."""
    lines = ["| attack | successful of attacked | detector | AUC | TPR at 1 % | TPR at 5 % | accuracy attacked | reconstructed | corrected |", "|---|---|---|---|---|---|---|---|---|"]
    clean = ["| detector | threshold | clean rows flagged | accuracy clean | reconstructed | corrected |", "|---|---|---|---|---|---|"]
    text = lambda v, digits=4: "–" if v is None else f"{v:.{digits}f}"
    for r in reports:
        c = r["clean"]
        clean.append(f"| {r['name']} | {text(r['detector']['threshold'], 5)} | {text(c['fpr'])} | {text(c['accuracy'])} | "
                     f"{text(c['accuracy_reconstructed'])} | {text(c['accuracy_corrected'])} |")
    for i, a in enumerate(reports[0]["attacks"]):
        for r in reports:
            b = r["attacks"][i]
            lines.append(f"| {b['id']} | {b['n_success']} of {b['n']} | {r['name']} | {text(b['auc'])} | {text(b['tpr_at_fpr']['0.01'])} | "
                         f"{text(b['tpr_at_fpr']['0.05'])} | {text(b['accuracy'])} | {text(b['accuracy_reconstructed'])} | {text(b['accuracy_corrected'])} |")
    return "\n".join(clean + [""] + lines) + "\n"
