package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

func (a *app) packCommand() *cobra.Command {
	var open openFlags
	var out string
	c := &cobra.Command{
		Use:   "pack DETECTOR --out X.vg",
		Short: "Write a detector with all that its classifier is made of, to be moved",
		Long: "pack writes a detector, or a run's, with its classifier's model files or plugin folder into one file, a plain\n" +
			"tar, or a folder (--out X/). Wherever a DETECTOR is asked for it may be named, on another machine, by another user.\n" +
			"Names are sorted and times zero: the same detector gives the same bytes. What the other machine must have\n" +
			"nevertheless, such as an interpreter or a server, is printed. Data are not packed.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if is, _ := pack.Named(out); !is {
				return usagef("pack needs --out X%s, or --out X/ for a folder", pack.Extension)
			}
			p, err := host.Pack(cmd.Context(), args[0], out, a.c, open.options(a))
			if err != nil {
				return err
			}
			a.progress().Wait()
			return a.printPacked(p, out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write, X.vg, or a folder, X/")
	open.add(c)
	return c
}

func (a *app) printPacked(p *host.Packed, out string) error {
	size := int64(0)
	for _, f := range p.Manifest.Files {
		size += f.Size
	}
	if a.json {
		leftOut, asks := p.LeftOut, p.Asks
		if leftOut == nil {
			leftOut = []string{}
		}
		if asks == nil {
			asks = []string{}
		}
		return json.NewEncoder(a.stdout).Encode(map[string]any{"out": out, "detector": p.Digest, "files": len(p.Manifest.Files), "bytes": size,
			"needs": p.Manifest.Needs, "left_out": leftOut, "allow_command": p.Allow, "asks": asks})
	}
	fmt.Fprintf(a.stdout, "%s  %d files, %d bytes, detector %s\n", out, len(p.Manifest.Files), size, p.Digest)
	printNeeds(a.stdout, &p.Manifest)
	for _, what := range p.Asks {
		fmt.Fprintf(a.stdout, "asks        %s\n", wire.Text(what, wire.MaxText))
	}
	switch {
	case p.Allow == "":
	case len(p.Asks) > 0:
		fmt.Fprintf(a.stdout, "allow       where its user has not allowed that: open it with --allow-command %s\n", p.Allow)
	default:
		fmt.Fprintf(a.stdout, "allow       it runs a program of its own: open it with --allow-command %s\n", p.Allow)
	}
	for _, name := range p.LeftOut {
		fmt.Fprintf(a.stderr, "left out of the plugin's folder: %q\n", name)
	}
	if p.Digest != p.Was {
		fmt.Fprintf(a.stderr, "the packed spec is not the original, which named absolute paths or another classifier: its digest is no longer %s\n", p.Was)
	}
	return nil
}

// printNeeds says what a pack does not hold.
func printNeeds(w interface{ Write([]byte) (int, error) }, m *pack.Manifest) {
	for _, need := range m.Needs {
		fmt.Fprintf(w, "needs       %s\n", printable(need))
	}
}

// printable is a text from a pack without what a terminal would obey.
func printable(s string) string { return wire.Text(s, wire.MaxText) }

// packedFile is a file of the pack at path.
func packedFile(path, name string) ([]byte, error) {
	dir, remove, err := host.Unpack(path)
	if err != nil {
		return nil, err
	}
	defer remove()
	return os.ReadFile(dir + string(os.PathSeparator) + name)
}
