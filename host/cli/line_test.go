package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
)

// TestCommandLine: the command of each verb that prints one has every flag that was
// given, and means the same when it is called, whatever flags there will be.
func TestCommandLine(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(*app) *cobra.Command
		leave []string // of the command that is printed
		must  []string // which nobody may leave out
	}{
		"run":        {(*app).runCommand, notAgain, []string{"set", "out", "strict", "track"}},
		"run's page": {(*app).runCommand, reported, []string{"set", "out"}},
		"train":      {(*app).trainCommand, notAgain, []string{"set", "out", "strict", "track", "progress-json"}},
		"evaluate":   {(*app).evaluateCommand, reported, []string{"prepared", "data", "label", "header", "limit", "attacks", "any-classifier", "lock", "base"}},
		"grid":       {(*app).gridCommand, notAgain, []string{"set", "only", "out", "shard", "track"}},
		"detect":     {(*app).detectCommand, notAgain, []string{"data", "prepared", "include", "keep", "out", "shard", "batch"}},
		"demo":       {(*app).demoCommand, notAgain, []string{"out"}},
		"serve demo": {(*app).serveDemoCommand, notAgain, []string{"cache", "http", "grpc", "admin"}},
	} {
		made := func() *cobra.Command {
			cmd, root := c.make(&app{c: host.Components{}}), &cobra.Command{Use: "vaeguard"}
			root.PersistentFlags().Bool("quiet", false, "")
			root.AddCommand(cmd)
			return cmd
		}
		cmd := made()
		var given []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			var values []string
			switch _, many := f.Value.(pflag.SliceValue); {
			case many:
				values = []string{"a=it's", "b"}
			case f.Value.Type() == "bool":
				values = []string{fmt.Sprint(f.DefValue != "true")}
			case f.Value.Type() == "string":
				values = []string{f.Name + " 1"}
			case f.Value.Type() == "duration":
				values = []string{"3s"}
			default:
				values = []string{"3"}
			}
			for _, v := range values {
				if err := cmd.Flags().Set(f.Name, v); err != nil {
					t.Fatal(err)
				}
			}
			given = append(given, f.Name)
		})
		if err := cmd.InheritedFlags().Set("quiet", "true"); err != nil {
			t.Fatal(err)
		}
		line := commandLine(cmd, []string{"my spec.yaml"}, c.leave, "--more")
		words, ok := strings.CutPrefix(line, "vaeguard "+cmd.Name()+" 'my spec.yaml' ")
		if !ok || !strings.HasSuffix(line, " --more") || strings.Contains(line, "quiet") {
			t.Errorf("%s: %s", name, line)
		}
		again := made()
		if err := again.ParseFlags(shellWords(strings.TrimSuffix(words, " --more"))); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, f := range given {
			has := again.Flags().Changed(f)
			switch {
			case has == slices.Contains(c.leave, f):
				t.Errorf("%s: --%s in the command: %v", name, f, has)
			case has && again.Flags().Lookup(f).Value.String() != cmd.Flags().Lookup(f).Value.String():
				t.Errorf("%s: --%s is %v again, was %v", name, f, again.Flags().Lookup(f).Value, cmd.Flags().Lookup(f).Value)
			}
		}
		for _, f := range c.must {
			if !again.Flags().Changed(f) {
				t.Errorf("%s: no --%s in %s", name, f, line)
			}
		}
	}
}

// shellWords parts a line as a shell does that knows single quotes and backslashes.
func shellWords(line string) []string {
	var out []string
	word, inside, quoted := "", false, false
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '\'':
			inside, quoted = !inside, true
		case ch == '\\' && !inside:
			i++
			word += line[i : i+1]
		case ch == ' ' && !inside:
			if word != "" || quoted {
				out = append(out, word)
			}
			word, quoted = "", false
		default:
			word += string(ch)
		}
	}
	return append(out, word)
}
