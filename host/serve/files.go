package serve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// quiet is how long files must rest before they are looked at: a copy under way
// is not a version yet.
const quiet = 300 * time.Millisecond

// watchFiles reloads when detectors, folders of the repository, certificates or
// tokens change. Where the system cannot tell, keep finds out a little later.
func (s *Server) watchFiles(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		s.log.Warn("files are not watched: changes are found out every half a minute", "error", err)
		return
	}
	defer func() { _ = w.Close() }() // it only watched
	s.follow(w)
	rest := time.NewTimer(0)
	if !rest.Stop() {
		<-rest.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			if e.Op != fsnotify.Chmod {
				rest.Reset(quiet)
			}
		case err := <-w.Errors:
			if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
				s.log.Debug("watching files", "error", err)
			}
			rest.Reset(quiet)
		case <-rest.C:
			s.follow(w)
			_ = s.renew(ctx, nil) // what was refused is in the log
		}
	}
}

// follow watches the folders that matter as they are now.
func (s *Server) follow(w *fsnotify.Watcher) {
	want := s.folders()
	for _, dir := range w.WatchList() {
		if !slices.Contains(want, dir) {
			_ = w.Remove(dir)
		}
	}
	for _, dir := range want {
		if err := w.Add(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Debug("a folder is not watched", "path", dir, "error", err)
		}
	}
}

// folders are those in which something may appear: the repository, each model in
// it and each version, and of what is listed the detector's folder and its parent.
func (s *Server) folders() []string {
	var out []string
	add := func(path ...string) { out = append(out, filepath.Clean(filepath.Join(path...))) }
	now := s.Spec()
	for _, m := range now.Models {
		path := now.Abs(m.Detector)
		add(path, "..")
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			add(path)
		}
	}
	if root := s.models.source.root(); root != "" {
		add(root)
		for _, name := range folders(root) {
			add(root, name)
			for _, v := range folders(filepath.Join(root, name)) {
				add(root, name, v)
			}
		}
	}
	for _, file := range s.certs.files() {
		add(file, "..")
	}
	for _, file := range []string{now.Auth.BearerFile, now.Auth.AdminFile} {
		if file != "" {
			add(now.Abs(file), "..")
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
