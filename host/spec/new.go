package spec

import (
	"fmt"
	"strings"
)

// New is a spec to begin with, as commented YAML: kind is image (a CNN on
// 28×28 images) or tabular (an MLP on a table of numbers).
func New(kind, name string) ([]byte, error) {
	text, ok := map[string]string{"image": newImage, "tabular": newTabular}[kind]
	if !ok {
		return nil, fmt.Errorf("%s", unknown("kind of spec", kind, []string{"image", "tabular"}))
	}
	if !bare.MatchString(name) {
		return nil, fmt.Errorf("name %q: want letters, digits, - and _", name)
	}
	return []byte(strings.ReplaceAll(text, "NAME", name)), nil
}

const newImage = `api_version: vaeguard/v1
kind: Experiment
name: NAME
seed: 42

data: # rows by role; no row serves two
  train:       {dataset: fashion-mnist-3k, split: train, range: [0, 2000]}
  calibration: {dataset: fashion-mnist-3k, split: train, range: [2000, 2400]}
  test:        {dataset: fashion-mnist-3k, split: test}
  # or your own: {file: x.npz, x: images, labels: y}, {folder: images/}, {file: t.csv, label: column}

classifier: # the model to guard
  plugin: cnn # or path: ./my-plugin, or command: [python3, model.py]
  config:
    range: [0, 1]
    layers:
      - conv2d: {filters: 8, kernel_size: 3, padding: same, activation: relu}
      - max_pooling2d
      - flatten
      - dense: {units: 64, activation: relu}
  train: {epochs: 10, batch_size: 64} # drop it, and name weights in config, for a model that is trained already

vae: # the decoder must end in the classifier's input shape
  latent_dim: 32
  encoder:
    - conv2d: {filters: 16, kernel_size: 4, strides: 2, padding: same, activation: relu}
    - conv2d: {filters: 32, kernel_size: 4, strides: 2, padding: same, activation: relu}
  decoder:
    - dense: {units: 784, activation: relu}
    - reshape: {target_shape: [7, 7, 16]}
    - conv2d_transpose: {filters: 16, kernel_size: 3, strides: 2, padding: same, activation: relu}
    - conv2d_transpose: {filters: 1, kernel_size: 3, strides: 2, padding: same, activation: sigmoid}

detector: {method: vae, samples: 10, score: kl, data_type: image}

train:
  loss: {adversarial: {w_model: 1, w_recon: 0}}
  optimizer: {adam: {learning_rate: 0.001}}
  epochs: 10
  batch_size: 64

threshold: {fpr: 0.05} # at most 5 % of clean rows are flagged, in expectation

attacks: # what run and evaluate judge the guard with
  - fgsm: {norm: linf, eps: 0.1}
  - pgd: {norm: linf, eps: 0.1}
`

const newTabular = `api_version: vaeguard/v1
kind: Experiment
name: NAME
seed: 42

data: # a set without official splits is parted 60/10/15/15, stratified
  train:       {dataset: breast_cancer, split: train, scale: standard}
  validation:  {dataset: breast_cancer, split: validation, scale: standard}
  calibration: {dataset: breast_cancer, split: calibration, scale: standard}
  test:        {dataset: breast_cancer, split: test, scale: standard}
  # or your own: {file: t.csv, label: column, split: train, scale: standard}

classifier: # the model to guard
  plugin: mlp # or path: ./my-plugin, or command: [python3, model.py]
  config: {hidden: [32]}
  train: {epochs: 40, batch_size: 32}

vae: # the decoder must end in as many units as there are features
  latent_dim: 8
  encoder:
    - dense: {units: 32, activation: relu}
  decoder:
    - dense: {units: 32, activation: relu}
    - dense: {units: 30}

detector: {method: vae, samples: 10, score: kl, data_type: tabular}

train:
  loss: {adversarial: {w_model: 1, w_recon: 0}}
  optimizer: {adam: {learning_rate: 0.001}}
  epochs: 40
  batch_size: 32
  early_stopping: {monitor: val_loss, patience: 5}

threshold: {fpr: 0.05} # at most 5 % of clean rows are flagged, in expectation

attacks: # what run and evaluate judge the guard with; eps in standard deviations here
  - fgsm: {norm: linf, eps: 0.5}
  - pgd: {norm: linf, eps: 0.5}
`
