package launch

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/sdk/secret"
)

// The most that a detector may set of what holds its plugin; its user may set more.
const (
	mostReplicas = 4 // or as many as there are processors
	mostTimeout  = 3600.0
	mostRestarts = 10
)

// excess is a key of the section classifier that is beyond what a detector may set.
type excess struct {
	key, value string
	pointer    string // into the config; "": of the process
	most       string // what is taken
}

// beyond is what of a section is beyond what a detector may set, without what the caller
// gives, and the process within it.
func (c Consent) beyond(p Process, schema func() []byte, config []byte) (Process, []excess) {
	var found []excess
	given := func(key string) bool { return c.Given != nil && c.Given(key) }
	over := func(key string, value, most any) {
		found = append(found, excess{key: key, value: fmt.Sprint(value), most: fmt.Sprint(most)})
	}
	if most := max(mostReplicas, runtime.NumCPU()); p.Replicas > most && !given("replicas") {
		over("replicas", p.Replicas, most)
		p.Replicas = most
	}
	if p.Timeout > mostTimeout && !given("timeout") {
		over("timeout", p.Timeout, mostTimeout)
		p.Timeout = mostTimeout
	}
	if p.Restarts > mostRestarts && !given("restarts") {
		over("restarts", p.Restarts, mostRestarts)
		p.Restarts = mostRestarts
	}
	if schema == nil {
		return p, found
	}
	for _, v := range secret.Marked(schema(), config, "allowance") {
		if key := "config" + strings.ReplaceAll(v.Pointer, "/", "."); !given(key) {
			found = append(found, excess{key: key, value: v.JSON, pointer: v.Pointer, most: "the plugin's default"})
		}
	}
	return p, found
}

// Beyond reports whether a section sets more than a detector may whose user has not
// allowed it: training with it is that.
func Beyond(p Process, found Plugin, config []byte) bool {
	_, more := Consent{}.beyond(p, found.Command.schema, config)
	return len(more) > 0
}

// hold is a detector's section within what a detector may set. What was cut is logged,
// with how to allow it.
func (c Consent) hold(p Process, found Plugin, config []byte, log hclog.Logger) (Process, []byte, error) {
	p, more := c.beyond(p, found.Command.schema, config)
	var without []string
	for _, e := range more {
		if log != nil {
			log.Warn("a detector does not set its own limits", "classifier."+e.key, e.value, "taken", e.most, "allow", "--classifier "+e.key+"="+e.value)
		}
		if e.pointer != "" {
			without = append(without, e.pointer)
		}
	}
	if without == nil {
		return p, config, nil
	}
	config, err := secret.Without(config, without...)
	return p, config, err
}
