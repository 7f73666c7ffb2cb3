package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// OpAllow is the Op of an Error about a command that nobody has allowed.
const OpAllow = "allow"

// AllowedName is the user's own list of commands that may run for detectors,
// below $XDG_STATE_HOME.
const AllowedName = "vaeguard/allowed.lock"

// maxAllowed is the most bytes of that list.
const maxAllowed = 16 << 20

// Consent says which plugins may be started for a detector, which is data: its
// spec names them, and whoever wrote it is not the one who runs it. Shipped
// ones always may. No file beside the detector or inside a pack can give consent.
type Consent struct {
	Allow []string // digests, with or without "sha256:"
	Lock  string   // a file as plugin lock writes it, for any plugin of this platform; "": none
	User  string   // the user's own list, which Remember writes; "": none
	// Named says that the caller has named the plugin, which is consent.
	Named bool
	// Root is a folder that came with the detector. What lies in its folder of
	// plugins is covered as a whole; "": none did.
	Root string
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

// admit pins p to what the caller allows, or refuses it.
func (c Consent) admit(p *Plugin) error {
	if p.Shipped {
		return nil
	}
	if err := c.cover(p); err != nil {
		return err
	}
	if c.Named {
		return nil
	}
	v, err := p.Command.verify("")
	if err != nil {
		return err
	}
	v.close()
	d := v.digest()
	ok, err := c.allows(d)
	if err == nil && ok {
		p.Command.SHA256 = d.SHA256
		return nil
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
		return v.fault(OpAllow, nil, fmt.Errorf("%s; %w", text, err))
	}
	return v.fault(OpAllow, nil, errors.New(text))
}

func (c Consent) allows(d Digest) (bool, error) {
	for _, a := range c.Allow {
		if strings.ToLower(strings.TrimPrefix(strings.TrimSpace(a), "sha256:")) == d.SHA256 {
			return true, nil
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
	line := allowedLine(d, folder)
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
	_, err = f.WriteString(line + " " + c.cmd.Line() + "\n") // one write: others may append too
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
