package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/cli/scaffold"
)

func (a *app) newPluginCommand() *cobra.Command {
	var lang, dir string
	c := &cobra.Command{
		Use:   "plugin NAME",
		Short: "Write a folder with a classifier plugin that passes plugin check",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				dir = args[0]
			}
			if err := scaffold.Write(dir, args[0], lang); err != nil {
				return UsageError{err}
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"out": dir, "lang": lang})
			}
			fmt.Fprintf(a.stderr, "wrote %s; for the next steps see %s\n", dir, filepath.Join(dir, "README.md"))
			return nil
		},
	}
	c.Flags().StringVar(&lang, "lang", "go", "language of the plugin: "+strings.Join(scaffold.Languages(), " or "))
	c.Flags().StringVar(&dir, "out", "", "folder to write (default: NAME)")
	return c
}
