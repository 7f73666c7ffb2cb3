package dataset

import (
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Check finds keys of the source that do not go with its format, as
// registry.FieldErrors. What Validate refuses is not looked into. With look, a
// file whose extension is no format's is looked at, below baseDir; without, it
// is left alone.
func (s *Source) Check(baseDir string, formats registry.Table[Format], look bool) error {
	if checkOne(*s) != nil {
		return nil
	}
	var faults registry.FieldErrors
	kind, _ := s.Where()
	var t Traits // a named set has none
	if s.Dataset == "" {
		f, err := s.named(formats)
		if f == nil && err == nil {
			if !look {
				return nil
			}
			if f, err = s.format(baseDir, formats); err != nil {
				faults.Add(kind, "want %s, got %q", alternatives(Extensions(formats)), s.File)
				return faults
			}
		}
		if err != nil {
			faults.Add(kind, "%v", err)
			return faults
		}
		t = f.Traits()
	}
	s.checkKeys(&faults, t, formats)
	return faults.Err()
}

// named is the format that the key or the extension names, nil if neither does.
func (s *Source) named(formats registry.Table[Format]) (Format, error) {
	if s.File == "" {
		return s.format("", formats)
	}
	file, _ := s.file(formats)
	return byExtension(file, formats), nil
}

func (s *Source) checkKeys(faults *registry.FieldErrors, t Traits, formats registry.Table[Format]) {
	kind, _ := s.Where()
	for _, k := range []struct{ key, value string }{{"x", s.X}, {"y", s.Y}} {
		if k.value != "" && !t.Arrays {
			faults.Add(k.key, "names an array of a %s, which the source is not", Words(formats, func(f Format) bool { return f.Traits().Arrays }))
		}
	}
	if s.Label != "" && !t.Table && !t.Objects {
		faults.Add("label", "names a column of a table; for a file of labels write labels")
	}
	switch {
	case s.Labels == "":
	case t.Objects && s.Label != "":
		faults.Add("labels", "excludes label: both say where the labels are")
	case t.Table:
		faults.Add("labels", "is for %s; for a column write label", Words(formats, unlabelled))
	case t.Labelled || s.Dataset != "":
		faults.Add("labels", "is for %s; %s brings its own", Words(formats, unlabelled), kind)
	}
	if t.Splits != nil && s.Split != "" && !slices.Contains(t.Splits, s.Split) {
		faults.Add("split", "the splits of %s are %s, not %s: use range", kind, strings.Join(t.Splits, " and "), s.Split)
	}
}

// unlabelled reports whether the rows of a format get labels from elsewhere.
func unlabelled(f Format) bool {
	t := f.Traits()
	return !t.Table && !t.Labelled
}
