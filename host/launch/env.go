package launch

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// allowed are the variables that a plugin gets from the host's environment:
// what programs need to find themselves and their libraries, and nothing that
// is likely to be a secret. LD_LIBRARY_PATH, PYTHONPATH and their like do say what
// code is loaded, and pass all the same: they are the user's, not the plugin's or the
// detector's, the host itself runs under them, and without them an
// interpreter of a virtual environment or a library of CUDA is not found.
var allowed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TMP", "TEMP",
	"XDG_CACHE_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_*",
	"CUDA_*", "NVIDIA_VISIBLE_DEVICES", "GODEBUG", "GOCOVERDIR", "GOMAXPROCS", "OMP_NUM_THREADS",
	"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA",
}

// environment is what a plugin gets: the allowed part of host, then the
// entries of extra ("NAME" or "PREFIX_*" lets through, "NAME=value" sets), then
// the numbers of threads if threads > 0, then last.
func environment(host, extra, last []string, threads int) []string {
	names := slices.Clone(allowed)
	var set []string
	for _, e := range extra {
		if strings.Contains(e, "=") {
			set = append(set, e)
		} else {
			names = append(names, e)
		}
	}
	var env []string
	for _, v := range host {
		name, _, _ := strings.Cut(v, "=")
		if slices.ContainsFunc(names, func(pattern string) bool { return matches(pattern, name) }) {
			env = append(env, v)
		}
	}
	env = append(env, set...)
	if threads > 0 {
		for _, name := range []string{"GOMAXPROCS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"} {
			env = append(env, name+"="+strconv.Itoa(threads))
		}
	}
	return append(env, last...)
}

func matches(pattern, name string) bool {
	if runtime.GOOS == "windows" { // where PATH is Path
		pattern, name = strings.ToUpper(pattern), strings.ToUpper(name)
	}
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
