package cli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/kernel"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, platform and the arithmetic's instruction set",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			e, err := kernel.New(kernel.Options{Threads: a.threads})
			if err != nil {
				return UsageError{err}
			}
			defer e.Close()
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
				Level   string `json:"level"`
				Threads int    `json:"threads"`
			}{host.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, e.Level().String(), e.Threads()}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(v)
			}
			fmt.Fprintf(a.stdout, "vaeguard %s %s %s/%s %s %d threads\n", v.Version, v.Go, v.OS, v.Arch, v.Level, v.Threads)
			return nil
		},
	}
}
