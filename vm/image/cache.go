// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
)

// A cache is a directory of things that are named by what went into making them, so that a name that exists is complete
// and current. It may be deleted at any time.
//
//	debs/       packages as downloaded
//	packages/   packages unpacked, one directory each
//	resolved/   what apt said about a list of packages
//	modules/    module sets, built and stripped
//	agent/      the guest's init
//	kernels/    kernels, ready to boot
//	layers/     archives that a running guest can unpack
//	images/     initramfs and manifest of finished images
type cache struct{ dir string }

// defaultCache is $IBNBD_CACHE, or build/cache of the module that the working directory is in, or else a directory in
// the user's own cache.
func defaultCache() (string, error) {
	if dir := os.Getenv("IBNBD_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if root, err := moduleRoot(); err == nil {
		return filepath.Join(root, "build", "cache"), nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", &EnvironmentError{What: "find a directory for the image cache", Err: err, Do: "set IBNBD_CACHE"}
	}
	return filepath.Join(user, "ibnbd"), nil
}

// checkPath refuses a directory in which the kernel's Makefiles do not work.
func (c cache) checkPath() error {
	if !strings.ContainsAny(c.dir, " \t\n:#$'\"") {
		return nil
	}
	return &EnvironmentError{What: fmt.Sprintf("use the cache directory %q", c.dir),
		Err: errors.New("kernel modules cannot be built below a path with a space, a colon, #, $ or a quote"),
		Do:  "choose another with IBNBD_CACHE"}
}

// moduleRoot is the nearest directory at or above the working directory that holds this project's go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod at or above the working directory: %w", fs.ErrNotExist)
		}
		dir = parent
	}
}

func (c cache) path(elem ...string) string { return filepath.Join(append([]string{c.dir}, elem...)...) }

func (c cache) has(elem ...string) bool {
	_, err := os.Lstat(c.path(elem...))
	return err == nil
}

// lockPoll is how often a build looks whether another one has let go of the cache. A file lock cannot be waited for
// together with a context.
const lockPoll = 100 * time.Millisecond

// lock keeps other builds, of this process or another, out of the cache until release is called.
func (c cache) lock(ctx context.Context) (release func(), err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, environment(err, "make the cache directory", "choose another with IBNBD_CACHE")
	}
	file := flock.New(c.path("lock"), flock.SetPermissions(0o644))
	switch _, err := file.TryLockContext(ctx, lockPoll); {
	case err == nil:
		return func() { file.Close() }, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("wait for another build to release %s: %w", c.dir, context.Cause(ctx))
	default:
		return nil, environment(err, "lock "+file.Path(), "choose another directory with IBNBD_CACHE")
	}
}

// sweep removes what builds left unfinished that were killed. The cache must be locked.
func (c cache) sweep() error {
	leftovers, err := filepath.Glob(c.path("*", ".new-*"))
	for _, leftover := range leftovers {
		err = errors.Join(err, os.RemoveAll(leftover))
	}
	return environment(err, "clean up "+c.dir, "delete that directory")
}

// publish makes c.path(elem...) by calling build with a temporary directory next to it and renaming what is there when
// build succeeded. A name that exists already is left alone.
func (c cache) publish(build func(dir string) error, elem ...string) error {
	target := c.path(elem...)
	if c.has(elem...) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(target), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	if err := build(temporary); err != nil {
		return err
	}
	return os.Rename(temporary, target)
}

// writeFile writes a small file atomically.
func (c cache) writeFile(data []byte, elem ...string) error {
	target := c.path(elem...)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(target), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), target)
}

// requireSpace fails when the file system of the cache has less than need bytes free for us.
func (c cache) requireSpace(need int64, what string) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return environment(err, "make the cache directory", "choose another with IBNBD_CACHE")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(c.dir, &fs); err != nil {
		return environment(err, "look for free space in "+c.dir, "choose another directory with IBNBD_CACHE")
	}
	free := int64(fs.Bavail) * fs.Bsize
	if free >= need {
		return nil
	}
	return environment(fmt.Errorf("%d MiB are free and %d MiB are needed: %w", free>>20, need>>20, unix.ENOSPC),
		what+" in "+c.dir, "")
}

// key names a value by its content: the hash of its JSON.
func key(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic("image: key of a value that JSON cannot express: " + err.Error()) // keys are our own structs
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:24]
}
