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
	c.Flags().StringSliceVar(&f.allow, "allow-command", nil, "digest, sha256:…, of a command that the detector may start besides shipped plugins, or of what else it asks for: servers, variables, files")
	c.Flags().StringVar(&f.lock, "lock", "", "file of 'vaeguard plugin lock' with plugins that the detector may start")
}

// options are those of host.Open.
func (f *openFlags) options(a *app) host.OpenOptions {
	return host.OpenOptions{Options: a.options(), Base: f.base, Classifier: f.classifier, AllowCommand: f.allow, AllowLock: f.lock}
}
