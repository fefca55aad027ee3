// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
)

// MainlineTarget is mainline Linux's rnbd-server over rtrs-server.
type MainlineTarget struct {
	host    Host
	release string
	opts    TargetOptions
}

// NewMainlineTarget makes the target on a machine whose kernel has the given release.
func NewMainlineTarget(h Host, release string) *MainlineTarget {
	return &MainlineTarget{host: h, release: release, opts: TargetOptions{Keys: KeysRefreshed}}
}

// Info describes the target.
func (t *MainlineTarget) Info() Info {
	return Info{Name: "mainline", Role: TargetRole, Dialect: RNBD, Version: t.release, KeyMode: t.opts.Keys, Sysfs: true}
}

// Start loads the modules with the options as parameters. Its errors keep the errno of the load.
func (t *MainlineTarget) Start(ctx context.Context, opts TargetOptions) error {
	t.opts = opts
	transport := []string{"always_invalidate=" + yesNo(bool(opts.Keys))}
	if opts.QueueDepth != 0 {
		transport = append(transport, "sess_queue_depth="+strconv.Itoa(opts.QueueDepth))
	}
	if err := t.host.Agent().LoadModule(ctx, "rtrs-server", transport...); err != nil {
		return fmt.Errorf("start mainline target: %w", err)
	}
	var block []string
	if opts.SearchPath != "" {
		block = append(block, "dev_search_path="+opts.SearchPath)
	}
	if err := t.host.Agent().LoadModule(ctx, "rnbd-server", block...); err != nil {
		return fmt.Errorf("start mainline target: %w", err)
	}
	return nil
}

// Stop unloads the modules, which ends all sessions.
func (t *MainlineTarget) Stop(ctx context.Context) error {
	if err := unload(ctx, t.host, "rnbd_server", "rtrs_server"); err != nil {
		return fmt.Errorf("stop mainline target: %w", err)
	}
	return nil
}

const nullBlk = "/sys/kernel/config/nullb"

// Provide makes a RAM-backed null block device: it has any geometry, a write cache and discard.
func (t *MainlineTarget) Provide(ctx context.Context, spec ExportSpec) (Export, error) {
	if spec.BlockSize == 0 {
		spec.BlockSize = 512
	}
	if err := t.configureNullBlk(ctx, spec); err != nil {
		return Export{}, fmt.Errorf("provide export %s: %w", spec.Name, err)
	}
	return Export{ExportSpec: spec, Path: "dev/" + spec.Name, Disk: spec.Name}, nil
}

func (t *MainlineTarget) configureNullBlk(ctx context.Context, spec ExportSpec) error {
	if err := t.loadNullBlk(ctx); err != nil {
		return err
	}
	dir := path.Join(nullBlk, spec.Name)
	if err := t.host.Agent().Mkdir(ctx, dir); err != nil {
		return err
	}
	type setting struct{ file, value string }
	settings := []setting{
		{"size", strconv.Itoa(spec.SizeMiB)},
		{"blocksize", strconv.Itoa(spec.BlockSize)},
		{"memory_backed", "1"},
		{"discard", oneZero(spec.Discard)},
		{"cache_size", strconv.Itoa(cacheMiB(spec))},
	}
	if spec.Latency > 0 {
		settings = append(settings, setting{"irqmode", "2"}, setting{"completion_nsec", strconv.FormatInt(spec.Latency.Nanoseconds(), 10)})
	}
	settings = append(settings, setting{"power", "1"})
	for _, s := range settings {
		if err := t.host.Agent().WriteFile(ctx, path.Join(dir, s.file), []byte(s.value)); err != nil {
			return errors.Join(err, t.host.Agent().Remove(ctx, dir))
		}
	}
	return nil
}

// loadNullBlk loads the driver without devices of its own, once.
func (t *MainlineTarget) loadNullBlk(ctx context.Context) error {
	there, err := loaded(ctx, t.host, "null_blk")
	if err != nil || there {
		return err
	}
	return t.host.Agent().LoadModule(ctx, "null_blk", "nr_devices=0")
}

// cacheMiB is the size of the volatile cache. A small one is enough to make flush and FUA matter.
func cacheMiB(spec ExportSpec) int {
	if spec.Cache {
		return 1
	}
	return 0
}

// Withdraw removes the device and its data.
func (t *MainlineTarget) Withdraw(ctx context.Context, e Export) error {
	err := t.host.Agent().Remove(ctx, path.Join(nullBlk, e.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw export %s: %w", e.Name, err)
	}
	return nil
}

// Sessions lists the sessions that have a connected path.
func (t *MainlineTarget) Sessions(ctx context.Context) ([]string, error) {
	found, err := t.host.Agent().Glob(ctx, path.Join(virtual, RNBD.TransportServer, "*", "paths"))
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	names := make([]string, len(found))
	for i, p := range found {
		names[i] = path.Base(path.Dir(p))
	}
	slices.Sort(names)
	return names, nil
}

// Disconnect closes a path from the target's side.
func (t *MainlineTarget) Disconnect(ctx context.Context, session string, p PathAddr) error {
	return t.host.Agent().WriteFile(ctx, path.Join(RNBD.ServerPath(session, p), "disconnect"), []byte("1"))
}

func yesNo(b bool) string {
	if b {
		return "Y"
	}
	return "N"
}

func oneZero(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
