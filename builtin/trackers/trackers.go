// Package trackers holds the shipped trackers: where --track tells the figures of a
// run.
//
// To add one, write a struct with Check and Start (track.Tracker) in a file of its
// own, and name it in Table.
package trackers

import (
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/track"
)

// Table lists the shipped trackers.
func Table() registry.Table[track.Tracker] {
	return registry.NewTable("tracker",
		registry.Entry[track.Tracker]{Name: "tensorboard", Default: TensorBoard{},
			Doc: "event files for TensorBoard, in the run's folder or below the one that follows the colon\n\nWithout a folder they are in RUN/tensorboard, or DETECTOR.tensorboard of train: tensorboard --logdir runs shows all runs. With one they are in a folder of the run's name below it. The resolved spec is there as a text and for the tab HParams. A resumed run goes on in the same folder, and what was told of an epoch that is trained again is replaced."},
		registry.Entry[track.Tracker]{Name: "mlflow", Default: MLflow{},
			Doc: "MLflow: a tracking server (mlflow:http://HOST:5000), or its file store (mlflow:file:///DIR, mlflow:DIR)\n\nWithout a target it is MLFLOW_TRACKING_URI. The experiment has the spec's name; the resolved spec becomes params; the report and the spec are artifacts, where the server takes them by its own address or the store is a folder. A server that wants a password has it in the URL or in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or a token in MLFLOW_TRACKING_TOKEN. MLflow 3.17 and later open a file store with MLFLOW_ALLOW_FILE_STORE=true alone, or take it over with mlflow migrate-filestore."},
	)
}
