// Package classifiers is the table of the classifiers that ship inside the
// binary. Each has a folder here, which is what is tested without a process,
// and a program around it in plugins/classifier-NAME.
package classifiers

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/caller"
	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/classifiers/network"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
)

// Table lists the classifiers. Those that need nothing of the program around them have
// one of their own in plugins. Their first sentences are the summaries of the
// plugins' manifests.
func Table() registry.Table[launch.Shipped] {
	type e = registry.Entry[launch.Shipped]
	return registry.NewTable("classifier",
		e{Name: mlp.Name, Default: launch.Shipped{New: func() sdk.Classifier { return mlp.New() }, Train: network.DefaultTraining(), Needs: &launch.Needs{}},
			Doc: `Dense networks that vaeguard trains.

Its layers are those of config, or dense layers of the widths hidden. A dense layer of one unit per class comes after them, without activation: the
answers are logits, gradients are exact. Hidden layers are offered under their kind and index, such as dense_0.

classifier.train trains it on data.train with cross-entropy; without that section, config.weights names a file.`},
		e{Name: cnn.Name, Default: launch.Shipped{New: func() sdk.Classifier { return cnn.New() }, Train: network.DefaultTraining(), Needs: &launch.Needs{}},
			Doc: `Convolutional networks that vaeguard trains.

It takes images. Its layers are those of config; or for each number of filters a convolution and a max-pooling, then dense layers of the widths
hidden. A dense layer of one unit per class comes after them, without activation: the answers are logits, gradients are exact. Hidden layers are
offered under their kind and index, such as conv2d_0.

classifier.train trains it on data.train with cross-entropy; without that section, config.weights names a file.`},
		e{Name: onnx.Name, Default: launch.Shipped{New: onnx.New, Beside: onnx.Beside, Needs: &launch.Needs{}},
			Doc: `Models from ONNX files, with their gradients.

The file is run as it is, by vaeguard's own kernels, without Python and without a runtime to install. Where one of its operators has no gradient,
classifier.gradient finds a stand-in. What is taken, what is refused and why is in plugins/classifier-onnx/README.md.`},
		e{Name: oip.Name, Default: launch.Shipped{New: oip.New, Needs: &launch.Needs{Network: true}},
			Doc: `Models on servers that speak the Open Inference Protocol, over REST or gRPC; no gradients.

Such servers are Triton, KServe and MLServer. The model stays where it is and answers predictions; gradients are those of classifier.gradient, a
surrogate as a rule, and classifier.surrogate.max_queries bounds what is asked for them.`},
		e{Name: caller.Name, Default: launch.Shipped{New: caller.New, Env: []string{caller.Variable}, Needs: &launch.Needs{Sockets: true}, Lent: caller.Absent},
			Doc: `The model of the program that started vaeguard, which lends it: of a notebook, for instance.

Python's package sets it, for a model that is an object there: vaeguard asks back over a private socket, and the model stays where it is, on its
GPU if it has one. A detector made so opens in that program, with the model; so does one of a Go program (host.Compose, host.OpenOptions.Model). Elsewhere it needs another form of the same model, such as an ONNX file.`},
	)
}
