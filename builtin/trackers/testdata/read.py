"""Prints what TensorBoard or MLflow read of a run, as JSON.

    read.py tensorboard FOLDER
    read.py mlflow URI EXPERIMENT
"""

import json
import sys


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    params, group, status = {}, "", None
    for tag, content in events.PluginTagToContent("hparams").items():
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        if tag == "_hparams_/session_start_info":
            group = data.session_start_info.group_name
            for name, value in data.session_start_info.hparams.items():
                params[name] = getattr(value, value.WhichOneof("kind"))
        else:
            status = data.session_end_info.status
    text = events.Tensors("spec/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "spec/text_summary" in events.PluginTagToContent("text")
    return {"scalars": scalars, "params": params, "group": group, "status": status, "text": text}


def mlflow(uri, experiment):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id])
    assert len(runs) == 1, [r.info.run_name for r in runs]
    run = runs[0]
    metrics = {
        key: [[m.step, m.value] for m in sorted(client.get_metric_history(run.info.run_id, key), key=lambda m: m.step)]
        for key in run.data.metrics
    }
    return {
        "scalars": metrics,
        "params": run.data.params,
        "group": run.info.run_name,
        "status": run.info.status,
        "tags": {k: v for k, v in run.data.tags.items() if k != "mlflow.user"},
        "artifacts": [a.path for a in client.list_artifacts(run.info.run_id)],
    }


json.dump({"tensorboard": tensorboard, "mlflow": mlflow}[sys.argv[1]](*sys.argv[2:]), sys.stdout)
