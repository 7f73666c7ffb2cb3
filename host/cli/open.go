package cli

import (
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
)

// openFlags are the flags of every verb that opens a detector.
type openFlags struct {
	base       string
	classifier []string
	allow      []string
	lock       string
}

func (f *openFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.base, "base", "", "folder that relative paths of the detector's spec start from (default: as when it was made)")
	c.Flags().StringArrayVar(&f.classifier, "classifier", nil, "replace a value of the spec's section classifier: config.model=net.onnx, path=./plugin")
	c.Flags().StringSliceVar(&f.allow, "allow-command", nil, "digest of a command, sha256:…, that the detector may start besides shipped plugins")
	c.Flags().StringVar(&f.lock, "lock", "", "file of 'vaeguard plugin lock' with plugins that the detector may start")
}

// options are those of host.Open.
func (f *openFlags) options(a *app) host.OpenOptions {
	return host.OpenOptions{Options: a.options(), Base: f.base, Classifier: f.classifier, AllowCommand: f.allow, AllowLock: f.lock}
}

// line is how the flags stand on a command line, with a space before.
func (f *openFlags) line() string {
	text := ""
	if f.base != "" {
		text += " --base " + quote(f.base)
	}
	for _, one := range f.classifier {
		text += " --classifier " + quote(one)
	}
	for _, one := range f.allow {
		text += " --allow-command " + quote(one)
	}
	if f.lock != "" {
		text += " --lock " + quote(f.lock)
	}
	return text
}
