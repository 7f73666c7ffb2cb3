package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// OpAllow is the Op of an Error about a command that nobody has allowed.
const OpAllow = "allow"

// AllowedName is the user's own list of commands that may run for detectors,
// below $XDG_STATE_HOME.
const AllowedName = "vaeguard/allowed.lock"

// maxAllowed is the most bytes of that list.
const maxAllowed = 16 << 20

// Consent says what a detector may start, and what it may have for that. A detector is
// data: its spec names them, and whoever wrote it is not the one who runs it. Shipped
// plugins may always be started. No file beside the detector or inside a pack can give
// consent.
type Consent struct {
	Allow []string // digests, with or without "sha256:", or several with commas between them
	Lock  string   // a file as plugin lock writes it, for any plugin of this platform; "": none
	User  string   // the user's own list, which Remember writes; "": none
	// Named says that the caller has named the plugin, which is consent to start it.
	Named bool
	// Own says that the detector was made from the caller's own spec, which is consent for
	// what it asks for.
	Own bool
	// Root is a folder that came with the detector. What lies in its folder of
	// plugins is covered as a whole; "": none did.
	Root string
	// Asks says what the detector asks for besides its plugin, which is to be configured
	// with c; nil: nothing.
	Asks func(p Plugin, c sdk.Config) (Asks, error)
	// Given reports whether the caller, and not the detector, gives a key of the section
	// classifier, such as replicas or config.memory; nil: none.
	Given func(key string) bool
}

// Asks is what a detector asks for besides its plugin being started: to send rows to a
// server, to be given variables of the environment, to read files that are not its own.
type Asks struct {
	What []string // in words, each one thing; none: it asks for nothing
	Text string   // that stands for all that is allowed with it, what its limits are included
}

// SHA256 is what Consent.Allow has for them, without "sha256:".
func (a Asks) SHA256() string {
	sum := sha256.Sum256([]byte(a.Text))
	return hex.EncodeToString(sum[:])
}

// digest is theirs as that of a program is one: it counts wherever it lies.
func (a Asks) digest() Digest { return Digest{SHA256: a.SHA256(), Alone: true} }

// words are What as they may stand in a line.
func (a Asks) words() string {
	const most = 20
	shown := make([]string, 0, most+1)
	for i, w := range a.What {
		if i == most {
			shown = append(shown, fmt.Sprintf("%d things more", len(a.What)-most))
			break
		}
		shown = append(shown, wire.Text(w, wire.MaxText))
	}
	return strings.Join(shown, "; ")
}

// UserList is the file of the user's own list: AllowedName below $XDG_STATE_HOME
// or ~/.local/state; "" if there is no such place.
func UserList() string {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, filepath.FromSlash(AllowedName))
}

// Digest is that of a plugin as it would be started: what Allow compares with.
func (c Consent) Digest(p Plugin) (Digest, error) {
	if err := c.cover(&p); err != nil {
		return Digest{}, err
	}
	return p.Command.Digest()
}

// cover adds to a command from Root what lies beside it there.
func (c Consent) cover(p *Plugin) error {
	if c.Root == "" || p.Shipped {
		return nil
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return err
	}
	p.Command.root = root
	folder := p.Dir
	switch {
	case folder != "":
	case p.Command.words != nil:
		folder = filepath.Join(root, "command") // where package host packs one
	default:
		folder = filepath.Dir(p.Command.Path)
	}
	if !within(root, folder) {
		return nil
	}
	p.Command.Files = nil
	return filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) && name == folder {
			return nil
		}
		if err == nil && d.Type().IsRegular() && name != p.Command.Path {
			p.Command.Files = append(p.Command.Files, name)
		}
		return err
	})
}

// Permits reports whether the caller allows what a detector asks for.
func (c Consent) Permits(a Asks) (bool, error) {
	if c.Own {
		return true, nil
	}
	return c.allows(a.digest())
}

// admit pins p to what the caller allows, or refuses it. all reports whether the caller
// allows what the detector asks for, and with it its limits: it is the caller's own.
func (c Consent) admit(ctx context.Context, p *Plugin, conf sdk.Config) (all bool, err error) {
	var asks Asks
	if c.Asks != nil {
		if asks, err = c.Asks(*p, conf); err != nil {
			return false, err
		}
	}
	all, unread := c.Permits(asks)
	refused, err := c.refuse(ctx, p)
	if err != nil {
		return false, err
	}
	if len(asks.What) == 0 || all {
		if refused == nil {
			return all, nil
		}
		return false, refused
	}
	text := fmt.Sprintf("the detector asks for what you have not allowed: %s; if you trust it, allow that with --allow-command sha256:%s, or name others with --classifier KEY=VALUE", asks.words(), asks.SHA256())
	if unread != nil && refused == nil {
		text += "; " + unread.Error()
	}
	if refused != nil {
		refused.Err = fmt.Errorf("%w. And %s", refused.Err, text)
		return false, refused
	}
	return false, &Error{Op: OpAllow, Plugin: p.Name, Err: errors.New(text)}
}

// Starts reports whether p's program may be started.
func (c Consent) Starts(ctx context.Context, p Plugin) (bool, error) {
	refused, err := c.refuse(ctx, &p)
	return refused == nil && err == nil, err
}

// refuse pins p's program to what the caller allows; refused is why it is not to be
// started, nil if it may be.
func (c Consent) refuse(ctx context.Context, p *Plugin) (refused *Error, err error) {
	if p.Shipped {
		return nil, nil
	}
	if err := c.cover(p); err != nil {
		return nil, err
	}
	if c.Named {
		return nil, nil
	}
	v, err := p.Command.verify(ctx, "")
	if err != nil {
		return nil, err
	}
	v.close()
	d := v.digest()
	ok, err := c.allows(d)
	if err == nil && ok {
		p.Command.SHA256 = d.SHA256
		return nil, nil
	}
	text := fmt.Sprintf("the detector would start what you have not allowed: %s in %s; if you trust it, allow it with --allow-command sha256:%s, which is", p.Command.Line(), strconv.Quote(d.Folder), d.SHA256)
	join := " "
	for line := range strings.Lines(d.Covers) {
		if what, _, _ := strings.Cut(line, " "); what == "program" || what == "interpreter" || what == "file" {
			text += join + strings.TrimSuffix(line, "\n")
			join = "; "
		}
	}
	if err != nil {
		text += "; " + err.Error()
	}
	return &Error{Op: OpAllow, Plugin: v.Name, Path: v.file, SHA256: v.sum, Err: errors.New(text)}, nil
}

func (c Consent) allows(d Digest) (bool, error) {
	for _, some := range c.Allow {
		for a := range strings.SplitSeq(some, ",") {
			if strings.ToLower(strings.TrimPrefix(strings.TrimSpace(a), "sha256:")) == d.SHA256 {
				return true, nil
			}
		}
	}
	if c.Lock != "" {
		if _, err := os.Stat(c.Lock); err != nil {
			return false, err
		}
		l, err := ReadLock(c.Lock)
		if err != nil {
			return false, err
		}
		for _, platforms := range l.Plugins {
			if platforms[Platform()].SHA256 == d.SHA256 {
				return true, nil
			}
		}
	}
	lines, err := readAllowed(c.User)
	return err == nil && (lines[allowedLine(d, "")] || lines[allowedLine(d, d.Folder)]), err
}

// allowedLine is what the list has of a digest. A script counts in one folder
// alone: what it loads lies beside it.
func allowedLine(d Digest, folder string) string {
	if folder == "" && !d.Alone {
		return ""
	}
	return "sha256:" + d.SHA256 + " " + strconv.Quote(folder)
}

// Remember adds what c runs to the user's own list, so that detectors with it
// open without being asked for again. It does nothing for a shipped plugin, or
// if it is there already.
func (c *Classifier) Remember(list string) error {
	if c.cmd.self || list == "" {
		return nil
	}
	d := c.cmd.digest()
	folder := d.Folder
	if d.Alone {
		folder = ""
	}
	return note(list, allowedLine(d, folder), c.cmd.Line())
}

// Remember adds what a detector asks for to the user's own list.
func (a Asks) Remember(list string) error {
	if list == "" {
		return nil
	}
	return note(list, allowedLine(a.digest(), ""), strconv.Quote(a.words()))
}

// note adds a line to a list, unless it is there; what follows it is for people.
func note(list, line, comment string) error {
	lines, err := readAllowed(list)
	if err != nil || lines[line] {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(list), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(list, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + " " + comment + "\n") // one write: others may append too
	return errors.Join(err, f.Close())
}

// readAllowed is the set of the list's entries, without their commands. A file
// that another user could have written is an error.
func readAllowed(name string) (map[string]bool, error) {
	if name == "" {
		return nil, nil
	}
	info, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, nil //nolint:nilerr // a place that cannot be is no list
	}
	if !ownAlone(name) || !ownAlone(filepath.Dir(name)) {
		return nil, fmt.Errorf("%s is not believed: others may write it or its folder", name)
	}
	if info.Size() > maxAllowed {
		return nil, fmt.Errorf("%s has %d bytes, at most %d: delete what you no longer need", name, info.Size(), maxAllowed)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		digest, rest, ok := strings.Cut(line, " ")
		folder, err := strconv.QuotedPrefix(rest)
		if ok && err == nil {
			lines[digest+" "+folder] = true
		}
	}
	return lines, nil
}
