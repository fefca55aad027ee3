// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A deb is one binary package as apt names it.
type deb struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	File    string `json:"file"` // its name in debs/
	Size    int64  `json:"size"` // bytes
}

func (d deb) String() string { return d.Name + "=" + d.Version }

// directory is the name of the unpacked package in packages/.
func (d deb) directory() string { return strings.TrimSuffix(d.File, ".deb") }

// aptLists is where apt keeps what the archives offer.
const aptLists = "/var/lib/apt/lists"

const updateAdvice = "check the network and run `apt-get update` as root, or run ci/setup"

// resolve asks apt for the newest versions of packages and of everything that they depend on, as if nothing were
// installed. The answer is kept until apt's lists change.
func (c cache) resolve(ctx context.Context, packages ...string) ([]deb, error) {
	record := key(struct {
		Packages []string
		Lists    []string
	}{packages, listsState()}) + ".json"
	if data, err := os.ReadFile(c.path("resolved", record)); err == nil {
		var debs []deb
		if err := json.Unmarshal(data, &debs); err == nil {
			return debs, nil
		}
	}
	what := "find the packages " + strings.Join(packages, " ")
	args := append([]string{"-o", "Dir::State::status=/dev/null", "--print-uris", "--no-install-recommends", "-qq", "-y",
		"install"}, packages...)
	out, err := run(ctx, "", "apt-get", args...)
	if err != nil {
		return nil, environment(err, what, updateAdvice)
	}
	debs, err := parseURIs(string(out))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	data, err := json.MarshalIndent(debs, "", "  ")
	if err != nil {
		return nil, err
	}
	return debs, environment(c.writeFile(data, "resolved", record), what, "choose another cache directory with IBNBD_CACHE")
}

// listsState changes whenever apt has fetched new lists.
func listsState() []string {
	entries, _ := os.ReadDir(aptLists) // none there: apt will say so
	var state []string
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			state = append(state, fmt.Sprint(entry.Name(), info.Size(), info.ModTime().UnixNano()))
		}
	}
	return state
}

// parseURIs reads the output of apt-get --print-uris: lines of 'URI' file size hash. The file is
// name_version_architecture.deb with the colon of an epoch escaped.
func parseURIs(output string) ([]deb, error) {
	var debs []deb
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		parts := strings.Split(fields[1], "_")
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || len(parts) != 3 || fields[1] != path.Base(fields[1]) {
			return nil, fmt.Errorf("apt-get --print-uris: line not understood: %q", strings.TrimSpace(line))
		}
		version, err := url.PathUnescape(parts[1])
		if err != nil {
			return nil, fmt.Errorf("apt-get --print-uris: version of %q: %w", fields[1], err)
		}
		debs = append(debs, deb{Name: parts[0], Version: version, File: fields[1], Size: size})
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("apt-get --print-uris named no package")
	}
	slices.SortFunc(debs, func(a, b deb) int { return strings.Compare(a.Name, b.Name) })
	return debs, nil
}

// unpackedFactor bounds from above how much bigger packages are once unpacked, with the downloads themselves. Kernel
// images are the worst: 2.1 times.
const unpackedFactor = 4

// fetch downloads and unpacks packages, those that the cache does not have yet.
func (c cache) fetch(ctx context.Context, debs []deb, progress func(string)) error {
	var missing []deb
	var size int64
	for _, d := range debs {
		if !c.has("packages", d.directory()) {
			missing = append(missing, d)
			size += d.Size
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := c.requireSpace(size*unpackedFactor, "unpack guest packages"); err != nil {
		return err
	}
	progress(fmt.Sprintf("downloading %d packages, %d MiB", len(missing), size>>20))
	if err := c.download(ctx, missing); err != nil {
		return err
	}
	progress(fmt.Sprintf("unpacking %d packages", len(missing)))
	for _, d := range missing {
		if err := c.unpack(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (c cache) download(ctx context.Context, debs []deb) error {
	// As root, apt drops to its own user for downloads, who may not write here.
	args := []string{"-qq", "-o", "APT::Sandbox::User=root", "download"}
	count := len(args)
	for _, d := range debs {
		if info, err := os.Stat(c.path("debs", d.File)); err != nil || info.Size() != d.Size {
			args = append(args, d.String())
		}
	}
	if len(args) == count {
		return nil
	}
	what := fmt.Sprintf("download %s", strings.Join(args[count:], " "))
	if len(args)-count > 3 {
		what = fmt.Sprintf("download %d packages (%s, %s, ...)", len(args)-count, args[count], args[count+1])
	}
	what += " to " + c.path("debs")
	if err := os.MkdirAll(c.path("debs"), 0o755); err != nil {
		return environment(err, what, "choose another cache directory with IBNBD_CACHE")
	}
	_, err := run(ctx, c.path("debs"), "apt-get", args...)
	return environment(err, what, updateAdvice)
}

func (c cache) unpack(ctx context.Context, d deb) error {
	archive := c.path("debs", d.File)
	err := c.publish(func(dir string) error {
		_, err := run(ctx, "", "dpkg-deb", "-x", archive, dir)
		return err
	}, "packages", d.directory())
	if err != nil {
		return environment(err, fmt.Sprintf("unpack %s into %s", d, c.path("packages")),
			"delete "+c.path("debs")+" and try again")
	}
	return os.Remove(archive)
}
