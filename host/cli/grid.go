package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/grid"
)

func (a *app) gridCommand() *cobra.Command {
	var out, shard string
	var set, only []string
	var dry bool
	var track host.TrackOptions
	c := &cobra.Command{
		Use:   "grid FILE",
		Short: "Run a benchmark of detectors, attacks, sets and seeds; resume where it stopped",
		Long: "grid runs the cells of a file of kind Grid that are not done yet: classifiers, adversarial rows, detectors,\n" +
			"scores, adaptive attacks. Each is stored under the hash of everything it depends on. Then it writes\n" +
			"results.json and results.md from all cells that exist; the others are marked as not run. With --shard i/n processes on\n" +
			"machines that share the folder make a part each, by set, seed and detector; grid without it then finds all cells done.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkTrack(track); err != nil {
				return err
			}
			g, err := grid.Load(args[0], set, a.c.Tables())
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join("runs", g.Name)
			}
			filter, err := grid.ParseFilter(only, g)
			if err != nil {
				return usagef("--only %w", err)
			}
			o := grid.Options{Out: out, Only: filter, Components: a.c, Host: a.options(), Command: commandLine(cmd, args, append([]string{"only", "out", "shard"}, reported...)), Track: track.To}
			if shard != "" {
				if o.Shard, o.Shards, err = parseShard(shard); err != nil {
					return err
				}
			}
			if !dry {
				o.Cell = func(c grid.Cell, done bool) {
					if !done {
						a.progress().Note("%s", c)
					}
				}
			}
			b, err := grid.Open(g, o)
			if err != nil {
				return err
			}
			if dry {
				return a.printCells(b)
			}
			err = b.Run(cmd.Context())
			var r *grid.Results
			if err == nil && shard == "" {
				r, err = b.Results(cmd.Context())
			}
			if cmd.Context().Err() != nil && err != nil {
				if set := cmd.Flags().Set("out", out); set != nil {
					return set
				}
				return &host.InterruptedError{Command: commandLine(cmd, args, notAgain), Err: err}
			}
			if err != nil {
				return err
			}
			if shard != "" {
				a.progress().Wait()
				return a.printCells(b)
			}
			if err := r.Write(out); err != nil {
				return err
			}
			a.progress().Wait()
			if a.json {
				return r.WriteJSON(a.stdout)
			}
			fmt.Fprintf(a.stdout, "%d of %d cells done: %s\n", r.Done, r.Cells, filepath.Join(out, "results.md"))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder for cells and results (default runs/NAME)")
	c.Flags().StringArrayVar(&set, "set", nil, "override a value of the grid: seeds=[1]")
	c.Flags().StringArrayVar(&only, "only", nil, "run these cells and what they need: set=mnist,seed=1|2,detector=NAME,attack=ID,kind=scores")
	c.Flags().StringVar(&shard, "shard", "", "i/n: run only the i-th of n parts of the cells, from 0, and write no results; /n takes i from "+jobIndex)
	c.Flags().BoolVar(&dry, "dry-run", false, "list the cells and whether they are done; run nothing")
	a.trackFlag(c, &track)
	return c
}

func (a *app) printCells(b *grid.Bench) error {
	cells, err := b.Cells()
	if err != nil {
		return err
	}
	if a.json {
		return json.NewEncoder(a.stdout).Encode(cells)
	}
	left := 0
	for _, c := range cells {
		state := "done"
		if !c.Done {
			state = "to do"
			left++
		}
		fmt.Fprintf(a.stdout, "%-6s%-66s %s\n", state, c.Cell, strings.TrimPrefix(c.Folder, "cells/"))
	}
	fmt.Fprintf(a.stdout, "%d of %d cells to do\n", left, len(cells))
	return nil
}
