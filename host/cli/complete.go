package cli

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/cli/scaffold"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/spec"
)

// completer gives what a word that begins so may be, each with a tab and a
// description after it where there is one. What ends with / or = goes on.
type completer func(args []string, begins string) []string

// complete lets shells complete the values of a verb's flags and arguments. The
// arguments are those that its Use names, so that added verbs have it too.
func (a *app) complete(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.complete(sub)
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if of := a.flagCompleter(c, f); of != nil {
			if _, has := c.GetFlagCompletionFunc(f.Name); !has {
				_ = c.RegisterFlagCompletionFunc(f.Name, shell(of)) // it has the flag
			}
		}
	})
	words := strings.Fields(strings.ReplaceAll(strings.NewReplacer("[", "", "]", "").Replace(c.Use), "...", "…"))
	if len(words) < 2 || c.ValidArgsFunction != nil || c.HasSubCommands() && c.RunE == nil {
		return
	}
	words = words[1:]
	if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") }); i >= 0 {
		words = words[:i] // a flag that help shows as an argument, with its value
	}
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective) {
		at := len(args)
		if at >= len(words) {
			if at = len(words) - 1; at < 0 || !strings.HasSuffix(words[at], "…") {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
		}
		if of := a.argument(c.Name(), strings.TrimSuffix(words[at], "…")); of != nil {
			return shell(of)(cmd, args, begins)
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}

// shell is a completer as cobra wants it.
func shell(of completer) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begins string) ([]string, cobra.ShellCompDirective) {
		var out []string
		directive := cobra.ShellCompDirectiveNoFileComp
		for _, word := range of(args, begins) {
			name, _, _ := strings.Cut(word, "\t")
			if !strings.HasPrefix(name, begins) {
				continue
			}
			out = append(out, word)
			if strings.ContainsAny(name[len(name)-1:], "/=.:") {
				directive |= cobra.ShellCompDirectiveNoSpace
			}
		}
		return out, directive
	}
}

// words are always the same ones.
func words(list ...string) completer { return func([]string, string) []string { return list } }

// flagCompleter gives the values of a flag, of a list the next one; nil: files, as the
// shell has them.
func (a *app) flagCompleter(c *cobra.Command, f *pflag.Flag) completer {
	of := a.flagValues(c, f.Name)
	switch kind := f.Value.Type(); {
	case of == nil && (strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint") || strings.HasPrefix(kind, "float")):
		return words() // no file has a number's name
	case of != nil && strings.HasSuffix(kind, "Slice"):
		return func(args []string, begins string) []string {
			at := strings.LastIndex(begins, ",") + 1
			var out []string
			for _, word := range of(args, begins[at:]) {
				out = append(out, begins[:at]+word)
			}
			return out
		}
	}
	return of
}

// flagValues are the values of a flag; nil: files, as the shell has them.
func (a *app) flagValues(c *cobra.Command, flag string) completer {
	switch flag {
	case "attack":
		return a.names("attack")
	case "format":
		if c.Name() == "export" {
			return words(exportFormat)
		}
		return words(results.Names(false)...)
	case "by":
		return words(detect.ByPredictedClass)
	case "confine":
		return words("auto", "on", "off")
	case "as":
		return a.argument(c.Name(), "SPEC|DETECTOR")
	case "classifier":
		if c.Name() == "init" {
			return a.argument(c.Name(), "NAME|PATH")
		}
		return a.classifierKeys
	case "data":
		if c.Name() == "init" {
			return either(a.names("dataset"), folders)
		}
	case "only":
		return words("set=", "seed=", "detector=", "attack=", "kind=")
	case "http", "grpc", "admin":
		return words("off", "unix:", "127.0.0.1:")
	case "label", "id", "ignore", "keep", "model", "name", "radii", "sha256", "allow-command", "shard", "size":
		return words() // what only the user knows
	case "input-format":
		return a.names("format")
	case "header":
		return words("true", "false")
	case "on-error":
		return words("skip", "fail")
	case "include":
		return words(includeNames...)
	case "log-level":
		return words("trace", "debug", "info", "warn", "error", "off")
	case "from":
		return a.names("spec")
	case "kind":
		if c.Name() == "schema" {
			return words("Experiment", serve.Kind)
		}
		return func([]string, string) []string { return a.templates() }
	case "lang":
		return words(scaffold.Languages()...)
	case "fail-if":
		return figures
	case "track":
		return a.trackers
	case "transfer-from":
		return detectors
	case "set", "set-spec":
		if strings.HasPrefix(c.Use, "grid") || flag == "set" && c.Name() == "attack" {
			return words()
		}
		return func([]string, string) []string {
			keys := a.guide().Keys()
			if c.Name() == "serve" {
				keys = serve.Guide(a.c).Keys()
			}
			for i, k := range keys {
				keys[i] = k + "="
			}
			return keys
		}
	}
	return nil
}

// argument are the values of an argument of that name; nil: files.
func (a *app) argument(verb, name string) completer {
	var all []completer
	for one := range strings.SplitSeq(name, "|") {
		switch {
		case one == "SPEC" && verb == "lint":
			all = append(all, specFiles)
		case one == "SPEC":
			all = append(all, a.names("spec"), specFiles)
		case one == "SERVER":
			all = append(all, specFiles)
		case one == "DETECTOR":
			all = append(all, detectors)
		case one == "RUN":
			all = append(all, runs)
		case one == "OUT":
			all = append(all, justFolders)
		case one == "KIND":
			all = append(all, func([]string, string) []string {
				var out []string
				for _, k := range a.guide().All() {
					out = append(out, k.Name)
				}
				return out
			})
		case one == "NAME" && verb == "explain":
			all = append(all, a.explained)
		case name == "NAME|PATH":
			if one == "NAME" {
				all = append(all, a.names("classifier"))
			} else {
				all = append(all, folders)
			}
		case one == "FILE":
			all = append(all, specFiles)
		case one == "NAME" || one == "NAME…":
			return words() // a new one
		}
	}
	if len(all) == 0 {
		return nil
	}
	return either(all...)
}

// either gives what each of some completers gives.
func either(all ...completer) completer {
	return func(args []string, begins string) []string {
		var out []string
		for _, of := range all {
			for _, word := range of(args, begins) {
				if !slices.Contains(out, word) {
					out = append(out, word)
				}
			}
		}
		return out
	}
}

// names are those of one kind, each with what it is.
func (a *app) names(kind string) completer {
	return func([]string, string) []string {
		k, err := a.guide().Kind(kind)
		if err != nil {
			return nil
		}
		return topics(k)
	}
}

// classifierKeys are the keys of the spec's section classifier, as --classifier
// takes them.
func (a *app) classifierKeys([]string, string) []string {
	var out []string
	for _, k := range a.guide().Keys() {
		if inner, ok := strings.CutPrefix(k, "classifier."); ok {
			out = append(out, inner+"=")
		}
	}
	return append(out, "config.")
}

func topics(k spec.Kind) []string {
	out := make([]string, len(k.Topics))
	for i, t := range k.Topics {
		out[i] = t.Name + "\t" + t.Summary
	}
	return out
}

// explained is what explain knows: names, kinds and keys.
func (a *app) explained(_ []string, begins string) []string {
	g := a.guide()
	var out []string
	for _, k := range g.All() {
		out = append(out, k.Name)
		for _, t := range topics(k) {
			if strings.HasPrefix(begins, k.Name+"/") {
				t = k.Name + "/" + t
			}
			out = append(out, t)
		}
	}
	return append(out, g.Keys()...)
}

// templates are the kinds of specs to begin with.
func (a *app) templates() []string {
	if a.c.Specs == nil {
		return nil
	}
	files, err := fs.Glob(a.c.Specs, "templates/*.yaml")
	if err != nil {
		panic("cli: bad pattern")
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	return files
}

// entries are the paths that begin so: folders with a slash, and what take
// wants. Hidden ones must be asked for.
func entries(begins string, take func(path string, folder bool) (want, descend bool)) []string {
	dir, name := filepath.Split(begins)
	found, err := os.ReadDir(filepath.Join(".", dir))
	if filepath.IsAbs(dir) {
		found, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range found {
		if !strings.HasPrefix(e.Name(), name) || strings.HasPrefix(e.Name(), ".") && name == "" {
			continue
		}
		p := dir + e.Name()
		info, err := os.Stat(p) // through links
		if err != nil {
			continue
		}
		want, descend := take(p, info.IsDir())
		if want {
			out = append(out, p)
		}
		if descend && info.IsDir() {
			out = append(out, p+"/")
		}
	}
	return out
}

func specFiles(_ []string, begins string) []string {
	return entries(begins, func(p string, folder bool) (bool, bool) {
		ext := filepath.Ext(p)
		return !folder && (ext == ".yaml" || ext == ".yml"), folder
	})
}

func folders(_ []string, begins string) []string {
	return entries(begins, func(_ string, folder bool) (bool, bool) { return true, folder })
}

func justFolders(_ []string, begins string) []string {
	return entries(begins, func(_ string, folder bool) (bool, bool) { return folder, folder })
}

// detectors are detectors, runs and packs, and folders that are none.
func detectors(_ []string, begins string) []string {
	return entries(begins, func(p string, folder bool) (bool, bool) {
		if !folder {
			return filepath.Ext(p) == pack.Extension, false
		}
		_, err := artifact.Resolve(p)
		return err == nil, err != nil
	})
}

// runs are those with a report, and folders that are none.
func runs(_ []string, begins string) []string {
	return entries(begins, func(p string, folder bool) (bool, bool) {
		if !folder {
			return filepath.Ext(p) == pack.Extension, false
		}
		_, err := os.Stat(filepath.Join(p, "report.json"))
		return err == nil, err != nil
	})
}

// trackers are those of --track, and folders after a colon.
func (a *app) trackers(_ []string, begins string) []string {
	name, folder, colon := strings.Cut(begins, ":")
	if !colon {
		return a.names("tracker")(nil, begins)
	}
	out := folders(nil, folder)
	for i, f := range out {
		out[i] = name + ":" + f
	}
	return out
}

// figures are what a gate can be about: those of the report of the run that is
// named, else those that every report has.
func figures(args []string, _ string) []string {
	r := &evaluate.Report{}
	if len(args) > 0 {
		if found, err := readReport(args[0]); err == nil {
			r = found
		}
	}
	return r.Figures()
}
