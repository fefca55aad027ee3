// SPDX-License-Identifier: Apache-2.0

package prompt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// OfLab makes a bench of a lab.
func OfLab(lab *vm.Lab, out io.Writer, prompt bool) *Console {
	b := &Console{Fabric: lab.Fabric(), Out: out, Prompt: prompt}
	b.Record = func(dir, note string) (Recording, error) {
		recording, err := lab.Record(dir, note)
		if err != nil {
			return nil, err
		}
		return recording, nil
	}
	b.Reset = func(ctx context.Context) error {
		replaced, err := lab.Reset(ctx)
		for _, h := range replaced {
			b.say("%s has a new machine", h.Name())
		}
		return err
	}
	for _, h := range lab.Hosts() {
		b.Hosts = append(b.Hosts, labHost{lab, h})
	}
	return b
}

// labHost is a host of a lab.
type labHost struct {
	lab  *vm.Lab
	host *vm.Host
}

func (h labHost) Name() string { return h.host.Name() }

func (h labHost) About() string {
	var words []string
	for _, nic := range h.host.NICs() {
		words = append(words, fmt.Sprintf("%s %s %s %s", nic.Interface, nic.RDMA, nic.IPv4.Addr(), nic.IPv6.Addr()))
	}
	select {
	case <-h.host.Died():
		words = append(words, "dead")
	default:
	}
	return strings.Join(words, "; ")
}

func (h labHost) Shell(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	c := agent.Command{Path: "sh", Stdin: stdin, Stdout: stdout, Stderr: stdout}
	if command != "" {
		c.Args = []string{"-c", command}
	}
	result, err := h.host.Agent().Run(ctx, c)
	if err != nil {
		return err
	}
	return result.Err()
}

func (h labHost) Load(ctx context.Context, module string, params ...string) error {
	return h.host.Agent().LoadModule(ctx, module, params...)
}

func (h labHost) KernelLog(ctx context.Context, n int) ([]string, error) {
	log := h.host.KernelLog()
	if _, err := log.Mark(ctx, "lab: log"); err != nil {
		return nil, err
	}
	records, err := log.Since(0)
	var all []string
	for _, r := range records[max(0, len(records)-n):] {
		all = append(all, r.String())
	}
	return all, err
}

func (h labHost) Do(ctx context.Context, action string) error {
	switch action {
	case "reboot":
		return h.host.Reboot(ctx)
	case "kill":
		h.host.PowerLoss()
		return nil
	case "replace":
		return h.lab.Replace(ctx, h.host)
	case "hang":
		return h.host.Hang(ctx)
	case "resume":
		return h.host.Resume(ctx)
	}
	return errors.New("nothing of that kind can be done to a host: " + action)
}
